package main

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/txtar"

	"github.com/starttls-everywhere/policylist/policy"
)

// keptRule is a row of the table in policy/RULES.md.
type keptRule struct {
	rule  string
	codes []string
	links []string // as the page has them
}

func rulesTable(t *testing.T) []keptRule {
	t.Helper()
	page, err := os.ReadFile("../../policy/RULES.md")
	if err != nil {
		t.Fatal(err)
	}
	var out []keptRule
	for _, m := range regexp.MustCompile(`(?m)^\| (R[0-9]+) \| ([^|]+) \| ([^|]+) \|$`).FindAllStringSubmatch(string(page), -1) {
		r := keptRule{rule: m[1]}
		for _, c := range regexp.MustCompile("`([^`]+)`").FindAllStringSubmatch(m[3], -1) {
			r.codes = append(r.codes, c[1])
		}
		for _, l := range regexp.MustCompile(`\]\(([^)]+)\)`).FindAllStringSubmatch(m[3], -1) {
			r.links = append(r.links, l[1])
		}
		out = append(out, r)
	}
	return out
}

// Each of the 54 rules stands in the table once, in order, and is kept by codes that exist and are about it, or by a section
// that exists.
func TestEveryRuleIsKept(t *testing.T) {
	known := map[string]policy.Code{}
	for _, c := range codes() {
		known[c.ID] = c
	}
	table := rulesTable(t)
	for i, r := range table {
		if want := fmt.Sprintf("R%d", i+1); r.rule != want {
			t.Fatalf("row %d of the table is %s", i+1, r.rule)
		}
		if len(r.codes)+len(r.links) == 0 {
			t.Errorf("%s is kept by nothing", r.rule)
		}
		for _, id := range r.codes {
			if c, ok := known[id]; !ok {
				t.Errorf("%s: there is no code %s", r.rule, id)
			} else if !slices.Contains(c.Rules, r.rule) {
				t.Errorf("%s: %s is about %v", r.rule, id, c.Rules)
			}
		}
		for _, link := range r.links {
			if !sectionExists(t, link) {
				t.Errorf("%s: there is no section %s", r.rule, link)
			}
		}
	}
	if len(table) != 54 {
		t.Errorf("%d rules", len(table))
	}
	for _, c := range policy.Codes() {
		for _, rule := range c.Rules {
			i := slices.IndexFunc(table, func(r keptRule) bool { return r.rule == rule })
			if i < 0 || !slices.Contains(table[i].codes, c.ID) {
				t.Errorf("%s is about %s, whose row does not say so", c.ID, rule)
			}
		}
	}
}

// sectionExists follows a link of policy/RULES.md to a heading, as GitHub names it.
func sectionExists(t *testing.T, link string) bool {
	t.Helper()
	file, anchor, _ := strings.Cut(link, "#")
	if file == "" {
		file = "RULES.md"
	}
	page, err := os.ReadFile(filepath.Join("../../policy", filepath.FromSlash(file)))
	if err != nil {
		t.Errorf("%s: %v", link, err)
		return false
	}
	odd := regexp.MustCompile(`[^\p{L}\p{N} _-]`)
	for _, m := range regexp.MustCompile(`(?m)^#+ (.+)$`).FindAllStringSubmatch(string(page), -1) {
		if strings.ReplaceAll(odd.ReplaceAllString(strings.ToLower(m[1]), ""), " ", "-") == anchor {
			return true
		}
	}
	return false
}

// Every code of the table has a test in which it is given: of those that a source is judged by, a fixture with a source that
// has the flaw; of others, a test or its data that names it.
func TestEveryRuleCanFail(t *testing.T) {
	fixed := map[string]bool{}
	for _, c := range policy.Codes() {
		fixed[c.ID] = c.Severity != policy.Reason
	}
	texts := testTexts(t)
	for _, r := range rulesTable(t) {
		for _, id := range r.codes {
			if fixed[id] {
				a, err := txtar.ParseFile("../../policy/testdata/rules/" + id + ".txtar")
				if err != nil || !slices.ContainsFunc(a.Files, func(f txtar.File) bool { return strings.HasPrefix(f.Name, "bad/") }) ||
					!strings.Contains(string(a.Comment), " "+id) {
					t.Errorf("%s: %s has no failing example: %v", r.rule, id, err)
				}
				continue
			}
			if !slices.ContainsFunc(texts, func(text string) bool { return namesCode(text, id) }) {
				t.Errorf("%s: no test names %s", r.rule, id)
			}
		}
	}
}

// namesCode finds a code that is no part of a longer one.
func namesCode(text, id string) bool {
	for at := 0; ; {
		i := strings.Index(text[at:], id)
		if i < 0 {
			return false
		}
		end := at + i + len(id)
		part := end < len(text) && (text[end] == '-' || text[end] >= 'a' && text[end] <= 'z')
		if !part {
			return true
		}
		at = end
	}
}

// testTexts are the test files of the packages that decide, and their data; constants that stand for codes are written out.
func testTexts(t *testing.T) (texts []string) {
	t.Helper()
	names := strings.NewReplacer("audit.FreshExpired", "freshness.expired", "audit.FreshAging", "freshness.release-old", "audit.FreshHalfLife", "freshness.half-life",
		"mirror.OverrideFinal", "list.final")
	for _, root := range []string{"../../policy", "../../pipeline", "../../mirror/audit", "."} {
		err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
			test := strings.HasSuffix(path, "_test.go") && d.Name() != "rulestable_test.go"
			data := strings.Contains(filepath.ToSlash(path), "/testdata/") && !strings.Contains(filepath.ToSlash(path), "/fuzz/")
			if err != nil || d.IsDir() || !test && !data {
				return err
			}
			text, err := os.ReadFile(path)
			texts = append(texts, names.Replace(string(text)))
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	return texts
}
