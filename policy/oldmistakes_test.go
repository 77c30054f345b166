package policy_test

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/starttls-everywhere/policylist/policy"
)

// oldSource reads a list as if it were the source of a release today.
func oldSource(f policy.File) (*policy.Source, []policy.Finding) {
	return policy.NewSource(policy.Settings{}, []*policy.Fragment{policy.ParseOldSource(f)})
}

// replayed is what was found, as "FILE CODE: SUMMARY" for codes without a domain, and "FILE CODE DOMAIN".
type replayed []string

// of keeps the lines with one of the codes.
func (r replayed) of(codes ...string) (out []string) {
	for _, line := range r {
		if slices.Contains(codes, strings.TrimSuffix(strings.Fields(line)[1], ":")) {
			out = append(out, line)
		}
	}
	return out
}

// replay holds each list against the one before it, as a release would.
func replay(files []policy.File) (out replayed) {
	var source *policy.Source
	var list policy.OldList
	for _, f := range files {
		now, findings := oldSource(f)
		next, _ := policy.ParseOldList(f)
		if source != nil {
			_, steps := policy.CompareSources(source, now)
			findings = slices.Concat(findings, steps, policy.CheckSuccession(list, next, f.Path))
		}
		for _, x := range findings {
			what := " " + x.Domain
			if x.Domain == "" {
				what = ": " + x.Summary
			}
			out = append(out, f.Path+" "+x.Code+what)
		}
		source, list = now, next
	}
	return out
}

// The mistakes of the old list that its files show by themselves, in the files in which they were made.
func TestOldMistakesAreNamed(t *testing.T) {
	found := replay(oldHistory(t))
	duplicate := func(file string, first int) string {
		return fmt.Sprintf("%s json.duplicate-key: \"salesforce.com\" stands here for the second time, first in line %d", file, first)
	}
	var twice []string // rule R2
	for _, name := range []string{"004-20180730", "005-20180810", "006-20180824", "007-20180907", "008-20180928", "009-20180928", "010-20181010", "011-20181024", "012-20181107"} {
		twice = append(twice, duplicate(name+".json", 86))
	}
	for _, name := range []string{"013-20181112", "014-20181126", "015-20181207"} {
		twice = append(twice, duplicate(name+".json", 85))
	}
	same := func(name string, want, got []string) {
		t.Helper()
		if !slices.Equal(got, want) {
			t.Errorf("%s:\n%s\nwant\n%s", name, strings.Join(got, "\n"), strings.Join(want, "\n"))
		}
	}
	same("R2", twice, found.of("json.duplicate-key"))
	same("R7", []string{
		"018-20190114.json time.not-later: the list is signed for 2019-01-03T18:54:53Z, not later than the one before it, 2019-01-03T18:54:53Z",
		"030-20190529.json time.not-later: the list is signed for 2019-05-14T17:27:57Z, not later than the one before it, 2019-05-14T17:27:57Z",
	}, found.of("time.not-later"))
	var late []string // rule R9
	for _, line := range found.of("time.lapsed") {
		file, rest, _ := strings.Cut(line, " time.lapsed: the list before expired ")
		late = append(late, file+" "+rest[:strings.IndexByte(rest, ' ')])
	}
	same("R9", []string{"002-20180620.json 1172.9", "003-20180716.json 0.6", "007-20180907.json 0.9"}, late[:3])
	same("R9", []string{"017-20190103.json 42.8", "027-20190417.json 3.6", "028-20190501.json 4.6", "031-20190530.json 47.7", "032-20190614.json 24.6", "037-20190821.json 0.3",
		"042-20191030.json 1.2", "044-20191129.json 45.3"}, late[3:])
	var members []string // rule R17: one edit of four aliases
	for _, d := range []string{"aol.com", "gmail.com", "hotmail.com", "icloud.com", "live.com", "me.com", "msn.com", "outlook.com", "rocketmail.com", "salesforce.com",
		"yahoo.com", "yahoogroups.com", "ymail.com"} {
		members = append(members, "018-20190114.json change.alias "+d)
	}
	got := found.of("change.alias")
	slices.Sort(got)
	same("R17", members, got)
	same("R52: none of these steps was over the budget", nil, found.of("change.budget", "change.mode-and-mxs"))
}

