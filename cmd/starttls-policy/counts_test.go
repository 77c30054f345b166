package main

import (
	"path/filepath"
	"syscall"
	"testing"
)

// Each mirror that failed counts, and what a damaged report says is never below zero.
func TestCounts(t *testing.T) {
	before := updateCounts{Outcomes: map[string]int64{"fresh": 3, "stale": -7}, MirrorErrors: map[string]int64{"one": 2, "two": -5}}
	got := before.plus(updateReport{Exit: exitStale, Lists: []listReport{{Name: "one", Problems: []string{"a", "b", "c"}}, {Name: "two"}}})
	if got.Outcomes["fresh"] != 3 || got.Outcomes["stale"] != 1 || got.MirrorErrors["one"] != 5 || got.MirrorErrors["two"] != 0 {
		t.Errorf("%+v", got)
	}
}

// A named pipe in the place of the last report is waited for by nobody.
func TestLastUpdateIsAFile(t *testing.T) {
	dir := t.TempDir()
	if err := syscall.Mkfifo(filepath.Join(dir, lastUpdate), 0o644); err != nil {
		t.Fatal(err)
	}
	if r := loadLastUpdate(dir); len(r.Lists) > 0 {
		t.Errorf("%+v", r)
	}
}
