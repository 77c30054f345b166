package logtest

import (
	"bytes"
	"context"
	"errors"
	"io/fs"
	"path/filepath"
	"slices"
	"testing"

	"golang.org/x/mod/sumdb/tlog"

	"github.com/starttls-everywhere/policylist/transparency"
	"github.com/starttls-everywhere/policylist/transparency/tilelog"
)

// sameBytes grows a log through the sizes where tiles begin and end, closing it in between.
func sameBytes(t *testing.T, open Open) {
	sizes := []int64{1, 255, 256, 257, 512, 1000}
	want := newReference(t, Leaves(0, sizes[len(sizes)-1]))
	dir := filepath.Join(t.TempDir(), "log")
	l := mustOpen(t, open, dir)
	if l.Tree() != want.trees[0] {
		t.Fatalf("an empty log has tree %v", l.Tree())
	}
	old := int64(0)
	for _, size := range sizes {
		mustAppend(t, l, old, want.leaves[old:size])
		want.checkGrown(t, l, old)
		if old > 0 {
			proof, err := tlog.ProveTree(size, old, l)
			if err != nil {
				t.Fatal(err)
			}
			if err := tlog.CheckTree(proof, size, want.trees[size].Hash, old, want.trees[old].Hash); err != nil {
				t.Errorf("from %d to %d: %v", old, size, err)
			}
		}
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
		l = mustOpen(t, open, dir)
		want.checkGrown(t, l, old)
		old = size
	}
	want.checkAll(t, l)
}

// largeLeaves are together more than a message of most protocols may have.
func largeLeaves(t *testing.T, open Open) {
	leaves := make([][]byte, 100)
	for i := range leaves {
		leaves[i] = bytes.Repeat([]byte{byte(i), 0, 0xff}, transparency.MaxEntryBytes/3)
	}
	leaves[50] = []byte{0}
	l := newLog(t, open)
	mustAppend(t, l, 0, leaves)
	newReference(t, leaves).checkAll(t, l)
}

func repeatedLeaf(t *testing.T, open Open) {
	leaves := slices.Repeat(Leaves(7, 1), 5)
	l := newLog(t, open)
	mustAppend(t, l, 0, leaves[:3])
	mustAppend(t, l, 3, leaves[3:])
	newReference(t, leaves).checkAll(t, l)
}

// submittedAgain is what a publisher does that does not know how far it had come.
func submittedAgain(t *testing.T, open Open) {
	want := newReference(t, Leaves(0, 700))
	l := newLog(t, open)
	mustAppend(t, l, 0, want.leaves[:600])
	for _, r := range [][2]int64{{0, 600}, {0, 1}, {599, 600}, {255, 257}, {100, 600}} {
		got, err := l.Append(within(t), r[0], want.leaves[r[0]:r[1]])
		if err != nil || got != want.trees[600] {
			t.Errorf("submitting %v again: %v, %v", r, got, err)
		}
	}
	if got, err := l.Append(within(t), 5000, nil); err != nil || got != want.trees[600] {
		t.Errorf("submitting nothing: %v, %v", got, err)
	}
	// Some old, some new.
	mustAppend(t, l, 300, want.leaves[300:])
	want.checkAll(t, l)
}

func refused(t *testing.T, open Open) {
	want := newReference(t, Leaves(0, 300))
	leaves := want.leaves
	l := newLog(t, open)
	mustAppend(t, l, 0, leaves)
	changed := bytes.Replace(leaves[299], []byte("set"), []byte("del"), 1)
	for _, c := range []struct {
		story  string
		start  int64
		leaves [][]byte
		want   error
	}{
		{"another leaf at the last index", 299, [][]byte{changed, leaves[0]}, tilelog.ErrConflict},
		{"the same leaf one index too early", 298, [][]byte{leaves[299]}, tilelog.ErrConflict},
		{"a conflict behind many that agree", 0, append(slices.Clone(leaves[:299]), changed), tilelog.ErrConflict},
		{"one index left out", 301, Leaves(301, 5), tilelog.ErrGap},
		{"the last possible index", 1<<63 - 1, Leaves(0, 1), tilelog.ErrGap},
		{"a negative index", -1, Leaves(0, 1), tilelog.ErrGap},
		{"an empty leaf", 300, [][]byte{leaves[0], {}}, tilelog.ErrLeaf},
		{"a leaf that no length prefix can state", 300, [][]byte{make([]byte, transparency.MaxEntryBytes+1)}, tilelog.ErrLeaf},
	} {
		if got, err := l.Append(within(t), c.start, c.leaves); !errors.Is(err, c.want) {
			t.Errorf("%s: %v, %v, want %v", c.story, got, err, c.want)
		}
	}
	want.checkAll(t, l)
	// Nothing of it comes up later.
	mustAppend(t, l, 300, Leaves(300, 1))
	newReference(t, Leaves(0, 301)).checkAll(t, l)
}

func canceled(t *testing.T, open Open) {
	want := newReference(t, Leaves(0, 10))
	l := newLog(t, open)
	mustAppend(t, l, 0, want.leaves)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := l.Append(ctx, 10, Leaves(10, 1)); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
	want.checkAll(t, l)
	mustAppend(t, l, 10, Leaves(10, 1))
}

func noOtherFiles(t *testing.T, open Open) {
	want := newReference(t, Leaves(0, 600))
	l := newLog(t, open)
	mustAppend(t, l, 0, want.leaves)
	// Every width of the last tile, whether or not an append ended there.
	for n := int64(513); n <= 600; n++ {
		for _, path := range tilelog.Files(n-1, n) {
			if got, err := l.ReadFile(path); err != nil || !bytes.Equal(got, want.file(t, path)) {
				t.Fatalf("%s is wrong (%v)", path, err)
			}
		}
	}
	for _, path := range []string{
		"tile/0/002", "tile/0/002.p/89", "tile/1/000.p/3", "tile/2/000.p/1", "tile/entries/002", "tile/entries/002.p/89",
		"root", "lock", "tile/0/../../root", "", "checkpoint",
	} {
		if data, err := l.ReadFile(path); !errors.Is(err, tilelog.ErrNotExist) {
			t.Errorf("%q: %d bytes, %v", path, len(data), err)
		}
	}
	if _, err := l.ReadHashes([]int64{tlog.StoredHashIndex(0, 600)}); !errors.Is(err, tilelog.ErrNotExist) {
		t.Errorf("hash of leaf 600: %v", err)
	}
}

func oneOpener(t *testing.T, open Open) {
	dir := filepath.Join(t.TempDir(), "log")
	l := mustOpen(t, open, dir)
	mustAppend(t, l, 0, Leaves(0, 10))
	if second, err := open(dir); !errors.Is(err, tilelog.ErrLocked) {
		t.Errorf("a second opener: %v, %v", second, err)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := l.Append(within(t), 10, Leaves(10, 1)); !errors.Is(err, fs.ErrClosed) {
		t.Errorf("appending to a closed log: %v", err)
	}
	mustAppend(t, mustOpen(t, open, dir), 10, Leaves(10, 1))
}
