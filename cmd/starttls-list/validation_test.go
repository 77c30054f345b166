package main

import (
	"bytes"
	"fmt"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/starttls-everywhere/policylist/mirror/site"
	"github.com/starttls-everywhere/policylist/policy"
	"github.com/starttls-everywhere/policylist/policy/proof"
)

const validationPage = "../../pipeline/VALIDATION.md"

func findingTables() string {
	var b strings.Builder
	cell := strings.NewReplacer("|", `\|`, "<", `\<`, "*", `\*`, "_", `\_`)
	for _, g := range site.CodeGroups() {
		fmt.Fprintf(&b, "### %s\n\n| code | | what it means | what to do |\n|---|---|---|---|\n", g.Title)
		for _, c := range codes() {
			if g.Has(c.ID) {
				fmt.Fprintf(&b, "| `%s` | %s | %s | %s |\n", c.ID, c.Severity, cell.Replace(c.Summary), cell.Replace(c.Fix))
			}
		}
		b.WriteString("\n")
	}
	return b.String()
}

// The page for domain owners explains each finding in the program's own words.
func TestValidationExplainsEveryFinding(t *testing.T) {
	page, err := os.ReadFile(validationPage)
	if err != nil {
		t.Fatal(err)
	}
	head, rest, ok := bytes.Cut(page, []byte(" -update -->\n"))
	_, tail, ok2 := bytes.Cut(rest, []byte("<!-- end of findings -->\n"))
	if !ok || !ok2 {
		t.Fatal("the page has no place for the findings")
	}
	want := slices.Concat(head, []byte(" -update -->\n"), []byte(findingTables()), []byte("<!-- end of findings -->\n"), tail)
	if *updateScripts {
		if err := os.WriteFile(validationPage, want, 0o644); err != nil {
			t.Fatal(err)
		}
	} else if !bytes.Equal(page, want) {
		t.Error("the findings are not those of the program: go test ./cmd/starttls-list -run Validation -update")
	}
	for _, group := range []string{"cert", "dane", "gate", "proof", "sts"} {
		if !strings.Contains(findingTables(), "| `"+group+".") {
			t.Errorf("no finding of %s", group)
		}
	}
}

// What the page shows works: each command has the flags that it is given, the record is a proof of the entry beside it, and
// what it links to is there.
func TestValidationShowsWhatWorks(t *testing.T) {
	text, err := os.ReadFile(validationPage)
	if err != nil {
		t.Fatal(err)
	}
	page := string(text)
	commands := regexp.MustCompile(`(?m)^\$ starttls-list (.*)$`).FindAllStringSubmatch(page, -1)
	for _, m := range commands {
		c, rest, err := newRoot().Find(strings.Fields(m[1]))
		if err == nil {
			err = c.ParseFlags(rest)
		}
		if err != nil {
			t.Errorf("%s: %v", m[0], err)
		}
	}
	if len(commands) < 6 {
		t.Errorf("%d commands", len(commands))
	}
	records := regexp.MustCompile(`TXT "(v=STP1; change=[^"]*)"`).FindStringSubmatch(page)
	entry := regexp.MustCompile("`({\"mode\":\"testing\",\"mxs\":[^`]*})`").FindStringSubmatch(page)
	if records == nil || entry == nil {
		t.Fatal("no record, or no entry")
	}
	var mxs []policy.MXPattern
	for _, q := range regexp.MustCompile(`"(mx[0-9][^"]*)"`).FindAllStringSubmatch(entry[1], -1) {
		p, err := policy.ParseMXPattern(q[1])
		if err != nil {
			t.Fatal(err)
		}
		mxs = append(mxs, p)
	}
	wanted, err := policy.NewPolicy(policy.Testing, mxs)
	if err != nil || string(wanted.AppendJSON(nil)) != entry[1] {
		t.Fatalf("%v: %s", err, wanted.AppendJSON(nil))
	}
	r := proof.Parse([]string{records[1]}, time.Date(2026, 12, 1, 0, 0, 0, 0, time.UTC))
	if r.Status != proof.OK || r.Change != proof.Digest(wanted) {
		t.Errorf("the record is %s and proves %s, not %s", r.Status, r.Change, proof.Digest(wanted))
	}
	for _, m := range regexp.MustCompile(`\]\(([^)]+)\)`).FindAllStringSubmatch(page, -1) {
		if anchor, here := strings.CutPrefix(m[1], "#"); here {
			if heading := "\n## " + strings.ReplaceAll(anchor, "-", " ") + "\n"; !strings.Contains(strings.ToLower(page), heading) {
				t.Errorf("no heading for %s", m[1])
			}
		} else if _, err := os.Stat("../../pipeline/" + m[1]); err != nil {
			t.Error(err)
		}
	}
}
