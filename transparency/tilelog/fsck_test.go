package tilelog

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"sync"
	"testing"

	"github.com/transparency-dev/merkle/rfc6962"
	"github.com/transparency-dev/tessera/api"
	"github.com/transparency-dev/tessera/api/layout"
	"github.com/transparency-dev/tessera/fsck"
	"golang.org/x/mod/sumdb/note"
)

// judged shows a log to Tessera's fsck the way a mirror would: by C2SP paths only.
type judged struct {
	log        *Log
	checkpoint []byte
	read       sync.Map // every path that was asked for; fsck has several readers
}

func (j *judged) ReadCheckpoint(context.Context) ([]byte, error) { return j.checkpoint, nil }

func (j *judged) ReadTile(_ context.Context, level, index uint64, width uint8) ([]byte, error) {
	return j.file(layout.TilePath(level, index, width))
}

func (j *judged) ReadEntryBundle(_ context.Context, index uint64, width uint8) ([]byte, error) {
	return j.file(layout.EntriesPath(index, width))
}

func (j *judged) file(path string) ([]byte, error) {
	j.read.Store(path, true)
	return j.log.ReadFile(path)
}

// TestTesseraFsckPasses lets the other implementation rebuild the whole tree from our bundles and compare all tiles.
func TestTesseraFsckPasses(t *testing.T) {
	const origin = "log.example"
	secret, public, err := note.GenerateKey(rand.Reader, origin)
	if err != nil {
		t.Fatal(err)
	}
	signer, err1 := note.NewSigner(secret)
	verifier, err2 := note.NewVerifier(public)
	if err := errors.Join(err1, err2); err != nil {
		t.Fatal(err)
	}
	l := newLog(t)
	last := int64(0)
	for _, size := range []int64{1, 255, 256, 700, 1<<16 + 300} {
		tree := mustAppend(t, l, last, makeLeaves(last, size-last))
		last = size
		checkpoint, err := note.Sign(&note.Note{Text: fmt.Sprintf("%s\n%d\n%s\n", origin, tree.N, tree.Hash)}, signer)
		if err != nil {
			t.Fatal(err)
		}
		j := &judged{log: l, checkpoint: checkpoint}
		if err := fsck.New(origin, verifier, j, leafHashes, fsck.Opts{N: 1}).Check(t.Context()); err != nil {
			t.Errorf("size %d: %v", size, err)
		}
		for _, path := range Files(0, size) {
			if _, ok := j.read.Load(path); !ok {
				t.Errorf("size %d: fsck did not look at %s", size, path)
			}
		}
	}
}

func leafHashes(bundle []byte) ([][]byte, error) {
	var b api.EntryBundle
	if err := b.UnmarshalText(bundle); err != nil {
		return nil, err
	}
	hashes := make([][]byte, len(b.Entries))
	for i, entry := range b.Entries {
		hashes[i] = rfc6962.DefaultHasher.HashLeaf(entry)
	}
	return hashes, nil
}
