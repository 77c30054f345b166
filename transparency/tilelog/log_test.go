package tilelog

import (
	"bytes"
	"context"
	"errors"
	"io/fs"
	mathrand "math/rand/v2"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/mod/sumdb/tlog"

	"github.com/starttls-everywhere/policylist/transparency"
)

func newLog(t testing.TB) *Log {
	t.Helper()
	return mustOpen(t, filepath.Join(t.TempDir(), "log"))
}

func mustOpen(t testing.TB, dir string) *Log {
	t.Helper()
	l, err := Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return l
}

func mustAppend(t testing.TB, l *Log, start int64, leaves [][]byte) tlog.Tree {
	t.Helper()
	tree, err := l.Append(context.Background(), start, leaves)
	if err != nil {
		t.Fatal(err)
	}
	if want := start + int64(len(leaves)); tree.N != want || l.Tree() != tree {
		t.Fatalf("tree after appending up to %d: returned %v, kept %v", want, tree, l.Tree())
	}
	return tree
}

// hashLog is the same log in memory, by x/mod alone.
type hashLog struct {
	hashes []tlog.Hash
	trees  []tlog.Tree // trees[n] is the tree of size n
}

func newHashLog(t testing.TB, leaves [][]byte) *hashLog {
	t.Helper()
	h := &hashLog{}
	for n := int64(0); ; n++ {
		root, err := tlog.TreeHash(n, h)
		if err != nil {
			t.Fatal(err)
		}
		h.trees = append(h.trees, tlog.Tree{N: n, Hash: root})
		if n == int64(len(leaves)) {
			return h
		}
		more, err := tlog.StoredHashes(n, leaves[n], h)
		if err != nil {
			t.Fatal(err)
		}
		h.hashes = append(h.hashes, more...)
	}
}

func (h *hashLog) ReadHashes(indexes []int64) ([]tlog.Hash, error) {
	hashes := make([]tlog.Hash, len(indexes))
	for i, x := range indexes {
		hashes[i] = h.hashes[x]
	}
	return hashes, nil
}

// checkLog checks that the log is exactly leaves, reading all of it.
func checkLog(t testing.TB, l *Log, leaves [][]byte) {
	t.Helper()
	want := newHashLog(t, leaves).trees[len(leaves)]
	if l.Tree() != want {
		t.Fatalf("tree %v, want %v", l.Tree(), want)
	}
	i := 0
	for leaf, err := range l.Leaves(0, want.N) {
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(leaf, leaves[i]) {
			t.Fatalf("leaf %d is %q, want %q", i, leaf, leaves[i])
		}
		i++
	}
	if i != len(leaves) {
		t.Fatalf("%d leaves, want %d", i, len(leaves))
	}
	for _, path := range Files(0, want.N) {
		mustRead(t, l, path)
	}
}

// TestEveryStepProvesItsHistory grows a log in steps of all kinds, closing it now and then. After each step Trillian's
// root is the one that x/mod computes, every older tree is proven to be its beginning, and leaves are proven to be in it.
func TestEveryStepProvesItsHistory(t *testing.T) {
	leaves := makeLeaves(0, 70_000)
	want := newHashLog(t, leaves)
	random := mathrand.New(mathrand.NewPCG(3, 4))
	l := newLog(t)
	if l.Tree() != want.trees[0] {
		t.Fatalf("empty log has tree %v", l.Tree())
	}
	sizes := []int64{1, 2, 3, 255, 256, 257, 511, 512, 513}
	for sizes[len(sizes)-1] < 2000 {
		sizes = append(sizes, sizes[len(sizes)-1]+1+random.Int64N(300))
	}
	sizes = append(sizes, 1<<16-1, 1<<16, 1<<16+1, int64(len(leaves)))
	published := []int64{}
	for step, size := range sizes {
		last := l.Tree().N
		tree := mustAppend(t, l, last, leaves[last:size])
		if tree != want.trees[size] {
			t.Fatalf("tree %v, x/mod computes %v", tree, want.trees[size])
		}
		checkProofs(t, l, want, published, random)
		published = append(published, size)
		if step%3 == 0 {
			dir := l.disk.dir
			if err := l.Close(); err != nil {
				t.Fatal(err)
			}
			l = mustOpen(t, dir)
			if l.Tree() != tree {
				t.Fatalf("reopened with %v, was %v", l.Tree(), tree)
			}
		}
	}
	checkLog(t, l, leaves)
}

