package faulty

import (
	"encoding/binary"
	"fmt"
	"hash/fnv"
	"math/rand/v2"
)

// One lets one request meet a fault, and those of its sort that follow it, times in all: as often as a client tries again.
func One(at Request, fault Kind, times int) func(Request) Kind {
	return func(r Request) Kind {
		if r.Method == at.Method && r.Name == at.Name && at.Nth <= r.Nth && r.Nth < at.Nth+times {
			return fault
		}
		return None
	}
}

// tries is how often clients try again: a fault that lasts as long is one that they cannot mend.
const tries = 3

// Seeded lets about one request in every meet a fault, any that it can meet; now and then those that follow it meet the
// same. What happens to a request depends on the seed and on the request alone, not on what came before it: a schedule is
// the same whatever order requests come in.
func Seeded(seed uint64, every int) func(Request) Kind {
	return func(r Request) Kind {
		lasting := Request{r.Method, r.Name, -(r.Nth-1)/tries - 1}
		if k := drawn(seed, lasting, 2*tries*every); k != None {
			return k
		}
		return drawn(seed, r, every)
	}
}

// drawn is one request's lot.
func drawn(seed uint64, r Request, every int) Kind {
	h := fnv.New64a()
	fmt.Fprintf(h, "%s %s %d", r.Method, r.Name, r.Nth)
	random := rand.New(rand.NewPCG(seed, binary.BigEndian.Uint64(h.Sum(nil))))
	if random.IntN(every) != 0 {
		return None
	}
	for {
		if k := Kinds[random.IntN(len(Kinds))]; k.Applies(r.Method) {
			return k
		}
	}
}
