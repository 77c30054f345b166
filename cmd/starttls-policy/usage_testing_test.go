package main

import (
	"os"
	"strings"
	"testing"

	"github.com/starttls-everywhere/policylist/mirror/trial"
)

// The page for mail administrators explains every code of the testing entries, in the words of the code.
func TestUsagePageTestingCodes(t *testing.T) {
	page, err := os.ReadFile("../../mirror/USAGE.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range trial.Codes() {
		if row := "| `" + c.ID + "` | " + c.Summary + " | " + c.Fix + " |\n"; strings.Count(string(page), row) != 1 {
			t.Errorf("the page does not have, once:\n%s", row)
		}
	}
}
