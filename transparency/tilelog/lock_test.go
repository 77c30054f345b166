package tilelog

import (
	"errors"
	"testing"

	"golang.org/x/sys/unix"
)

// TestCloseGivesTheLockBack although a process that is just being started holds a copy of its descriptor.
func TestCloseGivesTheLockBack(t *testing.T) {
	dir := t.TempDir()
	first, err := Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	copied, err := unix.Dup(int(first.lock.Fd()))
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(copied)
	if _, err := Open(dir); !errors.Is(err, ErrLocked) {
		t.Fatalf("a second writer: %v", err)
	}
	if err := first.Close(); err != nil {
		t.Fatal(err)
	}
	again, err := Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	if err := again.Close(); err != nil {
		t.Error(err)
	}
}
