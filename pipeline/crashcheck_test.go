package pipeline_test

import (
	"context"
	"path/filepath"
	"time"

	"github.com/transparency-dev/merkle/rfc6962"
	"github.com/transparency-dev/tessera/api"
	"github.com/transparency-dev/tessera/api/layout"
	"github.com/transparency-dev/tessera/fsck"
	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"

	"github.com/starttls-everywhere/policylist/mirror"
	"github.com/starttls-everywhere/policylist/pipeline"
	"github.com/starttls-everywhere/policylist/transparency"
)

func (w *crashWorld) chain() *transparency.TrustChain {
	w.t.Helper()
	chain, err := mirror.ReadTrust(filepath.Join(w.home, pipeline.TrustDir))
	if err != nil {
		w.t.Fatal(err)
	}
	return chain
}

// check looks at every mirror as an auditor does: the same log on all of them, in which releases count up without a gap,
// every domain of the source was set once, and every tree that was ever shown is a beginning of this one.
func (w *crashWorld) check(domains int) {
	w.t.Helper()
	chain := w.chain()
	var pointer string
	for i, r := range w.stores {
		data, err := r.Get(w.t.Context(), mirror.PointerPath, 1<<20)
		if err != nil {
			w.t.Fatal(err)
		}
		if i > 0 && string(data) != pointer {
			w.fail(&w.wrong.forks, "mirrors %s and %s end in different pointers", w.names[0], w.names[i])
			continue
		}
		if pointer = string(data); i == 0 {
			w.replay(r, data, chain, domains)
		} else {
			w.sameLog(r, w.stores[0], data, chain)
		}
		if err := tesseraFsck(w.t.Context(), r, chain.Newest()); err != nil {
			w.fail(&w.wrong.lost, "Tessera's fsck of %s: %v", w.names[i], err)
		}
	}
}

// sameLog compares the entries of two mirrors that show the same pointer; fsck sees to the tiles.
func (w *crashWorld) sameLog(a, b mirror.Reader, pointer []byte, chain *transparency.TrustChain) {
	w.t.Helper()
	_, cp, err := mirror.OpenPointer(pointer, chain)
	if err != nil {
		w.t.Fatal(err)
	}
	x, errX := mirror.ReadEntries(w.t.Context(), a, 0, cp.Tree.N)
	y, errY := mirror.ReadEntries(w.t.Context(), b, 0, cp.Tree.N)
	if errX != nil || errY != nil || treeOf(x, cp.Tree.N) != treeOf(y, cp.Tree.N) {
		w.fail(&w.wrong.forks, "two mirrors' entries: %v, %v, or they differ", errX, errY)
	}
}

func (w *crashWorld) replay(r mirror.Reader, pointer []byte, chain *transparency.TrustChain, domains int) {
	w.t.Helper()
	release, cp, err := mirror.OpenPointer(pointer, chain)
	if err != nil {
		w.t.Fatal(err)
	}
	entries, err := mirror.ReadEntries(w.t.Context(), r, 0, cp.Tree.N)
	if err != nil {
		w.fail(&w.wrong.lost, "entries: %v", err)
		return
	}
	replay, next, digests, set := mirror.NewReplay(chain, nil), int64(1), map[int64][32]byte{}, map[string]int{}
	for _, e := range entries {
		got := replay.Add(e)
		if got == nil {
			continue
		}
		if got.Leaf.Release != next {
			w.fail(&w.wrong.lost, "release %d where %d should be", got.Leaf.Release, next)
		}
		next++
		digests[got.Leaf.Release] = got.Leaf.ListDigest
		for _, c := range replay.Changes() {
			set[c.Domain.String()]++
		}
	}
	if alarms, _ := replay.Alarms(); len(alarms) > 0 || next != release.Leaf.Release+1 {
		w.fail(&w.wrong.doubled, "%d releases in the log, the pointer shows %d; alarms %v", next-1, release.Leaf.Release, alarms)
	}
	for domain, times := range set {
		if want := max(1, w.sets[domain]); times != want {
			w.fail(&w.wrong.doubled, "%s was set %d times, not %d", domain, times, want)
		}
	}
	if got := replay.Last().List.Len(); got != domains {
		w.fail(&w.wrong.lost, "the list has %d domains, want %d", got, domains)
	}
	for n, digest := range w.held {
		if digests[n] != digest {
			w.fail(&w.wrong.clients, "clients held a list as release %d that the log does not have", n)
		}
	}
	for tree := range w.trees {
		if tree.N > cp.Tree.N || treeOf(entries, tree.N) != tree {
			w.fail(&w.wrong.forks, "a mirror once showed a tree of %d entries that is not the beginning of this log", tree.N)
		}
	}
}

// treeOf hashes the first n entries.
func treeOf(entries [][]byte, n int64) tlog.Tree {
	var hashes hashList
	for i, e := range entries[:min(n, int64(len(entries)))] {
		stored, err := tlog.StoredHashes(int64(i), e, hashes)
		if err != nil {
			return tlog.Tree{}
		}
		hashes = append(hashes, stored...)
	}
	root, err := tlog.TreeHash(n, hashes)
	if err != nil {
		return tlog.Tree{}
	}
	return tlog.Tree{N: n, Hash: root}
}

// hashList is a tlog.HashReader in memory.
type hashList []tlog.Hash

func (h hashList) ReadHashes(indexes []int64) ([]tlog.Hash, error) {
	out := make([]tlog.Hash, len(indexes))
	for i, x := range indexes {
		if x >= int64(len(h)) {
			return nil, mirror.ErrTooLarge
		}
		out[i] = h[x]
	}
	return out, nil
}

// tesseraFsck lets the other implementation rebuild a mirror's tree from its bundles and compare all tiles.
func tesseraFsck(ctx context.Context, r mirror.Reader, trust *transparency.Trust) error {
	verifier, err := note.NewVerifier(trust.LogVKey())
	if err != nil {
		return err
	}
	// Each missing tile ends one of its workers, and without workers it hangs.
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	return fsck.New(trust.Origin, verifier, tesseraReader{r}, bundleHashes, fsck.Opts{N: 8}).Check(ctx)
}

// tesseraReader shows a mirror to Tessera by C2SP paths only.
type tesseraReader struct{ mirror.Reader }

func (r tesseraReader) ReadCheckpoint(ctx context.Context) ([]byte, error) {
	return r.Get(ctx, mirror.CheckpointPath, 1<<20)
}

func (r tesseraReader) ReadTile(ctx context.Context, level, index uint64, width uint8) ([]byte, error) {
	return r.Get(ctx, layout.TilePath(level, index, width), 1<<20)
}

func (r tesseraReader) ReadEntryBundle(ctx context.Context, index uint64, width uint8) ([]byte, error) {
	return r.Get(ctx, layout.EntriesPath(index, width), transparency.MaxBundleBytes)
}

func bundleHashes(bundle []byte) ([][]byte, error) {
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
