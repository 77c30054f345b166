package durable_test

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/starttls-everywhere/policylist/mirror/durable"
)

// TestWrite: a file that could not be filled is not there, and the old one is.
func TestWrite(t *testing.T) {
	path := filepath.Join(t.TempDir(), "file")
	lines := func(w io.WriteSeeker) error {
		for range 1000 {
			if _, err := io.WriteString(w, "a line\n"); err != nil {
				return err
			}
		}
		return nil
	}
	if err := durable.Write(path, 0o640, lines); err != nil {
		t.Fatal(err)
	}
	torn := errors.New("torn")
	err := durable.Write(path, 0o644, func(w io.WriteSeeker) error { return errors.Join(lines(w), torn) })
	if !errors.Is(err, torn) {
		t.Errorf("got %v", err)
	}
	data, err := os.ReadFile(path)
	if err != nil || string(data) != strings.Repeat("a line\n", 1000) || modeOf(t, path) != 0o640 {
		t.Errorf("%v: %d bytes, mode %v", err, len(data), modeOf(t, path))
	}
	if files, err := os.ReadDir(filepath.Dir(path)); err != nil || len(files) != 1 {
		t.Errorf("%v is left, %v", files, err)
	}
}
