package browsertest

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/starttls-everywhere/policylist/mirror/storetest/tool"
)

// Judge reads axe-core, which Violations needs.
func (p *Page) Judge() {
	p.t.Helper()
	source, err := os.ReadFile(filepath.Join(tool.Path(p.t, "page-judges"), "node_modules/axe-core/axe.min.js"))
	if err != nil {
		p.t.Fatal(err)
	}
	p.axe = string(source)
}

// violation is a rule of axe-core that a page breaks, and where.
type violation struct {
	ID, Impact, Help string
	Nodes            []struct {
		HTML    string
		Summary string `json:"failureSummary"`
	}
}

// Violations are the rules of accessibility that the page breaks, whatever their weight, with the elements that do. All
// of axe-core's rules for WCAG 2.0, 2.1 and 2.2 A and AA are asked, and its best practices; with one or more names, those.
func (p *Page) Violations(rules ...string) []string {
	p.t.Helper()
	only := `{ type: "tag", values: ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"] }`
	if len(rules) > 0 {
		names, err := json.Marshal(rules)
		if err != nil {
			p.t.Fatal(err)
		}
		only = fmt.Sprintf(`{ type: "rule", values: %s }`, names)
	}
	if !Eval[bool](p, "Boolean(window.axe)") {
		Eval[bool](p, p.axe+";true")
	}
	// preload would fetch the style sheets again, and the tab is asked what it fetched.
	found := Eval[[]violation](p, fmt.Sprintf(`axe.run(document, { runOnly: %s, preload: false, resultTypes: ["violations"] }).then(r => r.violations)`, only))
	var out []string
	for _, v := range found {
		for _, n := range v.Nodes {
			out = append(out, fmt.Sprintf("%s (%s): %s\n%s\n%s", v.ID, v.Impact, v.Help, n.HTML, strings.TrimSpace(n.Summary)))
		}
	}
	return out
}
