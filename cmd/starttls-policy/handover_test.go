package main

import (
	"os"
	"path/filepath"
	"syscall"
	"testing"
)

// What root makes in another user's state folder becomes that user's; nothing outside does, and no file that has a second
// name. Packages are tested with the program itself as root; this is about what a hostile owner leaves there.
func TestHandOver(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("only root can give files away")
	}
	const user = 12345
	dir := t.TempDir()
	state, outside := filepath.Join(dir, "state"), filepath.Join(dir, "outside")
	for _, d := range []string{state, filepath.Join(state, "example"), outside} {
		if err := os.Mkdir(d, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	for _, f := range []string{"state/example/policy.json", "outside/shadow", "outside/passwd"} {
		if err := os.WriteFile(filepath.Join(dir, f), nil, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	for from, to := range map[string]string{"state/link": filepath.Join(outside, "shadow"), "state/folder": outside} {
		if err := os.Symlink(to, filepath.Join(dir, from)); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Link(filepath.Join(outside, "passwd"), filepath.Join(state, "hard")); err != nil {
		t.Fatal(err)
	}
	if err := handOver(state); err != nil || owner(t, filepath.Join(state, "example")) != 0 {
		t.Errorf("what is in root's own folder was given away, %v", err)
	}
	if err := os.Chown(state, user, user); err != nil {
		t.Fatal(err)
	}
	if err := handOver(state); err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]uint32{"state/example": user, "state/example/policy.json": user, "state/link": user,
		"state/hard": 0, "outside": 0, "outside/shadow": 0, "outside/passwd": 0} {
		if got := owner(t, filepath.Join(dir, path)); got != want {
			t.Errorf("%s belongs to %d, want %d", path, got, want)
		}
	}
	if err := handOver(filepath.Join(dir, "none")); err != nil {
		t.Error(err)
	}
}

func owner(t *testing.T, path string) uint32 {
	t.Helper()
	info, err := os.Lstat(path)
	if err != nil {
		t.Fatal(err)
	}
	return info.Sys().(*syscall.Stat_t).Uid
}
