package tilelog

import (
	"fmt"
	"iter"

	"golang.org/x/mod/sumdb/tlog"

	"github.com/starttls-everywhere/policylist/transparency"
)

// bundlesAtOnce is how many bundles Leaves checks with one look at the right edge of the tree.
const bundlesAtOnce = 16

// Files returns the C2SP paths of the tiles and bundles that a log growing from oldSize to newSize must publish:
// tlog.NewTiles, and an entry bundle beside each tile of level 0.
func Files(oldSize, newSize int64) []string {
	tiles := newTiles(oldSize, newSize)
	paths := make([]string, len(tiles))
	for i, t := range tiles {
		paths[i] = transparency.TilePath(t)
	}
	return paths
}

// newTiles is tlog.NewTiles with entry bundles as tiles of level -1.
func newTiles(oldSize, newSize int64) []tlog.Tile {
	tiles := tlog.NewTiles(transparency.TileHeight, oldSize, newSize)
	for _, t := range tiles {
		if t.L == 0 {
			t.L = -1
			tiles = append(tiles, t)
		}
	}
	return tiles
}

// ReadFile returns the bytes of one tile or entry bundle by its C2SP path, as they are published. Every width up to what
// the log has can be read, whether or not a release ended there, and never more: a file that an aborted append left
// beyond the root does not exist. Errors: ErrNotExist, ErrCorrupt, or an I/O error.
func (l *Log) ReadFile(path string) ([]byte, error) {
	r := newReader(&l.disk, l.Tree())
	t, err := transparency.ParseTilePath(path)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrNotExist, err)
	}
	// Shifts past 63 bits and products past int64 must not pass for a small tile.
	if t.L >= 64/transparency.TileHeight || t.N > maxSize/transparency.TileWidth || t.W > r.width(t.L, t.N) {
		return nil, fmt.Errorf("%w: %s, at size %d", ErrNotExist, path, r.tree.N)
	}
	if t.L >= 0 {
		return r.tile(t)
	}
	bundles, err := r.bundles(t.N, 1)
	if err != nil {
		return nil, err
	}
	return encodeBundle(bundles[0][:t.W])
}

func encodeBundle(entries [][]byte) ([]byte, error) {
	size := 0
	for _, e := range entries {
		size += 2 + len(e)
	}
	data := make([]byte, 0, size)
	for _, e := range entries {
		var err error
		if data, err = transparency.AppendEntry(data, e); err != nil {
			return nil, err
		}
	}
	return data, nil
}

// Leaf returns leaf i. Errors as ReadFile's.
func (l *Log) Leaf(i int64) ([]byte, error) {
	r := newReader(&l.disk, l.Tree())
	if i < 0 || i >= r.tree.N {
		return nil, fmt.Errorf("%w: leaf %d, at size %d", ErrNotExist, i, r.tree.N)
	}
	return r.leaf(i)
}

func (r *reader) leaf(i int64) ([]byte, error) {
	bundles, err := r.bundles(i/transparency.TileWidth, 1)
	if err != nil {
		return nil, err
	}
	return bundles[0][i%transparency.TileWidth], nil
}

// Leaves yields the leaves [from, to) in order. After an error, which is one of ReadFile's, it yields no more. The whole
// range must be in the log: ranging over (0, Tree().N) checks every file that the log stands on.
func (l *Log) Leaves(from, to int64) iter.Seq2[[]byte, error] {
	r := newReader(&l.disk, l.Tree())
	return func(yield func([]byte, error) bool) {
		if from < 0 || from > to || to > r.tree.N {
			yield(nil, fmt.Errorf("%w: leaves %d to %d, at size %d", ErrNotExist, from, to, r.tree.N))
			return
		}
		r.leaves(from, to, yield)
	}
}

func (r *reader) leaves(from, to int64, yield func([]byte, error) bool) {
	for from < to {
		first, last := from/transparency.TileWidth, (to-1)/transparency.TileWidth
		bundles, err := r.bundles(first, int(min(last-first+1, bundlesAtOnce)))
		if err != nil {
			yield(nil, err)
			return
		}
		for _, entries := range bundles {
			for _, entry := range entries[from%transparency.TileWidth:] {
				if from == to {
					return
				}
				if !yield(entry, nil) {
					return
				}
				from++
			}
		}
	}
}

// ReadHashes makes Log a tlog.HashReader, for tlog.ProveRecord and tlog.ProveTree: stored hash indexes (see
// tlog.StoredHashIndex) to hashes, each checked against the root. Errors as ReadFile's.
func (l *Log) ReadHashes(indexes []int64) ([]tlog.Hash, error) {
	return newReader(&l.disk, l.Tree()).ReadHashes(indexes)
}
