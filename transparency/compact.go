package transparency

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"math/bits"
	"slices"

	"golang.org/x/mod/sumdb/tlog"
)

// CompactRange is a tree reduced to what appending needs: the roots of its complete subtrees, largest first, one
// for each bit that is set in the size. The zero value is the empty tree.
type CompactRange struct {
	size   int64
	hashes []tlog.Hash
}

// NewCompactRange takes a stored range back; the number of hashes must fit the size. Compare Root with a verified
// root before trusting it.
func NewCompactRange(size int64, hashes []tlog.Hash) (CompactRange, error) {
	if size < 0 || bits.OnesCount64(uint64(size)) != len(hashes) {
		return CompactRange{}, fmt.Errorf("compact range of size %d with %d hashes", size, len(hashes))
	}
	return CompactRange{size, slices.Clone(hashes)}, nil
}

// RangeFromLastLeaf makes the range of a tree from the inclusion proof of its last leaf: that path, from the bottom
// up, is the complete subtrees of all leaves before it. The caller has checked the proof.
func RangeFromLastLeaf(proof Proof, leaf tlog.Hash) (CompactRange, error) {
	path := slices.Clone(proof.Path)
	slices.Reverse(path)
	r, err := NewCompactRange(proof.Index, path)
	if err != nil {
		return CompactRange{}, errors.New("not the proof of a tree's last leaf")
	}
	return r.Append(leaf), nil
}

// Size is the number of leaves.
func (r CompactRange) Size() int64 { return r.size }

// Hashes returns the subtree roots, largest first.
func (r CompactRange) Hashes() []tlog.Hash { return slices.Clone(r.hashes) }

// Append returns the range with one leaf hash more. It may share memory with r, which must not be appended to again.
func (r CompactRange) Append(leaf tlog.Hash) CompactRange {
	hashes := r.hashes
	for s := r.size; s&1 == 1; s >>= 1 {
		leaf = tlog.NodeHash(hashes[len(hashes)-1], leaf)
		hashes = hashes[:len(hashes)-1]
	}
	return CompactRange{r.size + 1, append(hashes, leaf)}
}

// Clone returns a copy that shares nothing.
func (r CompactRange) Clone() CompactRange { return CompactRange{r.size, slices.Clone(r.hashes)} }

// Tree returns size and RFC 6962 root; the empty tree's root is the SHA-256 of nothing.
func (r CompactRange) Tree() tlog.Tree {
	if r.size == 0 {
		return tlog.Tree{Hash: sha256.Sum256(nil)}
	}
	root := r.hashes[len(r.hashes)-1]
	for i := len(r.hashes) - 2; i >= 0; i-- {
		root = tlog.NodeHash(r.hashes[i], root)
	}
	return tlog.Tree{N: r.size, Hash: root}
}
