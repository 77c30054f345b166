package mirror

import (
	"bytes"
	"compress/gzip"
	"context"
	"fmt"
	"time"

	"golang.org/x/mod/sumdb/tlog"

	"github.com/starttls-everywhere/policylist/transparency"
)

// How long a mirror keeps what the log can rebuild or nobody needs for ever, counted back from the newest release.
const (
	KeepLists    = 30 * 24 * time.Hour
	KeepEvidence = 90 * 24 * time.Hour
)

// Limits of files that nothing in a leaf sizes.
const (
	MaxPGPBytes          = 64 << 10 // an armoured signature has under 2 KiB
	MaxBundleFileBytes   = 64 << 10 // a cosign bundle with a key hint has under 1 KiB
	MaxObservationsBytes = 16 << 30 // merged evidence, identity bytes: what a million domains look like from several vantages
	MaxPackedEvidence    = 1 << 30  // the same as it is stored; such lines shrink to a twentieth or less
)

// stage is a step of the publish order.
type stage struct {
	name  string
	items []syncItem
}

// syncItem is an object that a mirror has.
type syncItem struct {
	path     string
	limit    int64
	since    int64 // size of the tree whose publication needs it
	optional bool  // the source may lack it
	full     bool  // a full bundle, which stores with headers hold as gzip
	// check says what is wrong with the object's bytes. Errors that wrap ErrSource or ErrUnreachable say that it
	// could not be told.
	check func(data []byte) error
	// obtain returns verified bytes, from the source or from what is verified already.
	obtain func(ctx context.Context) ([]byte, error)
}

// stages lists what must be on the destination, in the order of publishing.
func (r *syncRun) stages() []stage {
	tiles, entries := r.treeItems()
	lists, evidence := r.blobItems()
	return []stage{
		{"trust", r.trustItems()}, {"tiles", tiles}, {"entries", entries},
		{"lists", lists}, {"evidence", evidence}, {"releases", r.proofItems()},
	}
}

func (r *syncRun) trustItems() []syncItem {
	var items []syncItem
	for i, t := range r.Chain.Versions() {
		it := syncItem{path: TrustPath(t.Version), limit: transparency.MaxTrustBytes, since: r.log.tree.N}
		if r.before != nil && t.Version <= 1 {
			it.since = 0
		}
		it.obtain = func(context.Context) ([]byte, error) { return t.Note(), nil }
		it.check = func(data []byte) error {
			held, err := transparency.ParseTrust(data)
			switch {
			case err != nil:
				return err
			case held.Digest() != t.Digest():
				return fmt.Errorf("another text than that of trust version %d", t.Version)
			case i == 0:
				return held.VerifySelf()
			}
			return r.Chain.Versions()[i-1].VerifyNext(held)
		}
		items = append(items, it)
	}
	return items
}

// treeItems are the tiles and bundles of the tree: all full ones, and the partial ones of every published size whose
// full one does not exist yet (C2SP tlog-tiles lets the others go).
func (r *syncRun) treeItems() (tiles, entries []syncItem) {
	n := r.log.tree.N
	all := tlog.NewTiles(transparency.TileHeight, 0, n)
	for _, rel := range r.releases {
		size := rel.size
		for level := 0; size>>(level*transparency.TileHeight) > 0; level++ {
			hashes := size >> (level * transparency.TileHeight)
			t := tlog.Tile{H: transparency.TileHeight, L: level, N: hashes >> transparency.TileHeight, W: int(hashes % transparency.TileWidth)}
			if t.W > 0 && r.log.edge(t).W < transparency.TileWidth {
				all = append(all, t)
			}
		}
	}
	for _, t := range all {
		since := (t.N<<transparency.TileHeight + int64(t.W)) << (t.L * transparency.TileHeight)
		tiles = append(tiles, r.tileItem(t, since))
		if t.L == 0 {
			t.L = -1
			entries = append(entries, r.bundleItem(t, since))
		}
	}
	return tiles, entries
}

func (r *syncRun) tileItem(t tlog.Tile, since int64) syncItem {
	it := syncItem{path: transparency.TilePath(t), limit: transparency.MaxTileBytes, since: since}
	it.check = func(data []byte) error {
		hashes, err := transparency.ParseHashes(data)
		if err != nil {
			return err
		}
		return r.log.check(t, hashes)
	}
	it.obtain = func(ctx context.Context) ([]byte, error) {
		if t.W < transparency.TileWidth {
			return r.log.tile(t) // cut from the widest form, which is verified
		}
		return r.fetch(ctx, it)
	}
	return it
}

