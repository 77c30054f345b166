package policy_test

import (
	"strings"
	"testing"

	"github.com/starttls-everywhere/policylist/policy"
)

func TestCheckOrigin(t *testing.T) {
	for _, good := range []string{"list.example.org", "list.example.org/2026", "list.example.org/a/b-c_d.e", "list.example.org/..a/b..", "a.example/x.y"} {
		if err := policy.CheckOrigin(good); err != nil {
			t.Error(err)
		}
	}
	for _, bad := range []string{
		"", "example", "https://list.example.org", "List.example.org", "list.example.org/", "list.example.org//x", "list.example.org/x/",
		"a.example/../../x", "a.example/x/..", "a.example/.", "a.example/./x", "a.example/X", "a.example/x y", "a.example/x+y", "a.example/%2e",
		"a.example:443/x", "a.example./x", "192.0.2.1/x", "a.example/" + strings.Repeat("x", 250),
	} {
		if policy.CheckOrigin(bad) == nil {
			t.Errorf("%q is accepted", bad)
		}
	}
}
