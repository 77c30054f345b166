package probe

import (
	"crypto/sha256"
	"encoding/binary"
	"fmt"
)

// Shard is part I of N (1-based) of all domains. The zero value is the whole.
type Shard struct{ I, N int }

// maxShards keeps a typing error from becoming a scan of nothing.
const maxShards = 4096

// ParseShard reads "i/n"; "" is the whole.
func ParseShard(s string) (Shard, error) {
	if s == "" {
		return Shard{}, nil
	}
	var sh Shard
	if _, err := fmt.Sscanf(s, "%d/%d", &sh.I, &sh.N); err != nil || s != sh.String() || sh.I < 1 || sh.I > sh.N || sh.N > maxShards {
		return Shard{}, fmt.Errorf("shard %q is not i/n with 1 <= i <= n <= %d", s, maxShards)
	}
	return sh, nil
}

// String is "i/n", or "" for the whole.
func (sh Shard) String() string {
	if sh.N == 0 {
		return ""
	}
	return fmt.Sprintf("%d/%d", sh.I, sh.N)
}

// Select keeps the targets of the shard, in order. A domain's shard depends on its name alone, so that it is looked at
// by the same machine every day, however the list grows.
func (sh Shard) Select(targets []Target) []Target {
	if sh.N == 0 {
		return targets
	}
	var mine []Target
	for _, t := range targets {
		sum := sha256.Sum256([]byte(t.Domain.String()))
		if binary.BigEndian.Uint64(sum[:])%uint64(sh.N) == uint64(sh.I-1) {
			mine = append(mine, t)
		}
	}
	return mine
}