func (r *syncRun) bundleItem(t tlog.Tile, since int64) syncItem {
	it := syncItem{path: transparency.TilePath(t), limit: transparency.MaxBundleBytes, since: since, full: t.W == transparency.TileWidth}
	it.check = func(data []byte) error {
		entries, err := transparency.ParseBundle(data, t.W)
		if err != nil {
			return err
		}
		hashes := make([]tlog.Hash, len(entries))
		for i, e := range entries {
			hashes[i] = tlog.RecordHash(e)
		}
		return r.log.check(t, hashes)
	}
	it.obtain = func(ctx context.Context) ([]byte, error) {
		if it.full {
			return r.fetch(ctx, it)
		}
		data, width, err := readTile(ctx, r.src, r.log.edge(t), transparency.MaxBundleBytes)
		if err != nil {
			return nil, err
		}
		entries, err := transparency.ParseBundle(data, width)
		if err != nil {
			return nil, err
		}
		var cut []byte
		for _, e := range entries[:t.W] {
			if cut, err = transparency.AppendEntry(cut, e); err != nil {
				return nil, err
			}
		}
		return cut, it.check(cut)
	}
	return it
}

// fetch reads an object from the source and checks it.
func (r *syncRun) fetch(ctx context.Context, it syncItem) ([]byte, error) {
	data, err := r.src.Get(ctx, it.path, it.limit)
	if err != nil {
		return nil, err
	}
	return data, it.check(data)
}

// blobItems are the lists, their OpenPGP signatures and the evidence of the surveyed releases.
func (r *syncRun) blobItems() (lists, evidence []syncItem) {
	for _, rel := range r.releases {
		newest := rel.leaf.Release == r.pointer.leaf.Release
		list := syncItem{path: BlobPath(rel.leaf.ListDigest), limit: packedLimit(rel.leaf.ListSize), since: rel.size, optional: !newest}
		list.check = func(data []byte) error { return CheckPacked(data, rel.leaf.ListSize, rel.leaf.ListDigest) }
		// Nothing here can verify an OpenPGP signature: whoever uses one has the key.
		asc := syncItem{path: BlobPGPPath(rel.leaf.ListDigest), limit: MaxPGPBytes, since: rel.size, optional: true}
		asc.check = func([]byte) error { return nil }
		for _, it := range []syncItem{list, asc} {
			if r.wanted(it, rel, KeepLists) {
				lists = append(lists, r.fetched(it))
			}
		}
		if rel.leaf.Evidence == nil {
			continue
		}
		it := syncItem{path: EvidencePath(*rel.leaf.Evidence), limit: MaxPackedEvidence, since: rel.size, optional: !newest}
		it.check = func(data []byte) error { return CheckPacked(data, MaxObservationsBytes, *rel.leaf.Evidence) }
		if r.wanted(it, rel, KeepEvidence) {
			evidence = append(evidence, r.fetched(it))
		}
	}
	return lists, evidence
}

// fetched makes an item come from the source as it is.
func (r *syncRun) fetched(it syncItem) syncItem {
	it.obtain = func(ctx context.Context) ([]byte, error) { return r.fetch(ctx, it) }
	return it
}

// wanted reports whether to look for an object that mirrors do not keep for ever.
func (r *syncRun) wanted(it syncItem, rel syncedRelease, keep time.Duration) bool {
	switch {
	case r.have[it.path], !it.optional:
		return true
	case r.offered != nil:
		return r.offered[it.path]
	}
	return r.pointer.leaf.Timestamp.Sub(rel.leaf.Timestamp) <= keep
}

func (r *syncRun) proofItems() []syncItem {
	var items []syncItem
	for _, rel := range r.releases {
		it := syncItem{path: ReleasePath(rel.leaf.Release), limit: transparency.MaxProofBytes, since: rel.size, optional: true}
		it.check = func(data []byte) error {
			_, err := r.openRelease(rel.leaf.Release, data)
			return err
		}
		it.obtain = func(ctx context.Context) ([]byte, error) {
			if rel.data != nil {
				return rel.data, nil
			}
			return r.fetch(ctx, it)
		}
		items = append(items, it)
	}
	return items
}

// gzipBytes is the form of a full bundle for stores with headers. Other gzip bytes on other mirrors do no harm:
// everybody compares what they decode to.
func gzipBytes(data []byte) []byte {
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	z.Write(data) // into memory
	z.Close()
	return b.Bytes()
}

// PackedLimit is how long the compressed form of at most n bytes may be.
func PackedLimit(n int64) int64 { return packedLimit(n) }
