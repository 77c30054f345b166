package mirror

import (
	"context"
	"errors"
	"fmt"

	"golang.org/x/mod/sumdb/tlog"
	"golang.org/x/sync/errgroup"

	"github.com/starttls-everywhere/policylist/transparency"
)

// syncedRelease is a release whose proof was read: it says which objects a mirror has for it.
type syncedRelease struct {
	leaf *ReleaseLeaf
	size int64  // of the tree that it ends
	data []byte // its proof from the source, nil where the destination's is good
}

// survey reads the proofs of the releases that the destination lacks, all of them in a deep run, and the newest
// always. A release without a proof was superseded before its checkpoint was signed: nothing of it was published.
func (r *syncRun) survey(ctx context.Context) error {
	newest := r.pointer.leaf.Release
	found := make([]*syncedRelease, newest+1)
	g, gctx := errgroup.WithContext(ctx)
	g.SetLimit(copies)
	for n := int64(1); n <= newest && gctx.Err() == nil; n++ {
		path := ReleasePath(n)
		if r.have[path] && !r.deep || r.offered != nil && !r.offered[path] && !r.have[path] {
			continue
		}
		g.Go(func() error {
			rel, err := r.readRelease(gctx, n)
			if err != nil && !IsAbsent(err) {
				return fmt.Errorf("%s: %w", path, err)
			}
			found[n] = rel
			return nil
		})
	}
	if err := g.Wait(); err != nil {
		return err
	}
	if found[newest] == nil {
		found[newest] = &syncedRelease{leaf: r.pointer.leaf, size: r.log.tree.N}
	}
	for _, rel := range found {
		if rel != nil {
			r.releases = append(r.releases, *rel)
		}
	}
	return r.recent(ctx)
}

// readRelease prefers the destination's proof when that is good.
func (r *syncRun) readRelease(ctx context.Context, n int64) (*syncedRelease, error) {
	if r.have[ReleasePath(n)] {
		data, err := r.dst.Get(ctx, ReleasePath(n), transparency.MaxProofBytes)
		if err != nil && !IsAbsent(err) && !errors.Is(err, ErrTooLarge) {
			return nil, err
		}
		if err == nil {
			if rel, err := r.openRelease(n, data); err == nil {
				return &syncedRelease{rel.leaf, rel.size, nil}, nil
			}
		}
	}
	data, err := r.src.Get(ctx, ReleasePath(n), transparency.MaxProofBytes)
	if err != nil {
		return nil, err
	}
	rel, err := r.openRelease(n, data)
	return rel, asSource(err)
}

// openRelease verifies the proof of release n: its checkpoint is signed and a prefix of this log, its last entry is
// the release leaf, and that is signed and numbered n. A proof under another origin belongs to an earlier log, of
// which this mirror has no tree.
func (r *syncRun) openRelease(n int64, data []byte) (*syncedRelease, error) {
	proof, err := transparency.ParseProof(data)
	if err != nil {
		return nil, err
	}
	leaf, err := ParseLeaf(proof.Extra)
	if err != nil {
		return nil, err
	}
	if leaf.Release == nil || leaf.Release.Release != n {
		return nil, fmt.Errorf("it is not about release %d", n)
	}
	c, err := openAny(r.Chain, string(proof.Checkpoint))
	if err != nil {
		return nil, err
	}
	if err := proof.Check(tlog.RecordHash(proof.Extra), c.Tree); err != nil {
		return nil, err
	}
	if err := leaf.Release.checkAlone(r.Chain); err != nil {
		return nil, fmt.Errorf("release %d: %w", n, err)
	}
	// A release that waited for witnesses is proven in a later tree; its partial tiles are those of its own end all the same.
	rel := &syncedRelease{leaf.Release, proof.Index + 1, data}
	if c.Origin != r.pointer.checkpoint.Origin {
		rel.size = 0
		return rel, nil
	}
	if c.Tree.N > r.log.tree.N {
		return nil, fmt.Errorf("its checkpoint has %d entries, the newest has %d", c.Tree.N, r.log.tree.N)
	}
	root, err := tlog.TreeHash(c.Tree.N, r.log.hashes)
	if err != nil {
		return nil, asSource(err)
	}
	if root != c.Tree.Hash {
		return nil, fmt.Errorf("its checkpoint of %d entries is not a prefix of the newest", c.Tree.N)
	}
	return rel, nil
}

// recent adds the releases in the last bundle that the destination has published, without asking for their proofs:
// their lists are young and their partial tiles must still be there. The bundle may be the destination's, unverified:
// a damaged one can only name objects that the source does not have, or hide some until a deep run.
func (r *syncRun) recent(ctx context.Context) error {
	size := r.log.tree.N
	if r.deep || r.before == nil || size%transparency.TileWidth == 0 {
		return nil
	}
	last := r.log.edge(tlog.Tile{H: transparency.TileHeight, L: -1, N: size / transparency.TileWidth})
	var from Reader = r.src
	if r.have[transparency.TilePath(last)] {
		from = r.dst
	}
	entries, err := ReadEntries(ctx, from, last.N*transparency.TileWidth, size)
	if errors.Is(err, transparency.ErrBundle) {
		return nil
	}
	known := map[int64]bool{}
	for _, rel := range r.releases {
		known[rel.leaf.Release] = true
	}
	for i, e := range entries {
		leaf, err := ParseLeaf(e)
		if err != nil || leaf.Release == nil || known[leaf.Release.Release] || !r.have[ReleasePath(leaf.Release.Release)] {
			continue
		}
		r.releases = append(r.releases, syncedRelease{leaf: leaf.Release, size: last.N*transparency.TileWidth + int64(i) + 1})
	}
	return err
}
