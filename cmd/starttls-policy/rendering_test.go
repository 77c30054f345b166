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

// TestFilledFile: what comes back to its head, as a database does, is compared by what it says last; anything else counts as
// different, so that the worst is to write a file once more.
func TestFilledFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "file")
	long := strings.Repeat("0123456789", 1000)
	fill := func(head, rest string) func(io.WriteSeeker) error {
		return func(w io.WriteSeeker) error {
			_, err1 := io.WriteString(w, strings.Repeat("-", len(head))+rest)
			_, err2 := w.Seek(0, io.SeekStart)
			_, err3 := io.WriteString(w, head)
			return errors.Join(err1, err2, err3)
		}
	}
	if changed, err := replaceFile(path, fill("head", long)); err != nil || !changed {
		t.Fatal(changed, err)
	}
	for name, c := range map[string]struct {
		fill func(io.WriteSeeker) error
		want bool
	}{
		"the same":       {fill("head", long), true},
		"another head":   {fill("Head", long), false},
		"another end":    {fill("head", long[:len(long)-1]+"x"), false},
		"longer":         {fill("head", long+"x"), false},
		"shorter":        {fill("head", long[:len(long)-1]), false},
		"only its head":  {fill("head", ""), false},
		"nothing":        {func(io.WriteSeeker) error { return nil }, false},
		"said otherwise": {func(w io.WriteSeeker) error { return literal([]byte("head" + long))(w) }, true},
		"beyond its head": {func(w io.WriteSeeker) error {
			_, err := w.Seek(int64(len(long)), io.SeekCurrent)
			return err
		}, false},
	} {
		if same, err := isAsFilled(path, fillingHead, c.fill); same != c.want || err != nil && name != "beyond its head" {
			t.Errorf("%s: %v, %v", name, same, err)
		}
	}
	empty := func(io.WriteSeeker) error { return nil }
	for _, want := range []bool{true, false} {
		if changed, err := replaceFile(path, empty); err != nil || changed != want {
			t.Errorf("an empty file: %v, %v", changed, err)
		}
	}
}
