package site

import (
	"bytes"
	"encoding/csv"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"path"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/txtar"

	"github.com/starttls-everywhere/policylist/policy"
)

var update = flag.Bool("update", false, "write the golden files")

// event is one change of a domain, on a day of 2026 as "MM-DD".
func event(day, reason string, before, after string) Event {
	at, err := time.Parse(time.DateOnly, "2026-"+day)
	if err != nil {
		panic(err)
	}
	side := func(mode string) *policy.Policy {
		if mode == "" {
			return nil
		}
		m := policy.Testing
		if mode == "enforce" {
			m = policy.Enforce
		}
		return set("x.example", m).Policy
	}
	return Event{Domain: set("x.example", policy.Testing).Domain, Before: side(before), After: side(after), Reason: reason, Time: at}
}

// Each story of a domain, and what it adds to the times.
func TestFixes(t *testing.T) {
	added, demoted := event("01-01", "add.enforce", "", "enforce"), event("02-01", "demote.auto", "enforce", "testing")
	pass := Finding{Verdict: "pass", Since: "2026-02-10T12:00:00Z"}
	for name, tt := range map[string]struct {
		events []Event
		found  Finding
		want   []string // kind: ended open left
	}{
		"enforces since the beginning": {[]Event{added}, pass, nil},
		"restored":                     {[]Event{added, demoted, event("02-05", "restore.auto", "testing", "enforce")}, pass, []string{"demoted: 4d 0 0"}},
		"promoted like anybody":        {[]Event{added, demoted, event("03-01", "promote.evidence", "testing", "enforce")}, Finding{}, []string{"demoted: 28d 0 0"}},
		"goes on failing":              {[]Event{added, demoted}, Finding{Verdict: "fail", Since: "2026-01-30T00:00:00Z"}, []string{"demoted: 1 0", "mended: 1 0", "failing: 1 0"}},
		"passes, and is not restored":  {[]Event{added, demoted}, pass, []string{"demoted: 1 0", "mended: 10d 0 0"}},
		"passes since before, which is no mending": {[]Event{added, demoted}, Finding{Verdict: "warn", Since: "2026-01-31T00:00:00Z"},
			[]string{"demoted: 1 0", "mended: 1 0"}},
		"nobody looked":                        {[]Event{added, demoted}, Finding{}, []string{"demoted: 1 0", "mended: 1 0"}},
		"other names do not end it":            {[]Event{added, demoted, event("02-03", "mxs.replaced", "testing", "testing")}, Finding{}, []string{"demoted: 1 0", "mended: 1 0"}},
		"demoted, then removed by the machine": {[]Event{added, demoted, event("03-01", "remove.auto", "testing", "")}, Finding{}, []string{"demoted: 0 1", "removed: 1 0"}},
		"removed, and back":                    {[]Event{added, event("03-01", "remove.auto", "enforce", ""), event("03-09", "restore.auto", "", "enforce")}, Finding{}, []string{"removed: 8d 0 0"}},
		"removed by the owner, and back":       {[]Event{added, event("03-01", "remove.owner", "enforce", ""), event("03-09", "add.enforce", "", "enforce")}, Finding{}, nil},
		"the owner asks for testing":           {[]Event{added, demoted, event("02-02", "demote.owner", "testing", "testing")}, pass, []string{"demoted: 0 1"}},
		"demoted by the owner":                 {[]Event{added, event("02-01", "demote.owner", "enforce", "testing")}, pass, nil},
		"twice": {[]Event{added, demoted, event("02-05", "restore.auto", "testing", "enforce"), event("02-06", "demote.auto", "enforce", "testing"),
			event("02-07", "restore.auto", "testing", "enforce")}, pass, []string{"demoted: 1d 4d 0 0"}},
		"a trial that ends":        {[]Event{event("01-01", "add.testing", "", "testing"), event("01-15", "promote.evidence", "testing", "enforce")}, pass, []string{"trial: 14d 0 0"}},
		"a trial that goes on":     {[]Event{event("01-01", "add.testing", "", "testing")}, pass, []string{"trial: 1 0"}},
		"a trial that is given up": {[]Event{event("01-01", "add.testing", "", "testing"), event("01-15", "remove.owner", "testing", "")}, pass, []string{"trial: 0 1"}},
		"a trial after a return": {[]Event{event("01-01", "add.testing", "", "testing"), event("01-15", "remove.owner", "testing", ""), event("02-01", "add.testing", "", "testing"),
			event("02-03", "promote.evidence", "testing", "enforce")}, pass, []string{"trial: 2d 0 1"}},
		"a fail of an entry that is gone": {[]Event{added, event("02-01", "remove.owner", "enforce", "")}, Finding{Verdict: "fail", Since: "2026-01-30T00:00:00Z"}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			d := Domain{added.Domain, tt.events}
			rows := countFixes([]Domain{d}, map[string]Finding{d.Name.String(): tt.found}, nil)
			var got []string
			for _, r := range rows {
				if r.Ended+r.Open+r.Left == 0 {
					continue
				}
				text := r.Kind + ":"
				for i := range r.Ended {
					text += fmt.Sprintf(" %dd", []int{r.Median, r.Ninety}[i])
				}
				got = append(got, fmt.Sprintf("%s %d %d", text, r.Open, r.Left))
			}
			if !reflect.DeepEqual(got, tt.want) {
				t.Errorf("got %q, want %q", got, tt.want)
			}
		})
	}
}

