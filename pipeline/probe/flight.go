package probe

import (
	"context"
	"maps"
	"sync"
	"time"
)

// flight remembers what a function returned for a key and lets only one caller at a time find out: a million domains
// behind one mail service cost that service one session an address. It is safe for concurrent use.
type flight[K comparable, V any] struct {
	maxAge time.Duration    // of what is remembered; 0: for ever
	now    func() time.Time // only with maxAge

	mu    sync.Mutex // guards calls
	calls map[K]*call[V]
}

type call[V any] struct {
	done  chan struct{} // closed when what follows stands
	value V
	ok    bool // false: the finder was cancelled and the next caller has to find out
	until time.Time
}

// do returns the value of key, from find or from an earlier find. It returns ctx's error when the caller is cancelled;
// a find that was cut short by its own caller's cancellation is not remembered.
func (f *flight[K, V]) do(ctx context.Context, key K, find func() V) (V, error) {
	for {
		f.mu.Lock()
		if f.calls == nil {
			f.calls = make(map[K]*call[V])
		}
		c := f.calls[key]
		if c == nil || f.stale(c) {
			c = &call[V]{done: make(chan struct{})}
			f.calls[key] = c
			f.mu.Unlock()
			return f.lead(ctx, key, c, find)
		}
		f.mu.Unlock()
		select {
		case <-c.done:
		case <-ctx.Done():
			var none V
			return none, ctx.Err()
		}
		if c.ok {
			return c.value, nil
		}
	}
}

// stale reports whether c stands and is too old. A call that still runs is never stale.
func (f *flight[K, V]) stale(c *call[V]) bool {
	if f.maxAge == 0 {
		return false
	}
	select {
	case <-c.done:
		return c.ok && f.now().After(c.until)
	default:
		return false
	}
}

func (f *flight[K, V]) lead(ctx context.Context, key K, c *call[V], find func() V) (V, error) {
	c.value = find()
	c.ok = ctx.Err() == nil
	if f.maxAge > 0 {
		c.until = f.now().Add(f.maxAge)
	}
	if !c.ok {
		f.mu.Lock()
		delete(f.calls, key)
		f.mu.Unlock()
	}
	close(c.done)
	return c.value, ctx.Err()
}

// forget drops what is remembered of key; a call that runs goes on.
func (f *flight[K, V]) forget(key K) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if c := f.calls[key]; c != nil {
		select {
		case <-c.done:
			delete(f.calls, key)
		default:
		}
	}
}

// clear drops all that is too old to be used again.
func (f *flight[K, V]) clear() {
	f.mu.Lock()
	defer f.mu.Unlock()
	maps.DeleteFunc(f.calls, func(_ K, c *call[V]) bool { return f.stale(c) })
}
