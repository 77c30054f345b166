package tilelog

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"golang.org/x/mod/sumdb/tlog"

	"github.com/starttls-everywhere/policylist/transparency"
)

// TestDamagedFilesAreFound damages, one after the other, each file that the log stands on. Reading the log finds it, and
// so does an append that would build on it; the error names the file. No damaged byte is returned, the root stays.
func TestDamagedFilesAreFound(t *testing.T) {
	const size = 600
	l := newLog(t)
	leaves := makeLeaves(0, size)
	mustAppend(t, l, 0, leaves)
	damages := map[string]func([]byte) []byte{
		"first bit flipped": func(b []byte) []byte { b[0] ^= 0x80; return b },
		"last bit flipped":  func(b []byte) []byte { b[len(b)-1] ^= 1; return b },
		"cut short":         func(b []byte) []byte { return b[:len(b)-1] },
		"emptied":           func([]byte) []byte { return nil },
		"one byte longer":   func(b []byte) []byte { return append(b, 0) },
		"endless":           func(b []byte) []byte { return append(b, make([]byte, transparency.MaxBundleBytes)...) },
		"missing":           nil,
	}
	for _, path := range Files(0, size) {
		name := filepath.Join(l.disk.dir, path)
		good, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		for story, damage := range damages {
			if damage == nil {
				err = os.Remove(name)
			} else {
				err = os.WriteFile(name, damage(bytes.Clone(good)), fileMode)
			}
			if err != nil {
				t.Fatal(err)
			}
			checkFound(t, l, path+" "+story, path)
		}
		if err := os.WriteFile(name, good, fileMode); err != nil {
			t.Fatal(err)
		}
	}
	checkLog(t, l, leaves)
}

func checkFound(t *testing.T, l *Log, story, path string) {
	t.Helper()
	var found error
	for _, err := range l.Leaves(0, l.Tree().N) {
		found = err
	}
	if !errors.Is(found, ErrCorrupt) || !strings.Contains(found.Error(), path) || errors.Is(found, ErrNotExist) {
		t.Errorf("%s: reading all leaves: %v", story, found)
	}
	if data, err := l.ReadFile(path); !errors.Is(err, ErrCorrupt) {
		t.Errorf("%s: ReadFile returned %d bytes, %v", story, len(data), err)
	}
	tree := l.Tree()
	tile, err := transparency.ParseTilePath(path)
	if err != nil {
		t.Fatal(err)
	}
	// An append builds on the right edge: the partial files, and the full one of level 0 only by its hash in level 1.
	if tile.W < transparency.TileWidth {
		if _, err := l.Append(t.Context(), tree.N, makeLeaves(tree.N, 1)); !errors.Is(err, ErrCorrupt) {
			t.Errorf("%s: appending: %v", story, err)
		}
	}
	if l.Tree() != tree {
		t.Fatalf("%s: the tree is now %v", story, l.Tree())
	}
}

// TestDamagedEdgeDoesNotOpen damages the tiles that the root hash is computed from while the log is closed.
func TestDamagedEdgeDoesNotOpen(t *testing.T) {
	l := newLog(t)
	mustAppend(t, l, 0, makeLeaves(0, 600))
	l.Close()
	for _, path := range []string{"tile/0/002.p/88", "tile/1/000.p/2"} {
		name := filepath.Join(l.disk.dir, path)
		flipBit(t, name)
		if _, err := Open(l.disk.dir); !errors.Is(err, ErrCorrupt) || !strings.Contains(err.Error(), path) {
			t.Errorf("%s: %v", path, err)
		}
		flipBit(t, name)
	}
	mustOpen(t, l.disk.dir)
}

func flipBit(t *testing.T, name string) {
	t.Helper()
	data, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	data[len(data)/2] ^= 0x10
	if err := os.WriteFile(name, data, fileMode); err != nil {
		t.Fatal(err)
	}
}

