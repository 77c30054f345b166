package gate_test

import (
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/starttls-everywhere/policylist/policy/gate"
	"github.com/starttls-everywhere/policylist/policy/proof"
)

// TestReadmeNamesEveryCode, and every reason; and the table has a case that is held with each code.
func TestReadmeNamesEveryCode(t *testing.T) {
	page, err := os.ReadFile("README.md")
	if err != nil {
		t.Fatal(err)
	}
	var table []byte
	for _, name := range []string{"testdata/table.txt", "testdata/budget.txt"} {
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		table = append(table, text...)
	}
	seen := map[string]bool{}
	for _, c := range slices.Concat(gate.Codes(), proof.Codes()) {
		if seen[c.ID] || c.Summary == "" || c.Fix == "" || len(c.Rules) == 0 {
			t.Errorf("%+v", c)
		}
		seen[c.ID] = true
		if !strings.Contains(string(page), "| `"+c.ID+"`") {
			t.Errorf("README.md does not explain %s", c.ID)
		}
		if !strings.Contains(string(table), c.ID) {
			t.Errorf("no case of the table is held with %s", c.ID)
		}
	}
	for _, r := range gateReasons() {
		if !strings.Contains(string(page), "`"+r+"`") {
			t.Errorf("README.md does not name the reason %s", r)
		}
	}
}
