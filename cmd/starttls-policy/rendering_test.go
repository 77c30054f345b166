package main

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestRenderingIsIn: a file counts as right only when it has the same bytes, to the last, however they come.
func TestRenderingIsIn(t *testing.T) {
	text := strings.Repeat("a.example  secure match=mx.a.example\n", 3000)
	whole := literal([]byte(text))
	pieces := func(w io.Writer) error {
		for rest := text; rest != ""; {
			n := min(len(rest), 1+len(rest)%5000)
			if _, err := io.WriteString(w, rest[:n]); err != nil {
				return err
			}
			rest = rest[n:]
		}
		return nil
	}
	path := filepath.Join(t.TempDir(), "folder", "table")
	if _, err := whole.isIn(path); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("no file: %v", err)
	}
	if err := rendering(pieces).replace(path); err != nil {
		t.Fatal(err)
	}
	for name, r := range map[string]rendering{"whole": whole, "pieces": pieces} {
		for is, want := range map[string]bool{
			text: true, text[1:]: false, text[:len(text)-1]: false, text + "\n": false, "": false, text[:len(text)-2] + "x\n": false, "A" + text[1:]: false,
		} {
			if err := os.WriteFile(path, []byte(is), 0o644); err != nil {
				t.Fatal(err)
			}
			if same, err := r.isIn(path); err != nil || same != want {
				t.Errorf("%s: %v, %v for %d bytes", name, same, err, len(is))
			}
		}
	}
	torn := errors.New("torn")
	broken := rendering(func(w io.Writer) error { return errors.Join(literal([]byte("A")[:0])(w), torn) })
	if _, err := broken.isIn(path); !errors.Is(err, torn) {
		t.Errorf("a text that cannot be rendered: %v", err)
	}
	before, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := broken.replace(path); !errors.Is(err, torn) {
		t.Error(err)
	}
	if after, err := os.ReadFile(path); err != nil || string(after) != string(before) {
		t.Errorf("the old file is gone: %v", err)
	}
	if files, err := os.ReadDir(filepath.Dir(path)); err != nil || len(files) != 1 {
		t.Errorf("%v is left, %v", files, err)
	}
}
