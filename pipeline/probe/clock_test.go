package probe

import (
	"context"
	"errors"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// fakeClock stands still until somebody sleeps.
type fakeClock struct {
	mu  sync.Mutex
	now time.Time
}

func (c *fakeClock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *fakeClock) Sleep(ctx context.Context, d time.Duration) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
	return ctx.Err()
}

// TestLimiterTwoAMinute: five visits to one host take two minutes, those to another host cost nothing.
func TestLimiterTwoAMinute(t *testing.T) {
	start := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	clock := &fakeClock{now: start}
	l := newLimiter(2, clock)
	var began []time.Duration
	for range 5 {
		leave, err := l.enter(t.Context(), netip.MustParseAddr("192.0.2.1"))
		must(t, err)
		began = append(began, clock.Now().Sub(start))
		leave()
		clock.Sleep(t.Context(), 10*time.Second) // each visit lasts ten seconds
	}
	if want := []time.Duration{0, 10 * time.Second, time.Minute, 70 * time.Second, 2 * time.Minute}; !slices.Equal(began, want) {
		t.Errorf("visits began at %v, want %v", began, want)
	}
	before := clock.Now()
	if _, err := l.enter(t.Context(), netip.MustParseAddr("192.0.2.2")); err != nil || clock.Now() != before {
		t.Errorf("another host had to wait: %v", err)
	}
}

func TestLimiterOneAtATime(t *testing.T) {
	l := newLimiter(0, SystemClock{})
	addr := netip.MustParseAddr("192.0.2.1")
	leave, err := l.enter(t.Context(), addr)
	must(t, err)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := l.enter(ctx, addr); !errors.Is(err, context.Canceled) {
		t.Errorf("a second visitor came in: %v", err)
	}
	leave()
	leave, err = l.enter(t.Context(), addr)
	must(t, err)
	leave()
}

// TestFlight: one finder for many callers, and a cancelled finder leaves the work to the next.
func TestFlight(t *testing.T) {
	var f flight[string, int]
	var finds atomic.Int32
	var callers sync.WaitGroup
	gate := make(chan struct{})
	for range 20 {
		callers.Go(func() {
			v, err := f.do(t.Context(), "key", func() int {
				<-gate
				return int(finds.Add(1))
			})
			if v != 1 || err != nil {
				t.Errorf("value %d, %v", v, err)
			}
		})
	}
	close(gate)
	callers.Wait()

	ctx, cancel := context.WithCancel(t.Context())
	if _, err := f.do(ctx, "other", func() int { cancel(); return 7 }); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled finder: %v", err)
	}
	if v, err := f.do(t.Context(), "other", func() int { return 8 }); v != 8 || err != nil {
		t.Errorf("after a cancelled finder: %d, %v", v, err)
	}
}
