package probe

import (
	"context"
	"maps"
	"net/netip"
	"sync"
	"time"

	"golang.org/x/net/publicsuffix"

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
// at most perMinute begun within any minute; to all hosts of a provider, which may have hundreds, perProvider at a time.
// Providers turn away who comes oftener, and then a scan measures nothing but their patience. Safe for concurrent use.
type limiter struct {
	perMinute   int           // 0: no limit but one at a time
	perProvider int           // 0: no limit
	backoff     time.Duration // how long we stay away after a server turned us away
	clock       Clock

	mu        sync.Mutex // guards what follows
	gates     map[any]*turnstile
	providers map[string]*exchange // by registrable domain
}

// turnstile lets one visitor through at a time. started is guarded by holding the token.
type turnstile struct {
	token   chan struct{}
	started []time.Time // of the last perMinute visits, oldest first
	users   int         // who holds the token or waits for it; guarded by limiter.mu
}

// exchange has the lines to a provider.
type exchange struct {
	lines chan struct{}
	users int // who has a line or waits for one; guarded by limiter.mu
}

func newLimiter(perMinute int, clock Clock) *limiter {
	return &limiter{perMinute: perMinute, clock: clock, gates: make(map[any]*turnstile), providers: make(map[string]*exchange)}
}

// enter waits for the right to connect to addr, which is an address of the host named, if one is. The caller calls leave
// when the connection is closed.
func (l *limiter) enter(ctx context.Context, addr netip.Addr, hosts ...policy.Domain) (leave func(), err error) {
	// Everybody takes the tokens in one order, hosts, address, provider: so no two can wait for each other.
	var gates []*turnstile
	for _, h := range hosts {
		gates = append(gates, l.gate(h))
	}
	gates = append(gates, l.gate(addr))
	held := 0
	release := func() {
		for _, g := range gates[:held] {
			<-g.token
		}
		l.abandon(gates)
	}
	for _, g := range gates {
		select {
		case g.token <- struct{}{}:
			held++
		case <-ctx.Done():
			release()
			return nil, ctx.Err()
		}
	}
	depart, err := l.pace(ctx, gates, hosts)
	if err != nil {
		release()
		return nil, err
	}
	return func() { depart(); release() }, nil
}

func (l *limiter) gate(key any) *turnstile {
	l.mu.Lock()
	defer l.mu.Unlock()
	t := l.gates[key]
	if t == nil {
		t = &turnstile{token: make(chan struct{}, 1)}
		l.gates[key] = t
	}
	t.users++
	return t
}

// abandon gives gates back.
func (l *limiter) abandon(gates []*turnstile) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, g := range gates {
		g.users--
	}
}

// forget drops what nobody uses and what would keep nobody waiting any more. Whoever has a gate counts as its user, so none
// is dropped between being looked up and being passed, which would let two visitors in.
func (l *limiter) forget() {
	l.mu.Lock()
	defer l.mu.Unlock()
	last := l.clock.Now().Add(-time.Minute)
	maps.DeleteFunc(l.gates, func(_ any, g *turnstile) bool {
		return g.users == 0 && (len(g.started) == 0 || !g.started[len(g.started)-1].After(last))
	})
	maps.DeleteFunc(l.providers, func(_ string, e *exchange) bool { return e.users == 0 })
}

// pace waits until another visit may begin at all gates, whose tokens the caller holds, and at the hosts' providers.
func (l *limiter) pace(ctx context.Context, gates []*turnstile, hosts []policy.Domain) (depart func(), err error) {
	var wait time.Duration
	for _, g := range gates {
		if l.perMinute > 0 && len(g.started) == l.perMinute {
			wait = max(wait, g.started[0].Add(time.Minute).Sub(l.clock.Now()))
		}
	}
	if wait > 0 {
		if err := l.clock.Sleep(ctx, wait); err != nil {
			return nil, err
		}
	}
	if depart, err = l.callOn(ctx, hosts); err != nil {
		return nil, err
	}
	for _, g := range gates {
		if l.perMinute > 0 {
			g.started = append(g.started[max(0, len(g.started)+1-l.perMinute):], l.clock.Now())
		}
	}
	return depart, nil
}

// callOn waits for a free line to the provider of a host. It is the last thing that is waited for, so that no line lies
// idle.
func (l *limiter) callOn(ctx context.Context, hosts []policy.Domain) (hangUp func(), err error) {
	if l.perProvider == 0 || len(hosts) == 0 {
		return func() {}, nil
	}
	name, err := publicsuffix.EffectiveTLDPlusOne(hosts[0].String())
	if err != nil {
		name = hosts[0].String() // a public suffix itself
	}
	l.mu.Lock()
	e := l.providers[name]
	if e == nil {
		e = &exchange{lines: make(chan struct{}, l.perProvider)}
		l.providers[name] = e
	}
	e.users++
	l.mu.Unlock()
	left := func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		e.users--
	}
	select {
	case e.lines <- struct{}{}:
		return func() { <-e.lines; left() }, nil
	case <-ctx.Done():
		left()
		return nil, ctx.Err()
	}
}