// What is held is counted where somebody told it, and not where nobody did.
func TestFixesOfWhatIsHeld(t *testing.T) {
	kinds := func(p *Pending) (out []string) {
		for _, r := range countFixes(nil, nil, p) {
			out = append(out, r.Kind)
		}
		return out
	}
	if slices.Contains(kinds(nil), fixHeld) || !slices.Contains(kinds(&Pending{}), fixHeld) {
		t.Errorf("%q, %q", kinds(nil), kinds(&Pending{}))
	}
	p := &Pending{Held: []Held{{Domain: "a.example", Since: "2026-03-01T00:00:00Z"}, {Domain: "b.example"}, {Domain: "c.example", Since: "2026-03-05T00:00:00Z"}}}
	rows := countFixes(nil, nil, p)
	if last := rows[len(rows)-1]; last.Open != 2 || last.Since != "2026-03-01T00:00:00Z" || last.Ends() {
		t.Errorf("%+v", last)
	}
}

func TestQuantiles(t *testing.T) {
	for _, tt := range []struct {
		n            int
		half, ninety int
	}{{1, 1, 1}, {2, 1, 2}, {3, 2, 3}, {4, 2, 4}, {5, 3, 5}, {10, 5, 9}, {11, 6, 10}, {100, 50, 90}} {
		var values []int
		for i := range tt.n {
			values = append(values, i+1)
		}
		if half, ninety := quantile(values, 0.5), quantile(values, 0.9); half != tt.half || ninety != tt.ninety {
			t.Errorf("of %d: %d and %d, want %d and %d", tt.n, half, ninety, tt.half, tt.ninety)
		}
	}
	for d, want := range map[time.Duration]int{0: 0, time.Hour: 1, 24 * time.Hour: 1, 25 * time.Hour: 2} {
		if got := days(d); got != want {
			t.Errorf("%s: %d days, want %d", d, got, want)
		}
	}
	for n, few := range map[int]bool{0: true, minSample - 1: true, minSample: false} {
		if (fixRow{Ended: n}).Few() != few {
			t.Errorf("%d: few is not %v", n, few)
		}
	}
}

// A chart of time runs evenly, whatever days had a change.
func TestThin(t *testing.T) {
	day := func(s string, n int) dayCount { return dayCount{s, n, 0} }
	for name, tt := range map[string]struct {
		days  []dayCount
		first string
		last  string
		n     int
		at    string // a label between
		want  int    // its count
	}{
		"a day":                  {[]dayCount{day("2026-03-01", 1)}, "2026-03-01", "2026-03-01", 1, "2026-03-01", 1},
		"days":                   {[]dayCount{day("2026-03-01", 1), day("2026-03-04", 2)}, "2026-03-01", "2026-03-04", 4, "2026-03-03", 1},
		"months":                 {[]dayCount{day("2026-01-31", 1), day("2026-02-01", 2), day("2026-02-28", 3), day("2026-05-01", 4)}, "2026-01", "2026-05", 5, "2026-04", 3},
		"months over a new year": {[]dayCount{day("2025-11-30", 1), day("2026-02-01", 2)}, "2025-11", "2026-02", 4, "2026-01", 1},
		"years":                  {[]dayCount{day("2012-07-01", 1), day("2026-02-01", 2)}, "2012", "2026", 15, "2025", 1},
	} {
		got := thin(tt.days)
		if len(got) != tt.n || got[0].Day != tt.first || got[len(got)-1].Day != tt.last || got[len(got)-1].Enforce != tt.days[len(tt.days)-1].Enforce {
			t.Errorf("%s: %+v", name, got)
			continue
		}
		at := slices.IndexFunc(got, func(d dayCount) bool { return d.Day == tt.at })
		if at < 0 || got[at].Enforce != tt.want {
			t.Errorf("%s: %s: %+v", name, tt.at, got)
		}
	}
	if thin(nil) != nil {
		t.Error("days out of nothing")
	}
}

