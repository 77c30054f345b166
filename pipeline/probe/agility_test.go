package probe

import (
	"slices"
	"strings"
	"testing"
)

// TestStrongestDigestCounts: which records a sender compares with, by their position.
func TestStrongestDigestCounts(t *testing.T) {
	short, long := strings.Repeat("ab", 32), strings.Repeat("cd", 64)
	for _, c := range []struct {
		records []string
		want    []uint
	}{
		{[]string{"3 1 1 " + short}, []uint{0}},
		{[]string{"3 1 1 " + short, "3 1 2 " + long}, []uint{1}},
		{[]string{"3 1 2 " + long, "3 1 1 " + short, "3 1 1 " + strings.Repeat("ef", 32)}, []uint{0}},
		{[]string{"3 0 1 " + short, "3 1 2 " + long}, []uint{0, 1}},               // another selector
		{[]string{"2 1 1 " + short, "3 1 2 " + long}, []uint{0, 1}},               // another usage
		{[]string{"3 1 0 sha256:" + short, "3 1 2 " + long}, []uint{0, 1}},        // the whole key is no digest
		{[]string{"3 1 0 sha256:" + short, "3 1 1 " + short}, []uint{0, 1}},       // nor does it outdo one
		{[]string{"3 1 1 " + short, "3 1 2 " + short}, []uint{0}},                 // too short for a SHA-512: unusable
		{[]string{"3 1 1 " + short, "1 1 2 " + long, "3 1 3 " + long}, []uint{0}}, // unusable as well
	} {
		var got []uint
		for _, r := range (&DANE{Records: c.records}).records() {
			got = append(got, r.at)
		}
		if !slices.Equal(got, c.want) {
			t.Errorf("%q: %v, want %v", c.records, got, c.want)
		}
	}
}
