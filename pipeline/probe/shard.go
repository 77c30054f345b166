package probe

import (
	"crypto/sha256"
	"encoding/binary"
	"fmt"

	"github.com/starttls-everywhere/policylist/policy"
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

// describe is for people.
func (sh Shard) describe() string {
	if sh.N == 0 {
		return "a whole scan"
	}
	return "shard " + sh.String()
}

// Has reports whether a domain belongs to the shard. That depends on its name alone, so that it is looked at by the
// same machine every day, however the list grows: the first eight bytes of the name's SHA-256, big endian, modulo N.
func (sh Shard) Has(d policy.Domain) bool {
	if sh.N == 0 {
		return true
	}
	sum := sha256.Sum256([]byte(d.String()))
	return binary.BigEndian.Uint64(sum[:])%uint64(sh.N) == uint64(sh.I-1)
}

// Select keeps the targets of the shard, in order.
func (sh Shard) Select(targets []Target) []Target {
	if sh.N == 0 {
		return targets
	}
	var mine []Target
	for _, t := range targets {
		if sh.Has(t.Domain) {
			mine = append(mine, t)
		}
	}
	return mine
}
