package probe

import (
	"context"
	"errors"
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/starttls-everywhere/policylist/pipeline/lab"
)

// What keeps nobody waiting is dropped; a gate that somebody holds or waits for, or has passed within a minute, is not: its
// next visitor would not know of the others.
func TestLimiterForgets(t *testing.T) {
	clock := &fakeClock{now: time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)}
	l := newLimiter(2, clock)
	l.perProvider = 1
	addr, host := netip.MustParseAddr("192.0.2.1"), domain("mx.a.example")
	leave, err := l.enter(t.Context(), addr, host)
	must(t, err)
	clock.Sleep(t.Context(), time.Hour)
	if l.forget(); len(l.gates) != 2 || len(l.providers) != 1 {
		t.Fatalf("what is in use was dropped: %d gates, %d providers", len(l.gates), len(l.providers))
	}
	cancelled, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := l.enter(cancelled, addr, host); !errors.Is(err, context.Canceled) {
		t.Fatalf("two visitors at once: %v", err)
	}
	leave()
	if l.forget(); len(l.gates) != 0 || len(l.providers) != 0 {
		t.Errorf("after an hour there are %d gates, %d providers", len(l.gates), len(l.providers))
	}
	start := clock.Now()
	for range 3 {
		leave, err := l.enter(t.Context(), addr, host)
		must(t, err)
		leave()
		l.forget()
	}
	if took := clock.Now().Sub(start); took != time.Minute {
		t.Errorf("three visits took %v although two a minute are allowed", took)
	}
}

func TestProberForgets(t *testing.T) {
	l := startLab(t)
	serve(lab.Good)(t, l, "good.example")
	clock := &fakeClock{now: time.Now()}
	p := newProber(t, l, false, func(o *Options) { o.Clock, o.MaxAge = clock, time.Minute })
	sessions := func() int {
		s, err := l.Stats("mx1.good.example")
		must(t, err)
		return s.Sessions
	}
	probeOne(t, p, Target{Domain: domain("good.example")})
	seen := sessions()
	p.Forget()
	if probeOne(t, p, Target{Domain: domain("good.example")}); sessions() != seen || len(p.sessions.calls) == 0 {
		t.Error("what is still good was looked at again")
	}
	clock.Sleep(t.Context(), time.Minute+time.Second)
	p.Forget()
	if n := len(p.sessions.calls) + len(p.bare.calls) + len(p.hosts.calls) + len(p.tlsa.calls) + len(p.loopback.gates) + len(p.web.loopback.gates); n != 0 {
		t.Errorf("%d things are remembered for ever", n)
	}
	if probeOne(t, p, Target{Domain: domain("good.example")}); sessions() == seen {
		t.Error("what was forgotten is known")
	}
}

// The result has the keys of all hosts, whatever evidence leaves out, and the records that name them.
func TestHostKeys(t *testing.T) {
	l := startLab(t)
	serve(lab.Good)(t, l, "plain.example")
	serve(lab.Good)(t, l, "dane.example")
	serve(lab.Refusing)(t, l, "away.example")
	sent, err := l.Sent("mx1.dane.example")
	must(t, err)
	l.SetSecure(true, "dane.example", "mx1.dane.example", l.TLSAName("mx1.dane.example"))
	must(t, l.AddRecord(l.TLSA("mx1.dane.example", 3, 1, 1, sent[0])))
	p := newProber(t, l, false, func(o *Options) { o.TrustAD = true })
	for name, named := range map[string]int{"plain.example": 0, "dane.example": 1, "away.example": -1} {
		r := probeOne(t, p, Target{Domain: domain(name)})
		if named < 0 {
			if r.Keys != nil {
				t.Errorf("%s: %v", name, r.Keys)
			}
			continue
		}
		if len(r.Keys) != 1 || r.Keys[0].Host != domain("mx1."+name) || len(r.Keys[0].SPKI) != 1 {
			t.Fatalf("%s: %v", name, r.Keys)
		}
		o, err := p.observe(t.Context(), domain(name))
		must(t, err)
		got := o.Hosts[0].Named()
		if len(got) != named || named == 1 && !slices.Equal(got, []string{"3 1 1 " + r.Keys[0].SPKI[0]}) {
			t.Errorf("%s: named by %v, keys %v", name, got, r.Keys)
		}
	}
}
