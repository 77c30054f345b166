package transparency

import (
	"fmt"

	"golang.org/x/mod/sumdb/tlog"
)

// SubtreeRoot is the root over a power of two of hashes, 256 at most: what a tile's parent holds for it.
func SubtreeRoot(hashes []tlog.Hash) tlog.Hash {
	var work [TileWidth]tlog.Hash
	for n := copy(work[:], hashes); n > 1; n /= 2 {
		for i := range n / 2 {
			work[i] = tlog.NodeHash(work[2*i], work[2*i+1])
		}
	}
	return work[0]
}

// AppendHashes appends hashes as a tile holds them, 32 bytes each.
func AppendHashes(tile []byte, hashes ...tlog.Hash) []byte {
	for _, h := range hashes {
		tile = append(tile, h[:]...)
	}
	return tile
}

// ParseHashes splits a tile's bytes; their number must be a multiple of 32.
func ParseHashes(tile []byte) ([]tlog.Hash, error) {
	if len(tile)%tlog.HashSize != 0 {
		return nil, fmt.Errorf("a tile of %d bytes is no whole number of hashes", len(tile))
	}
	out := make([]tlog.Hash, len(tile)/tlog.HashSize)
	for i := range out {
		copy(out[i][:], tile[i*tlog.HashSize:])
	}
	return out, nil
}
