package probe

import (
	"context"
	"net/netip"
	"sync"
	"time"
)

// Clock is the time of day and the art of waiting; tests bring their own.
type Clock interface {
	Now() time.Time
	// Sleep returns nil after d, or ctx's error when that comes first.
	Sleep(ctx context.Context, d time.Duration) error
}

// SystemClock is the real time.
type SystemClock struct{}

// Now implements Clock.
func (SystemClock) Now() time.Time { return time.Now() }

// Sleep implements Clock.
func (SystemClock) Sleep(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// limiter keeps the manners: one connection at a time to an address and at most perMinute begun within any minute.
// Providers turn away who comes oftener, and then a scan measures nothing but their patience. Safe for concurrent use.
type limiter struct {
	perMinute int // 0: no limit but one at a time
	clock     Clock

	mu    sync.Mutex // guards hosts
	hosts map[netip.Addr]*turnstile
}

// turnstile lets one visitor through at a time. started is guarded by holding the token.
type turnstile struct {
	token   chan struct{}
	started []time.Time // of the last perMinute visits, oldest first
}

func newLimiter(perMinute int, clock Clock) *limiter {
	return &limiter{perMinute: perMinute, clock: clock, hosts: make(map[netip.Addr]*turnstile)}
}

// enter waits for the right to connect to addr. The caller calls leave when the connection is closed.
func (l *limiter) enter(ctx context.Context, addr netip.Addr) (leave func(), err error) {
	l.mu.Lock()
	t := l.hosts[addr]
	if t == nil {
		t = &turnstile{token: make(chan struct{}, 1)}
		l.hosts[addr] = t
	}
	l.mu.Unlock()
	select {
	case t.token <- struct{}{}:
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	leave = func() { <-t.token }
	if l.perMinute == 0 {
		return leave, nil
	}
	if len(t.started) == l.perMinute {
		if wait := t.started[0].Add(time.Minute).Sub(l.clock.Now()); wait > 0 {
			if err := l.clock.Sleep(ctx, wait); err != nil {
				leave()
				return nil, err
			}
		}
		t.started = t.started[1:]
	}
	t.started = append(t.started, l.clock.Now())
	return leave, nil
}
