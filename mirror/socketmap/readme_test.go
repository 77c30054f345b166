package socketmap

import (
	"fmt"
	"os"
	"strings"
	"testing"
)

// TestReadmeLimits: the page has the limits that the code has.
func TestReadmeLimits(t *testing.T) {
	data, err := os.ReadFile("README.md")
	if err != nil {
		t.Fatal(err)
	}
	rows := map[string]any{
		"connections, for each socket": DefaultConnections, "silence between requests": DefaultIdle, "the rest of a request": DefaultPatience,
		"a request, in bytes": maxRequest, "policies of domains (MTA-STS) that are kept": maxPolicies, "their texts, in MiB": maxPolicyText >> 20,
		"domains known to have no policy": maxAbsent, "domains whose MX hosts are remembered": maxRoutes,
		"policies that are confirmed at once while nobody waits": confirmers, "looking up for one answer": livePatience,
	}
	for what, limit := range rows {
		if want := fmt.Sprintf("| %s | %v | ", what, limit); !strings.Contains(string(data), want) {
			t.Errorf("the page does not say %q", want)
		}
	}
	if n := strings.Count(string(data), "\n| ") - 1; n != len(rows) {
		t.Errorf("the page has %d limits, the test %d", n, len(rows))
	}
}
