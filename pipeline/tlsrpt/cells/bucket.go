package cells

import (
	"slices"
)

// Bucket is a share of sessions, coarse enough that one more contributor rarely changes it.
type Bucket int

const (
	None Bucket = iota // none of the sessions
	Rare               // up to 1 in 100
	Some               // up to 10 in 100
	Many               // up to a half
	Most               // more
)

// buckets is how many there are.
const buckets = 5

// words are the buckets as tables spell them.
func words() [buckets]string { return [buckets]string{"none", "rare", "some", "many", "most"} }

// String is the bucket's word.
func (b Bucket) String() string { return words()[b] }

// bucketOf takes a share of 10,000.
func bucketOf(share int64) Bucket {
	switch {
	case share <= 0:
		return None
	case share <= 100:
		return Rare
	case share <= 1000:
		return Some
	case share <= 5000:
		return Many
	}
	return Most
}

// backing is how many contributors stand behind a share: so many saw at least as much. Two that lie can invent no fault.
const backing = 3

// middle is the lower median of shares, and not more than the third highest of them. There are at least three.
func middle(shares []int64) int64 {
	slices.Sort(shares)
	n := len(shares)
	return min(shares[(n-1)/2], shares[n-backing])
}
