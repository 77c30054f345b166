package durable_test

import (
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/starttls-everywhere/policylist/mirror/durable"
)

func lock(t *testing.T, path string) {
	t.Helper()
	unlock, err := durable.Lock(path)
	if err != nil {
		t.Fatal(err)
	}
	unlock()
}

func modeOf(t *testing.T, path string) fs.FileMode {
	t.Helper()
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	return info.Mode().Perm()
}

// TestLockIsClosedToOthers: whoever can open the file can lock it, and would stop every update.
func TestLockIsClosedToOthers(t *testing.T) {
	path := filepath.Join(t.TempDir(), "lock")
	lock(t, path)
	if m := modeOf(t, path); m != 0o600 {
		t.Errorf("made with mode %v", m)
	}
	for before, after := range map[fs.FileMode]fs.FileMode{0o644: 0o600, 0o666: 0o600, 0o600: 0o600, 0o660: 0o660} {
		if err := os.Chmod(path, before); err != nil {
			t.Fatal(err)
		}
		lock(t, path)
		if m := modeOf(t, path); m != after {
			t.Errorf("mode %v became %v, want %v", before, m, after)
		}
	}
}

// TestLockedSince: a lock that is held says when it was taken; a process that hangs is told from one that works.
func TestLockedSince(t *testing.T) {
	path := filepath.Join(t.TempDir(), "lock")
	lock(t, path)
	old := time.Date(2020, 1, 2, 3, 4, 5, 0, time.UTC)
	set := func() {
		t.Helper()
		if err := os.Chtimes(path, old, old); err != nil {
			t.Fatal(err)
		}
	}
	set()
	unlock, err := durable.Lock(path)
	if err != nil {
		t.Fatal(err)
	}
	defer unlock()
	if info, err := os.Stat(path); err != nil || info.ModTime().Equal(old) {
		t.Errorf("%v: the time is not that of the lock", err)
	}
	set()
	if _, err := durable.Lock(path); !errors.Is(err, durable.ErrLocked) || !strings.Contains(err.Error(), "2020-01-02T03:04:05Z") {
		t.Errorf("got %v", err)
	}
}

// TestLockIsNoWayOut: nothing outside the folder is made, changed or waited for by what lies in the place of a lock.
func TestLockIsNoWayOut(t *testing.T) {
	dir, path := t.TempDir(), filepath.Join(t.TempDir(), "lock")
	out := filepath.Join(dir, "outside")
	if err := os.Symlink(out, path); err != nil {
		t.Fatal(err)
	}
	if _, err := durable.Lock(path); err == nil {
		t.Error("a link was locked")
	}
	if _, err := os.Lstat(out); err == nil {
		t.Error("a file was made outside")
	}
	os.Remove(path)
	if err := os.WriteFile(out, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.Link(out, path); err != nil {
		t.Fatal(err)
	}
	lock(t, path)
	if m := modeOf(t, out); m != 0o644 {
		t.Errorf("the other name has mode %v", m)
	}
	os.Remove(path)
	if err := syscall.Mkfifo(path, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := durable.Lock(path); err == nil {
		t.Error("a pipe was locked")
	}
}

// TestLockOfTwoUsers: what root makes in the folder of a service's user, that user can lock, root as well, and nobody else.
func TestLockOfTwoUsers(t *testing.T) {
	const user, other = 65533, 65532
	flock, err := exec.LookPath("flock")
	if os.Geteuid() != 0 || err != nil {
		t.Skip("needs root, and flock")
	}
	top, err := os.MkdirTemp("/tmp", "lock")
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(top)
	dir := filepath.Join(top, "state")
	if err := errors.Join(os.Chmod(top, 0o755), os.Mkdir(dir, 0o755), os.Chown(dir, user, user)); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, "lock")
	locks := func(uid uint32) bool {
		cmd := exec.Command(flock, "-n", path, "true")
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uid, Gid: uid, NoSetGroups: true}}
		return cmd.Run() == nil
	}
	for _, mode := range []fs.FileMode{0, 0o644} {
		if mode != 0 {
			if err := os.Chmod(path, mode); err != nil {
				t.Fatal(err)
			}
		}
		lock(t, path)
		if !locks(user) || locks(other) {
			t.Errorf("mode %v: the user can lock: %v, another: %v", mode, locks(user), locks(other))
		}
	}
	lock(t, path)
}

// TestLockDir: two who ask for a folder do not have it at once, and nothing is left in it.
func TestLockDir(t *testing.T) {
	dir := t.TempDir()
	unlock, err := durable.LockDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := durable.LockDir(dir); !errors.Is(err, durable.ErrLocked) {
		t.Errorf("a second time: %v", err)
	}
	unlock()
	if unlock, err = durable.LockDir(dir); err != nil {
		t.Fatalf("after the first is done: %v", err)
	}
	unlock()
	if left, err := os.ReadDir(dir); err != nil || len(left) > 0 {
		t.Errorf("%v %v", err, left)
	}
	file := filepath.Join(dir, "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := durable.LockDir(file); err == nil {
		t.Error("a file was locked as a folder")
	}
}
