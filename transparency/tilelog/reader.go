package tilelog

import (
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"

	"golang.org/x/mod/sumdb/tlog"

	"github.com/starttls-everywhere/policylist/transparency"
)

// reader reads the files of one tree. Nothing leaves it that the tree's root hash does not vouch for.
type reader struct {
	disk *disk
	tree tlog.Tree
}

func newReader(d *disk, t tlog.Tree) *reader { return &reader{disk: d, tree: t} }

// ReadHashes is tlog.HashReader over the tiles on disk, each checked against the root.
func (r *reader) ReadHashes(indexes []int64) ([]tlog.Hash, error) {
	if r.tree.N == 0 {
		if len(indexes) != 0 {
			return nil, fmt.Errorf("%w: hash %d of an empty tree", ErrNotExist, indexes[0])
		}
		return nil, nil
	}
	for _, x := range indexes {
		if x < 0 || x >= tlog.StoredHashIndex(0, r.tree.N) {
			return nil, fmt.Errorf("%w: hash %d of a tree of size %d", ErrNotExist, x, r.tree.N)
		}
	}
	source := &tileSource{disk: r.disk}
	hashes, err := tlog.TileHashReader(r.tree, source).ReadHashes(indexes)
	if err == nil || source.failed {
		return hashes, err
	}
	return nil, fmt.Errorf("%w: in %s the root hash of size %d is %s, which these tiles do not have: %s (%w)",
		ErrCorrupt, r.disk.dir, r.tree.N, r.tree.Hash, source.names(), err)
}

// checkEdge checks that the right edge of the tiles has the root hash.
func (r *reader) checkEdge() error {
	if r.tree.N == 0 {
		if empty, err := tlog.TreeHash(0, nil); err != nil || r.tree.Hash != empty {
			return fmt.Errorf("%w: %s states size 0 and a hash that is not the empty tree's",
				ErrCorrupt, filepath.Join(r.disk.dir, rootName))
		}
		return nil
	}
	_, err := r.ReadHashes(nil)
	return err
}

// width returns how many hashes (or entries, at level -1) the tree has in tile n of a level: 0 to TileWidth.
func (r *reader) width(level int, n int64) int {
	have := r.tree.N
	if level > 0 {
		have = r.tree.N >> (transparency.TileHeight * level)
	}
	return int(min(max(have-n*transparency.TileWidth, 0), transparency.TileWidth))
}

// tile returns the hashes of a tile of the tree, concatenated. The width may be less than the tree has.
func (r *reader) tile(t tlog.Tile) ([]byte, error) { return tlog.ReadTileData(t, r) }

// bundles returns the entries of count bundles from bundle first on, as many as the tree has, one slice per bundle,
// each entry checked against the tree. All of them must exist.
func (r *reader) bundles(first int64, count int) ([][][]byte, error) {
	bundles := make([][][]byte, count)
	var indexes []int64
	for i := range bundles {
		n := first + int64(i)
		t := tlog.Tile{H: transparency.TileHeight, L: -1, N: n, W: r.width(-1, n)}
		path := transparency.TilePath(t)
		data, err := readPublished(r.disk, path, transparency.MaxBundleBytes)
		if err != nil {
			return nil, err
		}
		if bundles[i], err = transparency.ParseBundle(data, t.W); err != nil {
			return nil, fmt.Errorf("%w: %s: %w", ErrCorrupt, filepath.Join(r.disk.dir, path), err)
		}
		for j := range bundles[i] {
			indexes = append(indexes, tlog.StoredHashIndex(0, n*transparency.TileWidth+int64(j)))
		}
	}
	hashes, err := r.ReadHashes(indexes)
	if err != nil {
		return nil, err
	}
	for i, entries := range bundles {
		for j, entry := range entries {
			if tlog.RecordHash(entry) == hashes[j] {
				continue
			}
			n := first + int64(i)
			path := transparency.TilePath(tlog.Tile{H: transparency.TileHeight, L: -1, N: n, W: len(entries)})
			return nil, fmt.Errorf("%w: %s: entry %d is not the leaf that the tree of size %d has at index %d",
				ErrCorrupt, filepath.Join(r.disk.dir, path), j, r.tree.N, n*transparency.TileWidth+int64(j))
		}
		hashes = hashes[len(entries):]
	}
	return bundles, nil
}

// readPublished reads a file that the tree says must be there.
func readPublished(d *disk, path string, limit int64) ([]byte, error) {
	data, err := d.read(path, limit)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		// Not %w: to the caller this is damage, not an answer to "does it exist".
		return nil, fmt.Errorf("%w: %s is missing", ErrCorrupt, filepath.Join(d.dir, path))
	case errors.Is(err, errTooLong):
		return nil, fmt.Errorf("%w: %w", ErrCorrupt, err)
	}
	return data, err
}

// tileSource is a tlog.TileReader for one call. It remembers what it read, to name it when the hashes do not fit.
type tileSource struct {
	disk   *disk
	tiles  []tlog.Tile
	failed bool // ReadTiles has failed, and its error says enough
}

func (s *tileSource) Height() int { return transparency.TileHeight }

func (s *tileSource) ReadTiles(tiles []tlog.Tile) ([][]byte, error) {
	s.tiles = tiles
	data := make([][]byte, len(tiles))
	for i, t := range tiles {
		path := transparency.TilePath(t)
		size := t.W * tlog.HashSize
		var err error
		if data[i], err = readPublished(s.disk, path, int64(size)); err == nil && len(data[i]) != size {
			err = fmt.Errorf("%w: %s has %d bytes of %d", ErrCorrupt, filepath.Join(s.disk.dir, path), len(data[i]), size)
		}
		if err != nil {
			s.failed = true
			return nil, err
		}
	}
	return data, nil
}

func (s *tileSource) SaveTiles([]tlog.Tile, [][]byte) {}

// names lists the first few tiles read: the damaged one is among them, unless the root file is wrong.
func (s *tileSource) names() string {
	text := ""
	for i, t := range s.tiles {
		if i == 8 {
			return text + fmt.Sprintf(" and %d more", len(s.tiles)-i)
		}
		if i > 0 {
			text += " "
		}
		text += transparency.TilePath(t)
	}
	return text
}