func checkProofs(t *testing.T, l *Log, want *hashLog, older []int64, random *mathrand.Rand) {
	t.Helper()
	tree := l.Tree()
	for _, n := range older {
		proof, err := tlog.ProveTree(tree.N, n, l)
		if err != nil {
			t.Fatal(err)
		}
		if err := tlog.CheckTree(proof, tree.N, tree.Hash, n, want.trees[n].Hash); err != nil {
			t.Fatalf("from %d to %d: %v", n, tree.N, err)
		}
	}
	for _, i := range []int64{0, tree.N - 1, random.Int64N(tree.N)} {
		proof, err := tlog.ProveRecord(tree.N, i, l)
		if err != nil {
			t.Fatal(err)
		}
		leaf, err := l.Leaf(i)
		if err != nil {
			t.Fatal(err)
		}
		if err := tlog.CheckRecord(proof, tree.N, tree.Hash, i, tlog.RecordHash(leaf)); err != nil {
			t.Fatalf("leaf %d of %d: %v", i, tree.N, err)
		}
	}
}

func TestOnlyOneOpensTheLog(t *testing.T) {
	l := newLog(t)
	mustAppend(t, l, 0, makeLeaves(0, 10))
	if _, err := Open(l.disk.dir); !errors.Is(err, ErrLocked) {
		t.Errorf("second opener in this process: %v", err)
	}
	program := buildAppendOne(t)
	out, err := exec.Command(program, l.disk.dir).CombinedOutput()
	if err == nil || !strings.Contains(string(out), ErrLocked.Error()) {
		t.Errorf("opener in another process: %v, %q", err, out)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := l.Append(t.Context(), 10, makeLeaves(10, 1)); !errors.Is(err, fs.ErrClosed) {
		t.Errorf("appending to a closed log: %v", err)
	}
	// It prints its time and nothing else: no word of Trillian's gets to the terminal.
	runAppendOne(t, program, l.disk.dir)
	if n := mustOpen(t, l.disk.dir).Tree().N; n != 11 {
		t.Errorf("the other process left size %d", n)
	}
}

// TestFilesOfTheTreeAndNoOthers reads every width of the last tiles and bundles, published or not, and nothing beyond.
func TestFilesOfTheTreeAndNoOthers(t *testing.T) {
	l := newLog(t)
	leaves := makeLeaves(0, 600)
	mustAppend(t, l, 0, leaves)
	want := newHashLog(t, leaves)
	for n := int64(513); n <= 600; n++ {
		for _, tile := range tlog.NewTiles(transparency.TileHeight, n-1, n) {
			data, err := tlog.ReadTileData(tile, want)
			if err != nil {
				t.Fatal(err)
			}
			if got := mustRead(t, l, transparency.TilePath(tile)); !bytes.Equal(got, data) {
				t.Fatalf("%s is wrong", transparency.TilePath(tile))
			}
			tile.L = -1
			entries, err := transparency.ParseBundle(mustRead(t, l, transparency.TilePath(tile)), tile.W)
			if err != nil || !bytes.Equal(entries[tile.W-1], leaves[n-1]) {
				t.Fatalf("%s is wrong (%v)", transparency.TilePath(tile), err)
			}
		}
	}
	for _, path := range []string{
		"tile/0/002", "tile/0/002.p/89", "tile/0/003.p/1", "tile/1/000.p/3", "tile/1/000", "tile/2/000.p/1", "tile/entries/002",
		"tile/entries/002.p/89", "tile/63/000.p/1", "tile/8/000.p/1", "tile/0/x999/x999/x999/x999/x999/999", "root", "lock",
		"tile/0/000.p/0", "tile/0/../../root", "tile/0/2", "", "checkpoint",
	} {
		if data, err := l.ReadFile(path); !errors.Is(err, ErrNotExist) || !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%q: %d bytes, %v", path, len(data), err)
		}
	}
	for _, i := range []int64{-1, 600, 1 << 62} {
		if _, err := l.Leaf(i); !errors.Is(err, ErrNotExist) {
			t.Errorf("leaf %d: %v", i, err)
		}
		if _, err := l.ReadHashes([]int64{i * 2}); !errors.Is(err, ErrNotExist) {
			t.Errorf("hash %d: %v", i*2, err)
		}
	}
	for _, r := range [][2]int64{{-1, 2}, {0, 601}, {5, 4}} {
		for _, err := range l.Leaves(r[0], r[1]) {
			if !errors.Is(err, ErrNotExist) {
				t.Errorf("leaves %v: %v", r, err)
			}
		}
	}
	for range l.Leaves(600, 600) {
		t.Error("a leaf in an empty range")
	}
}
