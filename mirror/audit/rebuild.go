package audit

import (
	"crypto/sha256"

	"golang.org/x/mod/sumdb/tlog"

	"github.com/starttls-everywhere/policylist/transparency"
)

// recordHash is tlog.RecordHash (RFC 6962 section 2.1) without its allocations: it is called once an entry.
func recordHash(entry []byte) tlog.Hash {
	var room [512]byte
	return sha256.Sum256(append(append(room[:0], 0), entry...))
}

// rebuild makes a log's tiles from its leaf hashes. It holds one tile a level: the one that is being filled.
type rebuild struct {
	size   int64
	levels [][]tlog.Hash
	full   func(t tlog.Tile, hashes []tlog.Hash) // is given each tile that fills; hashes are its own only during the call
}

func (b *rebuild) add(h tlog.Hash) {
	b.size++
	for level := 0; ; level++ {
		if level == len(b.levels) {
			b.levels = append(b.levels, make([]tlog.Hash, 0, transparency.TileWidth))
		}
		b.levels[level] = append(b.levels[level], h)
		if len(b.levels[level]) < transparency.TileWidth {
			return
		}
		n := b.size>>((level+1)*transparency.TileHeight) - 1
		b.full(tlog.Tile{H: transparency.TileHeight, L: level, N: n, W: transparency.TileWidth}, b.levels[level])
		h = transparency.SubtreeRoot(b.levels[level])
		b.levels[level] = b.levels[level][:0]
	}
}

// partial calls f for each tile that is being filled.
func (b *rebuild) partial(f func(t tlog.Tile, hashes []tlog.Hash)) {
	for level, hashes := range b.levels {
		if len(hashes) > 0 {
			n := b.size >> ((level + 1) * transparency.TileHeight)
			f(tlog.Tile{H: transparency.TileHeight, L: level, N: n, W: len(hashes)}, hashes)
		}
	}
}

// tree is the tree so far (RFC 6962 section 2.1: the left part is the largest power of two that is smaller).
func (b *rebuild) tree() tlog.Tree {
	root, some := tlog.Hash(sha256.Sum256(nil)), false
	for _, hashes := range b.levels { // from the right edge, where the smallest subtrees are
		for len(hashes) > 0 {
			width := len(hashes) & -len(hashes) // the lowest bit: the last complete subtree
			left := transparency.SubtreeRoot(hashes[len(hashes)-width:])
			if hashes = hashes[:len(hashes)-width]; some {
				left = tlog.NodeHash(left, root)
			}
			root, some = left, true
		}
	}
	return tlog.Tree{N: b.size, Hash: root}
}