// TestBitFlippedBeforeSigning is the end of the Yeti 2022 CT log: a bit flips in a file between its writing and the
// signature over the root. Append refuses each time, nothing is lost, and the same append succeeds afterwards.
func TestBitFlippedBeforeSigning(t *testing.T) {
	const old, size = 300, 600
	leaves := makeLeaves(0, size)
	var mu sync.Mutex // guards victim
	var victim string
	dir := filepath.Join(t.TempDir(), "log")
	l, err := open(dir, func(op, path string) error {
		mu.Lock()
		defer mu.Unlock()
		if op == "rename" && path == victim {
			flipBit(t, filepath.Join(dir, path))
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	tree := mustAppend(t, l, 0, leaves[:old])
	for _, path := range Files(old, size) {
		mu.Lock()
		victim = path
		mu.Unlock()
		_, err := l.Append(t.Context(), old, leaves[old:])
		if !errors.Is(err, ErrCorrupt) || !strings.Contains(err.Error(), path) {
			t.Errorf("%s: %v", path, err)
		}
		if l.Tree() != tree {
			t.Fatalf("%s: the tree is now %v", path, l.Tree())
		}
		if root, err := readRoot(&l.disk); err != nil || root != tree {
			t.Fatalf("%s: the root file is now %v, %v", path, root, err)
		}
	}
	mu.Lock()
	victim = ""
	mu.Unlock()
	mustAppend(t, l, old, leaves[old:])
	checkLog(t, l, leaves)
}

// TestLeavesOfAnAbortedAppendAreNeverServed leaves files of an append behind that never got its root, then goes on with
// other leaves past the sizes where these files lie.
func TestLeavesOfAnAbortedAppendAreNeverServed(t *testing.T) {
	for _, next := range []int64{4, 5, 6, 255, 256, 257, 300, 301, 513, 600} {
		t.Run(fmt.Sprint(next), func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "log")
			abort := false
			l, err := open(dir, func(op, _ string) error {
				if abort && op == "verify" {
					return errors.New("power button")
				}
				return nil
			})
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { l.Close() })
			leaves := makeLeaves(0, 600)
			tree := mustAppend(t, l, 0, leaves[:3])

			abort = true
			for _, size := range []int64{5, 300, 513} {
				if _, err := l.Append(t.Context(), 3, makeLeaves(7000, size-3)); err == nil {
					t.Fatal("append was not aborted")
				}
			}
			abort = false
			if l.Tree() != tree {
				t.Fatalf("tree is %v", l.Tree())
			}
			for _, path := range Files(3, 513) {
				if _, err := l.ReadFile(path); !errors.Is(err, ErrNotExist) {
					t.Errorf("%s of the aborted append: %v", path, err)
				}
			}
			mustAppend(t, l, 3, leaves[3:next])
			checkLog(t, l, leaves[:next])
			checkEveryWidth(t, l, leaves[:next])
			l.Close()
			checkLog(t, mustOpen(t, dir), leaves[:next])
		})
	}
}

// checkEveryWidth checks all files that ReadFile can return against x/mod's.
func checkEveryWidth(t *testing.T, l *Log, leaves [][]byte) {
	t.Helper()
	want := newHashLog(t, leaves)
	var tiles []tlog.Tile
	for n := int64(1); n <= int64(len(leaves)); n++ {
		tiles = append(tiles, newTiles(n-1, n)...)
	}
	for _, tile := range tiles {
		var data []byte
		var err error
		if tile.L == -1 {
			first := tile.N * transparency.TileWidth
			data, err = encodeBundle(leaves[first : first+int64(tile.W)])
		} else {
			data, err = tlog.ReadTileData(tile, want)
		}
		if err != nil {
			t.Fatal(err)
		}
		if path := transparency.TilePath(tile); !bytes.Equal(mustRead(t, l, path), data) {
			t.Errorf("%s has other bytes than its tree", path)
		}
	}
}
