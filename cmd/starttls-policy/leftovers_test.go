package main

import (
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"
)

// TestLeftovers: an update takes away what a killed command left hours ago, and nothing that may still be somebody's work.
func TestLeftovers(t *testing.T) {
	m := newMachine(t, "")
	state, tables := filepath.Join(m.dir, "var"), filepath.Join(m.dir, "tables")
	cfg, err := m.loadConfig()
	if err != nil {
		t.Fatal(err)
	}
	cfg.Postfix = &postfixConfig{Map: absolutePath(filepath.Join(tables, "map"))}
	put := func(age time.Duration, dir string, names ...string) {
		t.Helper()
		for _, name := range names {
			path := filepath.Join(dir, name)
			if err := os.MkdirAll(path, 0o755); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(filepath.Join(path, "map"), nil, 0o644); err != nil {
				t.Fatal(err)
			}
			if err := os.Chtimes(path, time.Time{}, m.at.Add(-age)); err != nil {
				t.Fatal(err)
			}
		}
	}
	put(leftOver, state, ".tmp-postfix-tls-policy-12", ".tmp-mine", ".tmp-", "other-12")
	put(leftOver-time.Minute, state, ".tmp-postfix-tls-policy-13")
	put(leftOver, tables, ".tmp-map-1", ".tmp-map.cdb-2", ".tmp-their-3")
	m.sweepTables(cfg)
	for dir, want := range map[string][]string{
		state:  {".tmp-", ".tmp-mine", ".tmp-postfix-tls-policy-13", "other-12"},
		tables: {".tmp-their-3"},
	} {
		entries, err := os.ReadDir(dir)
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, e := range entries {
			if e.Name()[0] == '.' || e.Name() == "other-12" {
				got = append(got, e.Name())
			}
		}
		if !slices.Equal(got, want) {
			t.Errorf("%s has %q, want %q", dir, got, want)
		}
	}
}