// lively is a list with entries of all kinds over half a year.
func lively(t testing.TB) *operator {
	t.Helper()
	o := whole(t)
	for i := range 6 {
		o.now = o.now.AddDate(0, 1, 0)
		edits := []policy.Edit{set(fmt.Sprintf("own%d.com", i), policy.Enforce, "."+fmt.Sprintf("own%d.com", i)), set(fmt.Sprintf("hosted%d.co.uk", i), policy.Testing, "a.google.com", "b.outlook.com")}
		if i > 2 {
			edits = append(edits, set(fmt.Sprintf("hosted%d.co.uk", i-3), policy.Enforce, "a.google.com", "b.outlook.com"))
		}
		o.publish(edits...)
	}
	o.publish(del("own0.com"), set("under.github.io", policy.Testing, "aspmx.l.google.com"), set("sub.own1.com", policy.Testing, "mx.own1.com"))
	return o
}

// The numbers of a list that a person can count, and the page that tells them: testdata/statistics.txtar. The CSV files
// have what the page has, and no page differs from another build's.
func TestStatistics(t *testing.T) {
	m := lively(t).read(Extra{Pending: []byte(held), Survey: readSurvey(t)})
	sink, again := fresh(t, m), fresh(t, m)
	got := &txtar.Archive{Comment: []byte("The statistics of the list that TestStatistics makes; written by go test -update.\n")}
	for p := range sink.paths() {
		name, ok := strings.CutPrefix(p, "site/statistics/")
		if !ok {
			continue
		}
		data := sink.objects[p]
		if name == "index.html" { // what stands around it is every page's
			_, data, _ = bytes.Cut(data, []byte(`<main id="content">`))
			data, _, _ = bytes.Cut(data, []byte("</main>"))
		}
		got.Files = append(got.Files, txtar.File{Name: name, Data: data})
		if string(sink.objects[p]) != string(again.objects[p]) {
			t.Errorf("two builds make another %s", p)
		}
		if path.Ext(p) == ".csv" {
			rows, err := csv.NewReader(strings.NewReader(string(sink.objects[p]))).ReadAll()
			if err != nil || len(rows) < 2 {
				t.Errorf("%s: %d rows, %v", p, len(rows), err)
			}
		}
	}
	file := "testdata/statistics.txtar"
	if *update {
		must(t, os.MkdirAll("testdata", 0o755))
		must(t, os.WriteFile(file, txtar.Format(got), 0o644))
	}
	want, err := os.ReadFile(file)
	must(t, err)
	if string(want) != string(txtar.Format(got)) {
		t.Errorf("%s differs: see go test -update", file)
	}
	checkPage(t, sink, "site/statistics/index.html")
}

// What is not there yet is said to be so, and leaves no file.
func TestStatisticsOfNothing(t *testing.T) {
	o := newOperator(t)
	o.publish()
	sink := fresh(t, o.read(Extra{}))
	page := string(sink.objects["site/statistics/index.html"])
	for _, want := range []string{"0 domains are on the list", "There was no change yet", "No domain is on the list", "There is no evidence of probes here yet", "No survey is published yet",
		"What is held is not told here yet", "too few"} {
		if !strings.Contains(page, want) {
			t.Errorf("no %q in %s", want, page)
		}
	}
	if strings.Contains(page, "<svg") || sink.objects["site/statistics/survey.csv"] != nil {
		t.Error("a chart of nothing")
	}
}

// A release without changes, a day or a year later, leaves all of it as it is: nothing is counted from now.
func TestStatisticsStay(t *testing.T) {
	o := lively(t)
	sink := fresh(t, o.read(Extra{}))
	o.now = o.now.AddDate(1, 0, 0)
	o.publish()
	build(t, o.read(Extra{}), sink)
	for p := range sink.put {
		if strings.HasPrefix(p, "site/statistics/") {
			t.Errorf("%s changed", p)
		}
	}
}

// No text becomes a formula of a spreadsheet's.
func TestCSV(t *testing.T) {
	tb := table{columns: []string{"name", "n"}}
	for _, name := range []string{"a.example", "=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1", "＝1", "a,b", `say "x"`, "two\nlines", ""} {
		tb.add(name, 1)
	}
	data, err := tb.csv()
	must(t, err)
	want := "name,n\na.example,1\n'=1+1,1\n'+1,1\n'-1,1\n'@SUM(A1),1\n'\t=1,1\n\"'\r=1\",1\n'＝1,1\n\"a,b\",1\n\"say \"\"x\"\"\",1\n\"two\nlines\",1\n,1\n"
	if string(data) != want {
		t.Errorf("got %q", data)
	}
	for _, bad := range []table{{columns: []string{"a"}, rows: [][]any{{"a", "b"}}}, {columns: []string{"a"}, rows: [][]any{{1.5}}}} {
		if _, err := bad.csv(); err == nil {
			t.Errorf("%+v was written", bad)
		}
	}
}

func mustJSON(t testing.TB, data []byte, v any) {
	t.Helper()
	must(t, json.Unmarshal(data, v))
}
