// Package visitors is about who asks a server that strangers reach: where a request comes from, how often it may, and how
// many connections one source holds. Its memory is fixed, whoever comes.
//
//	limit := visitors.NewLimiter(60)                          // an hour
//	wait, ok := limit.Allow(visitors.Source(r.RemoteAddr), now) // "192.0.2.1", "2001:db8::/64"
//	server.Serve(visitors.FairListener(l))
package visitors

import (
	"hash/maphash"
	"sync"
	"time"
)

// limitSlots is how many buckets a row of a Limiter has, and limitRows how many rows.
const (
	limitSlots = 1 << 14
	limitRows  = 2
)

// Limiter lets each name do so many things an hour, and as many at once after an idle hour. Its memory is fixed, whoever
// comes: a name has one bucket in each row, found by a keyed hash, and is turned away when all of them are empty. So a
// crowd can take the place of a name only by meeting it in every row, which it cannot aim at without the key.
// Safe for concurrent use.
type Limiter struct {
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

// NewLimiter is one whose buckets are full.
func NewLimiter(perHour int) *Limiter {
	l := &Limiter{perHour: float64(perHour)}
	for i := range l.seed {
		l.seed[i] = maphash.MakeSeed()
	}
	return l
}

// Allow takes one from the name's buckets. wait says in how long there will be one when there is none.
func (l *Limiter) Allow(name string, now time.Time) (wait time.Duration, ok bool) {
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
