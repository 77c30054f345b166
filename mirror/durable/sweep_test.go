package durable_test

import (
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/starttls-everywhere/policylist/mirror/durable"
)

// TestSweep takes away what WriteFile calls its temporary files, of the names given, and nothing else.
func TestSweep(t *testing.T) {
	dir := t.TempDir()
	left, err := os.CreateTemp(dir, ".tmp-state.json-*") // as WriteFile does
	if err != nil {
		t.Fatal(err)
	}
	left.Close()
	keep := []string{".tmp-other-12", ".tmp-state.json-", ".tmp-state.json-1x", ".tmp-state.json.old-3", "state.json"}
	for _, name := range append([]string{".tmp-list-1", ".tmp-state.json-99"}, keep...) {
		if err := os.WriteFile(filepath.Join(dir, name), nil, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if err := durable.Sweep(dir, "state.json", "list"); err != nil {
		t.Fatal(err)
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, e := range entries {
		got = append(got, e.Name())
	}
	if !slices.Equal(got, keep) {
		t.Errorf("what stays is %q, want %q", got, keep)
	}
	if durable.Sweep(filepath.Join(dir, "absent"), "x") == nil {
		t.Error("an absent folder was swept")
	}
}
