package probe

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/starttls-everywhere/policylist/pipeline/lab"
	"github.com/starttls-everywhere/policylist/policy"
)

// TestQuitAlways: we leave with QUIT whatever the server did, as long as there is somebody to tell.
func TestQuitAlways(t *testing.T) {
	l := startLab(t)
	for b, quits := range map[lab.Behaviour]int{
		lab.Good: 2, lab.TLS13Only: 2, lab.OddSpelling: 2, lab.WrongName: 2, lab.NoStartTLS: 2, lab.NoEHLO: 2, lab.Stripped: 2,
		lab.StartTLS502: 2, lab.StartTLS454: 2, lab.Injection: 2, lab.Greeting421: 2, lab.Greeting554: 1, lab.EHLO550: 1,
		lab.Garbage: 1, lab.Hanging: 1, lab.StartTLSHangs: 1,
		// Nobody is there any more, or nobody can read it.
		lab.Dropping: 0, lab.Resetting: 0, lab.HandshakeDrops: 0, lab.NotTLS: 0, lab.TLS11Only: 2,
	} {
		t.Run(string(b), func(t *testing.T) {
			d := "d" + strings.ReplaceAll(string(b), ".", "-") + ".example"
			serve(b)(t, l, d)
			hasty := slices.Contains([]lab.Behaviour{lab.Hanging, lab.StartTLSHangs}, b)
			probeOne(t, newProber(t, l, hasty, nil), Target{Domain: domain(d)})
			for deadline := time.Now().Add(10 * time.Second); ; {
				// Who is told without being waited for reads it a moment later.
				s, err := l.Stats("mx1." + d)
				must(t, err)
				if s.Quits == quits && s.Open == 0 {
					return
				}
				if time.Now().After(deadline) {
					t.Fatalf("the server saw %+v, want %d QUITs", s, quits)
				}
			}
		})
	}
}

// keptSession is the most that one session, without samples, adds to a line of evidence.
const keptSession = 8 << 10

// countingConn counts what we read.
type countingConn struct {
	net.Conn
	read *atomic.Int64
}

func (c countingConn) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	c.read.Add(int64(n))
	return n, err
}

// TestFloodsCostTheirCap: what never ends costs what our caps say and no more.
func TestFloodsCostTheirCap(t *testing.T) {
	l := startLab(t)
	for b, limit := range map[lab.Behaviour]int64{
		lab.Endless:     maxReplyLines*maxReplyLine + 4096, // and what the buffered reader read ahead
		lab.EndlessLine: maxReplyLine + 4096,
		lab.EndlessCert: 64 << 10,
		lab.LongChain:   256 << 10,
		lab.Good:        16 << 10,
	} {
		t.Run(string(b), func(t *testing.T) {
			name := "mx-" + string(b) + "x.example"
			must(t, l.AddHost(lab.Host{Name: name, Behaviour: b}))
			addrs, err := l.Addresses(name)
			must(t, err)
			p := newProber(t, l, false, nil)
			var read atomic.Int64
			v, dial := p.visitor, p.visitor.dial
			v.dial = func(ctx context.Context, network, address string) (net.Conn, error) {
				conn, err := dial(ctx, network, address)
				return countingConn{conn, &read}, err
			}
			s, _ := v.visit(t.Context(), addrs[0].Addr(), domain(name))
			if n := read.Load(); n > limit || n == 0 {
				t.Errorf("read %d bytes, want at most %d", n, limit)
			}
			if n := len(appendLine(nil, s)); n > keptSession {
				t.Errorf("the evidence of one session has %d bytes", n)
			}
		})
	}
}

// TestBackoff: who turned us away is left alone for a while, then asked once more, and never oftener than manners allow.
func TestBackoff(t *testing.T) {
	l := startLab(t)
	servePool(lab.Greeting421, lab.Good)(t, l, "once.example")
	serve(lab.Greeting421)(t, l, "always.example")
	for d, want := range map[string]struct {
		verdict  Verdict
		sessions int
		took     time.Duration
	}{
		"once.example":   {Pass, 3, 90 * time.Second}, // turned away, with SNI, without
		"always.example": {Inconclusive, 2, 90 * time.Second},
	} {
		clock := &fakeClock{now: time.Now()}
		start := clock.Now()
		p := newProber(t, l, false, func(o *Options) { o.Clock = clock })
		p.loopback = p.limit // as if the target were out there
		r := probeOne(t, p, Target{Domain: domain(d)})
		s, err := l.Stats("mx1." + d)
		must(t, err)
		if took := clock.Now().Sub(start); r.Verdict != want.verdict || s.Sessions != want.sessions || took != want.took {
			t.Errorf("%s: %s %q after %d sessions and %v, want %+v", d, r.Verdict, r.Codes, s.Sessions, took, want)
		}
	}
}

