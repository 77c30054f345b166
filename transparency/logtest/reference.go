package logtest

import (
	"bytes"
	"fmt"
	"testing"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"

	"github.com/starttls-everywhere/policylist/transparency"
	"github.com/starttls-everywhere/policylist/transparency/tilelog"
)

// The key that signs checkpoints in these tests: an Ed25519 note key whose seed is 32 zero bytes.
const (
	origin = "log.example"
	seed   = "PRIVATE+KEY+log.example+d85f6874+AQAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"
)

// Leaves returns count leaves of about 150 bytes for the indexes from start on.
func Leaves(start, count int64) [][]byte {
	leaves := make([][]byte, count)
	for i := range leaves {
		n := start + int64(i)
		leaves[i] = fmt.Appendf(nil, `{"domain":"mail%d.example","kind":"change","op":"set","policy":{"mode":"enforce",`+
			`"mxs":["mx1.mail%d.example",".backup%d.example"]},"reason":"add.owner","release":%d}`, n, n, n, n/17+1)
	}
	return leaves
}

// reference is a log in memory, made by x/mod alone.
type reference struct {
	leaves [][]byte
	hashes []tlog.Hash
	trees  []tlog.Tree // trees[n] is the tree of size n
}

func newReference(t *testing.T, leaves [][]byte) *reference {
	t.Helper()
	r := &reference{leaves: leaves}
	for n := int64(0); ; n++ {
		root, err := tlog.TreeHash(n, r)
		if err != nil {
			t.Fatal(err)
		}
		r.trees = append(r.trees, tlog.Tree{N: n, Hash: root})
		if n == int64(len(leaves)) {
			return r
		}
		more, err := tlog.StoredHashes(n, leaves[n], r)
		if err != nil {
			t.Fatal(err)
		}
		r.hashes = append(r.hashes, more...)
	}
}

// ReadHashes makes it a tlog.HashReader.
func (r *reference) ReadHashes(indexes []int64) ([]tlog.Hash, error) {
	hashes := make([]tlog.Hash, len(indexes))
	for i, x := range indexes {
		hashes[i] = r.hashes[x]
	}
	return hashes, nil
}

// file returns a tile or bundle by its path.
func (r *reference) file(t *testing.T, path string) []byte {
	t.Helper()
	tile, err := transparency.ParseTilePath(path)
	if err != nil {
		t.Fatal(err)
	}
	if tile.L >= 0 {
		data, err := tlog.ReadTileData(tile, r)
		if err != nil {
			t.Fatal(err)
		}
		return data
	}
	var data []byte
	for _, leaf := range r.leaves[tile.N*transparency.TileWidth:][:tile.W] {
		if data, err = transparency.AppendEntry(data, leaf); err != nil {
			t.Fatal(err)
		}
	}
	return data
}

// checkGrown checks the tree, and what growing to it from size old publishes: tiles, bundles, and the checkpoint.
func (r *reference) checkGrown(t *testing.T, l Log, old int64) {
	t.Helper()
	tree := l.Tree()
	if tree != r.trees[tree.N] {
		t.Fatalf("tree %v, x/mod computes %v", tree, r.trees[tree.N])
	}
	for _, path := range tilelog.Files(old, tree.N) {
		got, err := l.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(got, r.file(t, path)) {
			t.Errorf("%s at size %d is not what x/mod makes", path, tree.N)
		}
	}
	if got, want := checkpoint(t, tree), checkpoint(t, r.trees[tree.N]); !bytes.Equal(got, want) {
		t.Errorf("checkpoint\n%swant\n%s", got, want)
	}
}

func checkpoint(t *testing.T, tree tlog.Tree) []byte {
	t.Helper()
	signer, err := note.NewSigner(seed)
	if err != nil {
		t.Fatal(err)
	}
	data, err := transparency.SignCheckpoint(transparency.Checkpoint{Origin: origin, Tree: tree}, signer)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// checkAll checks that the log is exactly the leaves of r.
func (r *reference) checkAll(t *testing.T, l Log) {
	t.Helper()
	if got, want := l.Tree(), r.trees[len(r.leaves)]; got != want {
		t.Fatalf("tree %v, want %v", got, want)
	}
	r.checkGrown(t, l, 0)
}
