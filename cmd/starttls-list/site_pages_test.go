package main

import (
	"html"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/starttls-everywhere/policylist/mirror/site"
	"github.com/starttls-everywhere/policylist/policy"
)

// ownersPages are those with commands and codes for owners of domains.
var ownersPages = []string{"check", "join", "change", "leave", "domain/good.example"}

// What the pages for owners of domains say is what this program says: each command has the flags that it is given, and each
// code that VALIDATION.md explains is on one of them, in the same words; no page has a code that there is not.
func TestOwnersPagesAreThisProgram(t *testing.T) {
	op := newOperator(t)
	op.release(3)
	public := op.copyPublic()
	list(t, 0, "site", "build", "--mirror", public, "--trust", op.path("trust/1"), "--out", public)
	commands, shown := 0, map[string]bool{}
	for _, name := range ownersPages {
		page, err := os.ReadFile(filepath.Join(public, "site", name, "index.html"))
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range regexp.MustCompile(`<pre class="command"[^>]*><code>starttls-list ([^<]*)</code>`).FindAllStringSubmatch(string(page), -1) {
			commands++
			c, rest, err := newRoot().Find(strings.Fields(html.UnescapeString(m[1])))
			if err == nil {
				err = c.ParseFlags(rest)
			}
			if err == nil {
				err = c.ValidateArgs(c.Flags().Args())
			}
			if err != nil || !c.Runnable() {
				t.Errorf("%s: %s: %v", name, m[1], err)
			}
		}
		for _, m := range regexp.MustCompile(`<li><strong>([a-z-]+\.[a-z0-9-]+)</strong>, ([a-z]+): (.*)<p class="fix">(?:What to do|When): (.*)</p></li>`).FindAllStringSubmatch(string(page), -1) {
			shown[m[1]] = true
			all := codes()
			i := slices.IndexFunc(all, func(c policy.Code) bool { return c.ID == m[1] })
			if i < 0 || all[i].Summary != html.UnescapeString(m[3]) || all[i].Fix != html.UnescapeString(m[4]) || string(all[i].Severity) != m[2] {
				t.Errorf("%s: %q is not what starttls-list code says", name, m[0])
			}
		}
	}
	validation, err := os.ReadFile(validationPage)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range codes() {
		owners := slices.ContainsFunc(site.CodeGroups(), func(g site.CodeGroup) bool { return g.Has(c.ID) })
		if shown[c.ID] != owners || owners != strings.Contains(string(validation), "| `"+c.ID+"` | ") {
			t.Errorf("%s: for owners: %t, on a page: %t", c.ID, owners, shown[c.ID])
		}
	}
	if commands < 13 || len(shown) < 150 {
		t.Errorf("%d commands, %d codes", commands, len(shown))
	}
}
