package tool

import (
	"slices"
	"strings"
	"testing"
)

// A stock Debian Postfix has neither cdb nor lmdb; with their packages it has.
func TestPostfixHasTheTypesAskedFor(t *testing.T) {
	for _, plugins := range [][]string{nil, {"cdb"}, {"cdb", "lmdb"}} {
		out, err := NewPostfix(t, plugins...).Command(t.Context(), t, "postconf", "-m").Output()
		if err != nil {
			t.Fatal(err)
		}
		types := strings.Fields(string(out))
		for name, want := range map[string]bool{"texthash": true, "hash": true,
			"cdb": slices.Contains(plugins, "cdb"), "lmdb": slices.Contains(plugins, "lmdb")} {
			if slices.Contains(types, name) != want {
				t.Errorf("with %v: %s is there: %t", plugins, name, !want)
			}
		}
	}
}