// goOn is the last of the files, edited: what the old project did after them, as far as its history is told.
func goOn(t *testing.T, last policy.File, name string, edit func(policies map[string]any)) policy.File {
	t.Helper()
	var list map[string]any
	if err := json.Unmarshal(last.Data, &list); err != nil {
		t.Fatal(err)
	}
	edit(list["policies"].(map[string]any))
	data, err := json.Marshal(list)
	if err != nil {
		t.Fatal(err)
	}
	return policy.File{Path: name, Data: data}
}

func entryOf(mode string, mxs ...string) map[string]any {
	return map[string]any{"mode": mode, "mxs": mxs}
}

// In 2020 the list went on from 466 to 926 domains, with 16 removed; one release later 361 enforced, 80 of them with other
// mxs in the same step; and hosts of one network stood in the entry of another's domain. Those files are not among the 46;
// with made-up domains their steps are the same.
func TestLaterMistakesAreNamed(t *testing.T) {
	files := oldHistory(t)
	last := files[len(files)-1]
	grown := goOn(t, last, "grown.json", func(policies map[string]any) {
		names := []string{}
		for name := range policies {
			names = append(names, name)
		}
		slices.Sort(names)
		for _, name := range names[len(names)-16:] {
			delete(policies, name)
		}
		for i := range 476 {
			policies[fmt.Sprintf("new%03d.example", i)] = entryOf("testing", fmt.Sprintf("mx.new%03d.example", i))
		}
	})
	enforcing := goOn(t, grown, "enforcing.json", func(policies map[string]any) {
		for i := range 361 {
			host := fmt.Sprintf("mx.new%03d.example", i)
			if i < 80 {
				host = fmt.Sprintf("mx2.new%03d.example", i)
			}
			policies[fmt.Sprintf("new%03d.example", i)] = entryOf("enforce", host)
		}
	})
	source, _ := oldSource(grown)
	if n := len(source.Entries()); n != 926 {
		t.Fatalf("%d domains", n)
	}
	got := replay([]policy.File{last, grown, enforcing}).of("change.budget", "change.mode-and-mxs")
	want := []string{"enforcing.json change.budget: 361 domains are newly enforcing or with replaced mxs; a release carries 92 of 926 by itself"}
	for i := range 80 {
		want = append(want, fmt.Sprintf("enforcing.json change.mode-and-mxs new%03d.example", i))
	}
	if slices.Sort(got); !slices.Equal(got, want) {
		t.Errorf("R52:\n%s", strings.Join(got, "\n"))
	}

	const school, host = "technikumnukleoniczne.pl", "technikumnukleoniczne-pl.mail.protection.outlook.com"
	foreign := goOn(t, last, "foreign.json", func(policies map[string]any) {
		policies[school] = entryOf("testing", host, "mx1.comcast.net", "mx2.comcast.net")
	})
	before, _ := oldSource(last)
	after, findings := oldSource(foreign)
	changes, _ := policy.CompareSources(before, after)
	var codes []string
	for _, f := range policy.Introduced(nil, findings, changes) {
		if f.Domain == school {
			codes = append(codes, f.Code)
		}
	}
	if !slices.Equal(codes, []string{"mx.foreign", "mx.foreign"}) {
		t.Errorf("R53, offline: %v", codes)
	}
	e, _ := after.Lookup(domain(t, school))
	live := policy.ForeignUnused(e.Domain, e.Policy, []policy.Domain{domain(t, host)}, e.Position())
	if len(live) != 2 || live[0].Code != "mx.foreign-unused" || live[0].Domain != school || !strings.Contains(live[0].Summary, "mx1.comcast.net") {
		t.Errorf("R53, with its MX records: %v", live)
	}
	if was, _ := before.Lookup(domain(t, school)); len(policy.ForeignUnused(was.Domain, was.Policy, []policy.Domain{domain(t, host)}, was.Position())) != 0 {
		t.Error("R53: the entry was in order before")
	}
}
