package gate_test

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/starttls-everywhere/policylist/policy"
	"github.com/starttls-everywhere/policylist/policy/gate"
	"github.com/starttls-everywhere/policylist/policy/proof"
)

// The README's table is the one that the site shows, with the times that the gate goes by.
func TestReadmeHasTheTable(t *testing.T) {
	page, err := os.ReadFile("README.md")
	if err != nil {
		t.Fatal(err)
	}
	var want strings.Builder
	var reasons []string
	for _, r := range gate.Table() {
		want.WriteString(r.Markdown())
		reasons = append(reasons, r.Reasons...)
	}
	if !strings.Contains(string(page), "|---|---|---|---|---|\n"+want.String()+"\n") {
		t.Errorf("README.md does not have\n%s", &want)
	}
	for _, r := range gateReasons() {
		if !slices.Contains(reasons, r) {
			t.Errorf("no row of the table ends in %s", r)
		}
	}
}

// A code holds a change for the aims that Aims says, and at no others: each has a case of table.txt. The budget and the guard
// of clients hold any change.
func TestAimsAreThoseOfTheTable(t *testing.T) {
	seen := map[string]map[gate.Aim]bool{}
	for _, c := range readTable(t) {
		for _, a := range c.answers {
			for _, w := range gate.Decide(c.at(a.at), c.settings).Waits {
				for _, f := range w.Findings {
					if seen[f.Code] == nil {
						seen[f.Code] = map[gate.Aim]bool{}
					}
					seen[f.Code][w.Aim()] = true
				}
			}
		}
	}
	for _, c := range slices.Concat(gate.Codes(), proof.Codes()) {
		var held []gate.Aim
		for _, s := range []gate.Aim{gate.AimJoin, gate.AimChange, gate.AimLeave} {
			if seen[c.ID][s] || c.ID == "gate.budget" || c.ID == "gate.guard" {
				held = append(held, s)
			}
		}
		if got := gate.Aims(c.ID); fmt.Sprint(got) != fmt.Sprint(held) {
			t.Errorf("%s: Aims says %q, the table's cases are held for %q", c.ID, got, held)
		}
	}
	if gate.Aims("cert.name") != nil || len(policy.Codes()) == 0 {
		t.Error("a code of the probe holds nothing by itself")
	}
}
