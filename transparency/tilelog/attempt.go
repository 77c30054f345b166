package tilelog

import (
	"context"
	"fmt"

	"github.com/google/trillian"
	"golang.org/x/mod/sumdb/tlog"

	"github.com/starttls-everywhere/policylist/transparency"
)

// checkAtOnce is how many bundles verify reads back at a time, a bound on its memory.
const checkAtOnce = 64

// An attempt is an append on its way: what Trillian has decided, none of it on disk. It ends in commit or is dropped;
// after any error it must be dropped.
type attempt struct {
	base *reader   // the durable log
	tree tlog.Tree // root of the leaves integrated so far

	added  [][]byte            // leaves from index base.tree.N on: sequenced, and integrated up to tree.N
	queued []*trillian.LogLeaf // the sequenced ones from index tree.N on, as Trillian wants to see them again
	tiles  map[tileID][]byte   // the tiles that grow, TileWidth hashes each, zero where not set

	known      [][][]byte // the bundles last read for an overlap, from bundle knownFirst on
	knownFirst int64

	err error // the first error of the storage, which Trillian only passes on as text
}

// tileID is a tile whatever its width.
type tileID struct {
	level int
	n     int64
}

func newAttempt(base *reader) *attempt {
	return &attempt{base: base, tree: base.tree, tiles: map[tileID][]byte{}}
}

// end is the index of the next leaf to be sequenced.
func (a *attempt) end() int64 { return a.base.tree.N + int64(len(a.added)) }

// leaf returns a sequenced leaf, 0 <= i < end.
func (a *attempt) leaf(i int64) ([]byte, error) {
	if i >= a.base.tree.N {
		return a.added[i-a.base.tree.N], nil
	}
	n := i / transparency.TileWidth
	if n < a.knownFirst || n >= a.knownFirst+int64(len(a.known)) {
		last := (a.base.tree.N - 1) / transparency.TileWidth
		known, err := a.base.bundles(n, int(min(last-n+1, bundlesAtOnce)))
		if err != nil {
			return nil, err
		}
		a.known, a.knownFirst = known, n
	}
	return a.known[n-a.knownFirst][i%transparency.TileWidth], nil
}

// tile returns the growing tile's hashes, beginning with those that the durable log has.
func (a *attempt) tile(id tileID) ([]byte, error) {
	if data, ok := a.tiles[id]; ok {
		return data, nil
	}
	data := make([]byte, transparency.TileWidth*tlog.HashSize)
	if w := a.base.width(id.level, id.n); w > 0 {
		old, err := a.base.tile(tlog.Tile{H: transparency.TileHeight, L: id.level, N: id.n, W: w})
		if err != nil {
			return nil, err
		}
		copy(data, old)
	}
	a.tiles[id] = data
	return data, nil
}

// hash returns a hash by its tlog.StoredHashIndex, from the tile that can be hashed to it.
func (a *attempt) hash(index int64) (tlog.Hash, error) {
	t := tlog.TileForIndex(transparency.TileHeight, index)
	data, err := a.tile(tileID{t.L, t.N})
	if err != nil {
		return tlog.Hash{}, err
	}
	return tlog.HashFromTile(t, data[:t.W*tlog.HashSize], index)
}

// setHash keeps the n-th hash of a level if tiles store it: levels 0, 8, 16, … The others follow from these.
func (a *attempt) setHash(level int, n int64, hash []byte) error {
	if level%transparency.TileHeight != 0 {
		return nil
	}
	data, err := a.tile(tileID{level / transparency.TileHeight, n / transparency.TileWidth})
	if err == nil {
		copy(data[n%transparency.TileWidth*tlog.HashSize:], hash)
	}
	return err
}

// commit makes the attempt the log: files, then proof that they are right, then the root. uncertain is
// writeRoot's.
func (a *attempt) commit(ctx context.Context) (uncertain bool, err error) {
	tiles := newTiles(a.base.tree.N, a.tree.N)
	data := func(i int) ([]byte, error) { return a.file(tiles[i]) }
	if err := a.base.disk.replaceAll(Files(a.base.tree.N, a.tree.N), data); err != nil {
		return false, err
	}
	if err := a.verify(ctx); err != nil {
		return false, err
	}
	if err := a.base.disk.did("verify", rootName); err != nil {
		return false, err
	}
	// The last moment to turn back.
	if err := ctx.Err(); err != nil {
		return false, err
	}
	return writeRoot(a.base.disk, a.tree)
}

// file returns the bytes of a tile or bundle to write.
func (a *attempt) file(t tlog.Tile) ([]byte, error) {
	if t.L == -1 {
		return a.bundle(t)
	}
	data, err := a.tile(tileID{t.L, t.N})
	if err != nil {
		return nil, err
	}
	return data[:t.W*tlog.HashSize], nil
}

func (a *attempt) bundle(t tlog.Tile) ([]byte, error) {
	entries := make([][]byte, t.W)
	for i := range entries {
		var err error
		if entries[i], err = a.leaf(t.N*transparency.TileWidth + int64(i)); err != nil {
			return nil, err
		}
	}
	return encodeBundle(entries)
}

// verify reads the new files back and shows, without Trillian, that they have the root that Trillian computed, hold the
// leaves that were to be added, and extend the durable log. A bit that flipped after Trillian hashed a leaf is found
// here, before anybody can sign the root (as one did in the Yeti 2022 CT log, which did not survive it).
func (a *attempt) verify(ctx context.Context) error {
	r := newReader(a.base.disk, a.tree)
	if old := a.base.tree; old.N > 0 {
		proof, err := tlog.ProveTree(a.tree.N, old.N, r)
		if err != nil {
			return err
		}
		if err := tlog.CheckTree(proof, a.tree.N, a.tree.Hash, old.N, old.Hash); err != nil {
			return fmt.Errorf("%w: the tiles written for size %d do not extend the log of size %d: %w",
				ErrCorrupt, a.tree.N, old.N, err)
		}
	}
	// Checking the bundles reads the tiles of level 0 beside them and every tile above these: all that is new.
	last := (a.tree.N - 1) / transparency.TileWidth
	for first := a.base.tree.N / transparency.TileWidth; first <= last; first += checkAtOnce {
		if err := ctx.Err(); err != nil {
			return err
		}
		if _, err := r.bundles(first, int(min(last-first+1, checkAtOnce))); err != nil {
			return err
		}
	}
	return nil
}
