package tlsrpt

import (
	"hash/maphash"
	"sync"
	"time"
)

// limitSlots is how many buckets a row of a limiter has, and limitRows how many rows.
const (
	limitSlots = 1 << 14
	limitRows  = 2
)

// limiter lets each name do so many things an hour, and as many at once after an idle hour. Its memory is fixed, whoever
// comes: a name has one bucket in each row, found by a keyed hash, and is turned away when all of them are empty. So a
// crowd can take the place of a name only by meeting it in every row, which it cannot aim at without the key.
// Safe for concurrent use.
type limiter struct {
	perHour float64

	mu   sync.Mutex
	seed [limitRows]maphash.Seed
	rows [limitRows][limitSlots]bucket
}

// bucket holds what is left at a time; the zero bucket is full.
type bucket struct {
	used float32
	at   int64 // Unix seconds
}

func newLimiter(perHour int) *limiter {
	l := &limiter{perHour: float64(perHour)}
	for i := range l.seed {
		l.seed[i] = maphash.MakeSeed()
	}
	return l
}

// allow takes one from the name's buckets. wait says in how long there will be one when there is none.
func (l *limiter) allow(name string, now time.Time) (wait time.Duration, ok bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	var mine [limitRows]*bucket
	least := l.perHour
	for i := range mine {
		b := &l.rows[i][maphash.String(l.seed[i], name)%limitSlots]
		// What a clock that was set back has left in the future begins now, and not when that comes.
		b.at = min(b.at, now.Unix())
		if age := now.Unix() - b.at; age > 0 {
			b.used = float32(max(0, float64(b.used)-float64(age)*l.perHour/3600))
			b.at = now.Unix()
		}
		least = min(least, float64(b.used))
		mine[i] = b
	}
	if least+1 > l.perHour {
		return time.Duration((least + 1 - l.perHour) * 3600 / l.perHour * float64(time.Second)), false
	}
	for _, b := range mine {
		b.used = min(b.used+1, float32(l.perHour))
	}
	return 0, true
}
