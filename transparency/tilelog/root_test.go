package tilelog

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/mod/sumdb/tlog"
)

// TestUnusableRootFiles damages the root file in every way at hand. Each time Open names the file, says what to do, and
// leaves it as it is.
func TestUnusableRootFiles(t *testing.T) {
	l := newLog(t)
	mustAppend(t, l, 0, makeLeaves(0, 300))
	l.Close()
	other := newLog(t)
	tree := mustAppend(t, other, 0, makeLeaves(1, 300))
	name := filepath.Join(l.disk.dir, rootName)
	good, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	cases := map[string]string{
		"empty":                   "",
		"of another program":      "x" + string(good),
		"of a later version":      strings.Replace(string(good), "/v1", "/v2", 1),
		"edited":                  strings.Replace(string(good), "size 300", "size 299", 1),
		"with text after its end": string(good) + "\n",
		"of another log":          string(formatRoot(tree)),
		"of a bigger log":         string(formatRoot(tlog.Tree{N: 301, Hash: tree.Hash})),
		"of a huge log":           string(formatRoot(tlog.Tree{N: maxSize, Hash: tree.Hash})),
		"beyond any size":         string(formatRoot(tlog.Tree{N: maxSize + 1, Hash: tree.Hash})),
		"with a negative size":    string(formatRoot(tlog.Tree{N: -1, Hash: tree.Hash})),
		"of size 0, other hash":   string(formatRoot(tlog.Tree{N: 0, Hash: tree.Hash})),
		"endless":                 strings.Repeat("a", 1<<20),
		"of zeros, after a crash": string(make([]byte, len(good))),
	}
	for i := range good {
		cases[fmt.Sprint("cut after bytes: ", i)] = string(good[:i])
		flipped := bytes.Clone(good)
		flipped[i] ^= 1 << (i % 8)
		cases[fmt.Sprint("flipped in byte ", i)] = string(flipped)
	}
	for story, text := range cases {
		if err := os.WriteFile(name, []byte(text), fileMode); err != nil {
			t.Fatal(err)
		}
		l, err := Open(l.disk.dir)
		if err == nil {
			l.Close()
			t.Fatalf("%s: opened", story)
		}
		if !errors.Is(err, ErrCorrupt) || !strings.Contains(err.Error(), filepath.Dir(name)) {
			t.Errorf("%s: %v", story, err)
		}
		if after, err := os.ReadFile(name); err != nil || string(after) != text {
			t.Errorf("%s: Open changed the file (%v)", story, err)
		}
	}
	if err := os.Remove(name); err != nil {
		t.Fatal(err)
	}
	_, err = Open(l.disk.dir)
	if !errors.Is(err, ErrCorrupt) || !strings.Contains(err.Error(), "rebuild the log from a mirror") {
		t.Errorf("missing, with tiles: %v", err)
	}
	if err := os.WriteFile(name, good, fileMode); err != nil {
		t.Fatal(err)
	}
	checkLog(t, mustOpen(t, l.disk.dir), makeLeaves(0, 300))
}

// FuzzRootFile: no file makes the parser panic, and what it accepts is what formatRoot writes.
func FuzzRootFile(f *testing.F) {
	empty, err := tlog.TreeHash(0, nil)
	if err != nil {
		f.Fatal(err)
	}
	for _, t := range []tlog.Tree{{N: 0, Hash: empty}, {N: 100_000, Hash: tlog.Hash{1, 2, 3}}, {N: maxSize}} {
		f.Add(formatRoot(t))
	}
	f.Add([]byte("policylist/tilelog/v1\nsize 01\nhash \nsum \n"))
	f.Add([]byte("policylist/tilelog/v2\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		tree, err := parseRoot(data)
		if err != nil {
			return
		}
		if !bytes.Equal(formatRoot(tree), data) {
			t.Errorf("accepted %q, which is not canonical", data)
		}
	})
}
