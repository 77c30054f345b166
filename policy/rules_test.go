package policy_test

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/txtar"

	"github.com/starttls-everywhere/policylist/policy"
)

var update = flag.Bool("update", false, "write the findings into the fixtures")

// Each fixture, testdata/rules/CODE.txtar, is a sentence naming a flaw, the findings to expect ("find PLACE CODE"), and
// two sources: good/, in which the code does not occur and nothing is an error, and bad/, which has that flaw only.
func TestEachCodeIsFoundAndOnlyThere(t *testing.T) {
	for _, path := range fixtures(t) {
		code := strings.TrimSuffix(filepath.Base(path), ".txtar")
		t.Run(code, func(t *testing.T) {
			a, err := txtar.ParseFile(path)
			if err != nil {
				t.Fatal(err)
			}
			sentence, want := expectations(a)
			if !strings.HasSuffix(sentence, ".") || strings.Contains(sentence, "\n") {
				t.Errorf("the fixture does not begin with a sentence: %q", sentence)
			}
			for _, f := range judge(t, side(a, "good")) {
				if f.Code == code || f.Severity == policy.Error {
					t.Errorf("good: %s %s: %s", f.Position, f.Code, f.Summary)
				}
			}
			var got []string
			severity := policy.Severity("not found")
			for _, f := range judge(t, side(a, "bad")) {
				got = append(got, strings.TrimSpace(fmt.Sprintf("find %s %s %s", f.Position, f.Code, f.Domain)))
				if f.Code == code {
					severity = f.Severity
				}
				if f.Summary == "" || f.Fix == "" {
					t.Errorf("%s has no summary or no fix", f.Code)
				}
			}
			if c, _ := policy.LookupCode(code); c.Severity != severity {
				t.Errorf("severity %s, the table says %s", severity, c.Severity)
			}
			if *update && !slices.Equal(got, want) {
				a.Comment = []byte(sentence + "\n\n" + strings.Join(got, "\n") + "\n")
				if err := os.WriteFile(path, txtar.Format(a), 0o644); err != nil {
					t.Fatal(err)
				}
				return
			}
			if !slices.Equal(got, want) {
				t.Errorf("found\n%s\nexpected\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
			}
		})
	}
}

func fixtures(t *testing.T) []string {
	t.Helper()
	paths, err := filepath.Glob("testdata/rules/*.txtar")
	if err != nil || len(paths) == 0 {
		t.Fatal("no fixtures", err)
	}
	return paths
}

func expectations(a *txtar.Archive) (sentence string, find []string) {
	for _, line := range strings.Split(strings.TrimSpace(string(a.Comment)), "\n") {
		switch {
		case strings.HasPrefix(line, "find "):
			find = append(find, line)
		case line != "":
			sentence += line
		}
	}
	return sentence, find
}

// side returns the files of good/ or bad/ by name.
func side(a *txtar.Archive, prefix string) map[string]policy.File {
	files := map[string]policy.File{}
	for _, f := range a.Files {
		if name, ok := strings.CutPrefix(f.Name, prefix+"/"); ok {
			files[name] = policy.File{Path: name, Data: f.Data}
		}
	}
	return files
}

// judge applies the rules that the files call for: a step from before/ to after/, an old list first.json followed by
// second.json, one old list old.json, an entry and its live MX hosts live.txt, or a source.
func judge(t *testing.T, files map[string]policy.File) []policy.Finding {
	t.Helper()
	if second, ok := files["second.json"]; ok {
		before, _ := policy.ParseOldList(files["first.json"])
		after, findings := policy.ParseOldList(second)
		return append(findings, policy.CheckSuccession(before, after, second.Path)...)
	}
	if old, ok := files["old.json"]; ok {
		_, findings := policy.ParseOldList(old)
		return findings
	}
	if live, ok := files["live.txt"]; ok {
		delete(files, "live.txt")
		source, findings := parse(files, "")
		var hosts []policy.Domain
		for _, name := range strings.Fields(string(live.Data)) {
			hosts = append(hosts, domain(t, name))
		}
		for _, e := range source.Entries() {
			findings = append(findings, policy.ForeignUnused(e.Domain, e.Policy, hosts, e.Position())...)
		}
		// The same entries look odd offline as well; here it is about what the lookup adds.
		return slices.DeleteFunc(findings, func(f policy.Finding) bool { return f.Code == "mx.foreign" })
	}
	if _, ok := files["before/a.json"]; ok {
		before, old := parse(files, "before/")
		after, now := parse(files, "after/")
		changes, findings := policy.CompareSources(before, after)
		return append(findings, policy.Introduced(old, now, changes)...)
	}
	_, findings := parse(files, "")
	for name, f := range files {
		if policy.IsIncident(name) {
			_, found := policy.ParseIncident(f)
			findings = append(findings, found...)
		}
	}
	return findings
}

// parse reads the files below prefix as a source; one that is not about list.json gets a plain one.
func parse(files map[string]policy.File, prefix string) (*policy.Source, []policy.Finding) {
	var in []policy.File
	for name, f := range files {
		if inside, ok := strings.CutPrefix(name, prefix); ok && name != "no-list" {
			in = append(in, policy.File{Path: inside, Data: f.Data})
		}
	}
	slices.SortFunc(in, func(a, b policy.File) int { return strings.Compare(a.Path, b.Path) })
	_, settings := files["list.json"]
	if _, none := files["no-list"]; !settings && !none {
		in = append(in, policy.File{Path: "list.json", Data: []byte(`{"author": "A list", "origin": "list.example/a"}`)})
	}
	return policy.ParseSource("", in)
}

// The table, the fixtures and RULES.md name the same codes: what one has and another lacks is a mistake.
func TestTableFixturesAndRulesAgree(t *testing.T) {
	page, err := os.ReadFile("RULES.md")
	if err != nil {
		t.Fatal(err)
	}
	inPage := map[string]bool{}
	for _, m := range regexp.MustCompile("(?m)^### `([^`]+)`").FindAllStringSubmatch(string(page), -1) {
		if inPage[m[1]] {
			t.Errorf("RULES.md has %s twice", m[1])
		}
		inPage[m[1]] = true
	}
	withFixture := map[string]bool{}
	for _, path := range fixtures(t) {
		withFixture[strings.TrimSuffix(filepath.Base(path), ".txtar")] = true
	}
	known := map[string]bool{}
	for _, c := range policy.Codes() {
		if known[c.ID] {
			t.Errorf("%s stands twice in the table", c.ID)
		}
		known[c.ID] = true
		if finding := c.Severity != policy.Reason; withFixture[c.ID] != finding {
			t.Errorf("%s has a fixture: %v; it is a finding: %v", c.ID, withFixture[c.ID], finding)
		}
		head := fmt.Sprintf("### `%s`\n*%s · %s*\n", c.ID, c.Severity, strings.Join(c.Rules, ", "))
		if !strings.Contains(string(page), head) {
			t.Errorf("RULES.md has no section that begins with\n%s", head)
		}
		if !regexp.MustCompile(`^[a-z]+\.[a-z]+(-[a-z]+)*$`).MatchString(c.ID) || c.Summary == "" || c.Fix == "" || len(c.Rules) == 0 {
			t.Errorf("%s: incomplete or oddly spelt: %+v", c.ID, c)
		}
	}
	for id := range inPage {
		if !known[id] {
			t.Errorf("RULES.md explains %s, which is not in the table", id)
		}
	}
	for id := range withFixture {
		if !known[id] {
			t.Errorf("a fixture is named for %s, which is not in the table", id)
		}
	}
}
