package durable_test

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/starttls-everywhere/policylist/mirror/durable"
)

// TestReadFile reads what is a file, and waits for nothing else.
func TestReadFile(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "file")
	if _, err := durable.ReadFile(path); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("got %v", err)
	}
	if err := os.WriteFile(path, []byte("text"), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(path, filepath.Join(dir, "link")); err != nil {
		t.Fatal(err)
	}
	for _, p := range []string{path, filepath.Join(dir, "link")} {
		if data, err := durable.ReadFile(p); err != nil || string(data) != "text" {
			t.Errorf("%s: %q, %v", p, data, err)
		}
	}
	for _, want := range []string{"", strings.Repeat("line\n", 1<<18)} {
		if err := os.WriteFile(path, []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
		if data, err := durable.ReadFile(path); err != nil || string(data) != want {
			t.Errorf("%d bytes read of %d, %v", len(data), len(want), err)
		}
	}
	pipe := filepath.Join(dir, "pipe")
	if err := syscall.Mkfifo(pipe, 0o644); err != nil {
		t.Fatal(err)
	}
	for _, p := range []string{pipe, dir} {
		if _, err := durable.ReadFile(p); err == nil || !strings.Contains(err.Error(), "no regular file") {
			t.Errorf("%s: %v", p, err)
		}
	}
}
