package probe

import (
	"context"
	"net/netip"
	"sync"
	"time"

	"github.com/starttls-everywhere/policylist/policy"
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

// limiter keeps the manners: one connection at a time to an address and to a host, which may have many addresses, and
// at most perMinute begun within any minute. Providers turn away who comes oftener, and then a scan measures nothing
// but their patience. Safe for concurrent use.
type limiter struct {
	perMinute int           // 0: no limit but one at a time
	backoff   time.Duration // how long we stay away after a server turned us away
	clock     Clock

	mu    sync.Mutex // guards gates
	gates map[any]*turnstile
}

// turnstile lets one visitor through at a time. started is guarded by holding the token.
type turnstile struct {
	token   chan struct{}
	started []time.Time // of the last perMinute visits, oldest first
}

func newLimiter(perMinute int, clock Clock) *limiter {
	return &limiter{perMinute: perMinute, clock: clock, gates: make(map[any]*turnstile)}
}

// enter waits for the right to connect to addr, an address of the hosts named. The caller calls leave when the
// connection is closed.
func (l *limiter) enter(ctx context.Context, addr netip.Addr, hosts ...policy.Domain) (leave func(), err error) {
	// The address is the last token that anybody takes: two hosts that share addresses cannot wait for each other.
	var gates []*turnstile
	for _, h := range hosts {
		gates = append(gates, l.gate(h))
	}
	gates = append(gates, l.gate(addr))
	held := 0
	leave = func() {
		for _, g := range gates[:held] {
			<-g.token
		}
	}
	for _, g := range gates {
		select {
		case g.token <- struct{}{}:
			held++
		case <-ctx.Done():
			leave()
			return nil, ctx.Err()
		}
	}
	if err := l.pace(ctx, gates); err != nil {
		leave()
		return nil, err
	}
	return leave, nil
}

func (l *limiter) gate(key any) *turnstile {
	l.mu.Lock()
	defer l.mu.Unlock()
	t := l.gates[key]
	if t == nil {
		t = &turnstile{token: make(chan struct{}, 1)}
		l.gates[key] = t
	}
	return t
}

// pace waits until another visit may begin at all gates, whose tokens the caller holds.
func (l *limiter) pace(ctx context.Context, gates []*turnstile) error {
	if l.perMinute == 0 {
		return nil
	}
	var wait time.Duration
	for _, g := range gates {
		if len(g.started) == l.perMinute {
			wait = max(wait, g.started[0].Add(time.Minute).Sub(l.clock.Now()))
		}
	}
	if wait > 0 {
		if err := l.clock.Sleep(ctx, wait); err != nil {
			return err
		}
	}
	for _, g := range gates {
		g.started = append(g.started[max(0, len(g.started)+1-l.perMinute):], l.clock.Now())
	}
	return nil
}