// TestLimiterCountsHosts: a host with many addresses is one host, and one address with many names one address.
func TestLimiterCountsHosts(t *testing.T) {
	start := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	visits := func(visit func(l *limiter, i byte) (func(), error)) time.Duration {
		clock := &fakeClock{now: start}
		l := newLimiter(2, clock)
		for i := range byte(6) {
			leave, err := visit(l, i)
			must(t, err)
			leave()
		}
		return clock.Now().Sub(start)
	}
	addr := func(i byte) netip.Addr { return netip.AddrFrom4([4]byte{192, 0, 2, i}) }
	name := func(i byte) policy.Domain { return domain(string(rune('a'+i)) + ".example") }
	if took := visits(func(l *limiter, i byte) (func(), error) { return l.enter(t.Context(), addr(i), name(0)) }); took != 2*time.Minute {
		t.Errorf("six addresses of one host took %v", took)
	}
	if took := visits(func(l *limiter, i byte) (func(), error) { return l.enter(t.Context(), addr(0), name(i)) }); took != 2*time.Minute {
		t.Errorf("six names of one address took %v", took)
	}
	if took := visits(func(l *limiter, i byte) (func(), error) { return l.enter(t.Context(), addr(i), name(i)) }); took != 0 {
		t.Errorf("six hosts took %v", took)
	}
}

// TestLimiterUnderPressure: many visitors to hosts that share addresses in every way get in one by one, and nobody waits
// for ever. Over each minute of the clock nobody is visited more than twice.
func TestLimiterUnderPressure(t *testing.T) {
	clock := &fakeClock{now: time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)}
	l := newLimiter(2, clock)
	var mu sync.Mutex
	inside, began := make(map[any]int), make(map[any][]time.Time)
	var crowd sync.WaitGroup
	for i := range 60 {
		host, addr := domain(string(rune('a'+i%4))+".example"), netip.AddrFrom4([4]byte{192, 0, 2, byte(i % 3)})
		crowd.Go(func() {
			leave, err := l.enter(t.Context(), addr, host)
			must(t, err)
			mu.Lock()
			for _, key := range []any{host, addr} {
				if inside[key]++; inside[key] > 1 {
					t.Errorf("%v has two visitors", key)
				}
				started := l.gate(key).started // the clock may have gone on since
				began[key] = append(began[key], started[len(started)-1])
			}
			mu.Unlock()
			mu.Lock()
			inside[host]--
			inside[addr]--
			mu.Unlock()
			leave()
		})
	}
	crowd.Wait()
	for key, times := range began {
		slices.SortFunc(times, time.Time.Compare)
		for i := 2; i < len(times); i++ {
			if times[i].Sub(times[i-2]) < time.Minute {
				t.Errorf("%v was visited three times between %v and %v", key, times[i-2], times[i])
			}
		}
	}
}

// TestFlightGrowsOld: what was found is used until it is too old, and a call that runs is never doubled.
func TestFlightGrowsOld(t *testing.T) {
	clock := &fakeClock{now: time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)}
	f := flight[string, int]{maxAge: time.Hour, now: clock.Now}
	n := 0
	ask := func() int {
		v, err := f.do(t.Context(), "key", func() int { n++; return n })
		must(t, err)
		return v
	}
	if a, b := ask(), ask(); a != 1 || b != 1 {
		t.Errorf("fresh: %d, %d", a, b)
	}
	clock.Sleep(t.Context(), time.Hour)
	if a := ask(); a != 1 {
		t.Errorf("after an hour: %d", a)
	}
	clock.Sleep(t.Context(), time.Second)
	if a, b := ask(), ask(); a != 2 || b != 2 {
		t.Errorf("after more than an hour: %d, %d", a, b)
	}
}

// TestVersionsAreNoted: a session shows the best version that the server has, up to the best that we offer.
func TestVersionsAreNoted(t *testing.T) {
	l := startLab(t)
	for b, want := range map[lab.Behaviour]string{
		lab.Good: "TLS 1.3", lab.TLS13Only: "TLS 1.3", lab.TLS12Only: "TLS 1.2", lab.TLS11Only: "TLS 1.1",
	} {
		name := "mx" + strings.ReplaceAll(string(b), ".", "") + ".example"
		must(t, l.AddHost(lab.Host{Name: name, Behaviour: b}))
		addrs, err := l.Addresses(name)
		must(t, err)
		p := newProber(t, l, false, nil)
		if s, _ := p.visitor.visit(t.Context(), addrs[0].Addr(), domain(name)); s.TLS == nil || s.TLS.Version != want || s.TLS.Offered != "TLS 1.3" {
			t.Errorf("%s: %+v", b, s.TLS)
		}
	}
}

// TestProviderIsNotCrowded: hosts of one provider share its lines, however many names and addresses it has.
func TestProviderIsNotCrowded(t *testing.T) {
	l := newLimiter(2, &fakeClock{now: time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)})
	l.perProvider = 3
	var leave []func()
	visit := func(ctx context.Context, i byte, host string) error {
		out, err := l.enter(ctx, netip.AddrFrom4([4]byte{192, 0, 2, i}), domain(host))
		if err == nil {
			leave = append(leave, out)
		}
		return err
	}
	for i := range byte(3) {
		must(t, visit(t.Context(), i, string(rune('a'+i))+".mail.provider.example"))
	}
	busy, cancel := context.WithCancel(t.Context())
	cancel()
	if err := visit(busy, 9, "z.provider.example"); !errors.Is(err, context.Canceled) {
		t.Errorf("a fourth line to the provider: %v", err)
	}
	must(t, visit(t.Context(), 10, "mx.another.example"))
	leave[0]()
	must(t, visit(t.Context(), 9, "z.provider.example")) // who gave up before holds nothing
}
