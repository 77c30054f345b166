package policy

import (
	"bytes"
	"hash/maphash"
	"math"
)

// textIndex is a hash table from domains to their lines, for who asks so often that the twenty lines that a bisection
// looks at matter. A million domains take 8 MB and a tenth of a second.
type textIndex struct {
	seed  maphash.Seed // of this process: nobody can choose domains that meet in one slot
	slots []uint32     // 1 + offset of a line; 0: nothing; their number is a power of two, at most half of them used
}

// Indexed returns the list with an index. Lines that are none are left out, so whoever cannot trust them stays without.
func (t Text) Indexed() Text {
	if uint64(len(t.lines)) >= math.MaxUint32 {
		return t // bisection knows no such limit
	}
	size := 2
	for size < 2*t.Len() {
		size *= 2
	}
	index := textIndex{maphash.MakeSeed(), make([]uint32, size)}
	for at := 0; at < len(t.lines); {
		end := bytes.IndexByte(t.lines[at:], '\n')
		if end < 0 {
			break
		}
		if name, ok := lineName(t.lines[at : at+end]); ok {
			index.add(name, at)
		}
		at += end + 1
	}
	return Text{t.lines, index}
}

func (x textIndex) add(name []byte, offset int) {
	mask := uint64(len(x.slots) - 1)
	i := maphash.Bytes(x.seed, name) & mask
	for x.slots[i] != 0 {
		i = (i + 1) & mask
	}
	x.slots[i] = uint32(offset) + 1
}

func (x textIndex) lookup(lines []byte, d Domain) (Policy, bool, error) {
	mask := uint64(len(x.slots) - 1)
	for i := maphash.String(x.seed, d.name) & mask; x.slots[i] != 0; i = (i + 1) & mask {
		line := lines[x.slots[i]-1:]
		line = line[:bytes.IndexByte(line, '\n')]
		if name, _ := lineName(line); string(name) == d.name {
			p, err := linePolicy(line, d)
			return p, err == nil, err
		}
	}
	return Policy{}, false, nil
}
