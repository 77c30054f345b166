package probe

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"runtime"
	"slices"
	"testing"
	"time"

	"github.com/starttls-everywhere/policylist/pipeline/lab"
	"github.com/starttls-everywhere/policylist/policy"
	"github.com/starttls-everywhere/policylist/policy/discovery"
)

// TestSharedHosts: sixty domains behind one mail service cost it two sessions an address, with SNI and without, one at a
// time, each ended with QUIT, and the results come in the order asked for.
func TestSharedHosts(t *testing.T) {
	l := startLab(t)
	mx := []string{"mx1.provider.example", "mx2.provider.example"}
	for _, name := range mx {
		must(t, l.AddHost(lab.Host{Name: name, Behaviour: lab.OddSpelling})) // counts QUITs through TLS
	}
	var targets []Target
	for i := range 60 {
		name := fmt.Sprintf("d%d.example", (i*37)%60)
		must(t, l.AddDomain(lab.Domain{Name: name, MX: mx}))
		targets = append(targets, Target{Domain: domain(name)})
	}
	p := newProber(t, l, false, nil)
	results, err := p.Probe(t.Context(), targets)
	must(t, err)
	for i, r := range results {
		if r.Domain != targets[i].Domain || r.Verdict != Pass {
			t.Errorf("result %d is %s %q, want %s pass", i, r, r.Codes, targets[i].Domain)
		}
	}
	for _, name := range mx {
		s, err := l.Stats(name)
		must(t, err)
		if s.Sessions != 2 || s.Quits != 2 || s.Peak != 1 {
			t.Errorf("%s saw %+v, want two sessions ended with QUIT", name, s)
		}
		if n := l.Asked(name, "A"); n != 1 {
			t.Errorf("the address of %s was asked for %d times", name, n)
		}
	}
}

// TestOneConnectionAtATime: many names at one address, each a session of its own, never two at once, and never more
// than two a minute where the limit holds.
func TestOneConnectionAtATime(t *testing.T) {
	l := startLab(t)
	must(t, l.AddHost(lab.Host{Name: "mx.real.example"}))
	addrs, err := l.Addresses("mx.real.example")
	must(t, err)
	var targets []Target
	for i := range 10 {
		d := fmt.Sprintf("d%d.example", i)
		must(t, l.AddRecord(fmt.Sprintf("%s. 60 IN MX 1 mx.%s.", d, d)))
		must(t, l.AddRecord(fmt.Sprintf("mx.%s. 60 IN A %s", d, addrs[0].Addr())))
		targets = append(targets, Target{Domain: domain(d)})
	}
	clock := &fakeClock{now: time.Now()}
	start := clock.Now()
	p := newProber(t, l, false, func(o *Options) { o.Clock = clock })
	p.loopback = p.limit // as if the target were out there
	if _, err := p.Probe(t.Context(), targets); err != nil {
		t.Fatal(err)
	}
	s, err := l.Stats("mx.real.example")
	must(t, err)
	// The certificate has none of the names, so each session is followed by another that makes sure.
	if s.Sessions != 20 || s.Peak != 1 {
		t.Errorf("the server saw %+v", s)
	}
	if took := clock.Now().Sub(start); took < 9*time.Minute {
		t.Errorf("twenty sessions within %v", took)
	}
}

// TestNothingLeaks: a scan with 30 % of the hosts hanging, and one that is given up, leave no goroutine behind.
func TestNothingLeaks(t *testing.T) {
	before, files := runtime.NumGoroutine(), openFiles(t)
	l, err := lab.Start(t.Context(), lab.Options{})
	must(t, err)
	var targets []Target
	behaviours := []lab.Behaviour{lab.Good, lab.Hanging, lab.NoStartTLS, lab.Good, lab.Tarpit, lab.Expired, lab.Good,
		lab.HandshakeHangs, lab.Resetting, lab.Good}
	for i := range 40 {
		d := fmt.Sprintf("d%d.example", i)
		must(t, l.AddHost(lab.Host{Name: "mx." + d, Behaviour: behaviours[i%len(behaviours)]}))
		must(t, l.AddDomain(lab.Domain{Name: d, MX: []string{"mx." + d}}))
		targets = append(targets, Target{Domain: domain(d)})
	}
	results, err := newProber(t, l, true, nil).Probe(t.Context(), targets)
	must(t, err)
	hung := 0
	for _, r := range results {
		if slices.Contains(r.Codes, "smtp.timeout") || slices.Contains(r.Codes, "tls.interrupted") {
			hung++
		}
	}
	if hung < 12 { // on a busy machine others miss the short deadline too
		t.Errorf("%d of %d hosts hung, want at least 30 %%", hung, len(results))
	}
	ctx, cancel := context.WithCancel(t.Context())
	enough := errors.New("enough")
	err = newProber(t, l, false, nil).Each(ctx, targets, func(Result) error { return enough })
	if !errors.Is(err, enough) {
		t.Errorf("the caller's error came back as %v", err)
	}
	cancel()
	if _, err := newProber(t, l, false, nil).Probe(ctx, targets); !errors.Is(err, context.Canceled) {
		t.Errorf("a cancelled probe: %v", err)
	}
	l.Close()
	for deadline := time.Now().Add(10 * time.Second); runtime.NumGoroutine() > before || openFiles(t) > files; runtime.Gosched() {
		if time.Now().After(deadline) {
			stacks := make([]byte, 1<<20)
			t.Fatalf("%d goroutines before, %d after; %d descriptors before, %d after\n%s", before, runtime.NumGoroutine(), files,
				openFiles(t), stacks[:runtime.Stack(stacks, true)])
		}
	}
}

// openFiles counts this process's descriptors, the one that it counts with included.
func openFiles(t *testing.T) int {
	t.Helper()
	fds, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		return 0 // not Linux: only goroutines are counted
	}
	return len(fds)
}

// TestGuard: what the DNS says must not lead us into our own network.
func TestGuard(t *testing.T) {
	open := guard{}
	lax := guard{loopback: true}
	onlyLab := guard{loopback: true, loopbackOnly: true}
	for addr, want := range map[string][3]bool{ // open, with loopback, loopback only
		"198.41.0.4": {true, true, false}, "2a00:1450::1": {true, true, false}, "127.0.0.1": {false, true, true},
		"127.9.8.7": {false, true, true}, "::1": {false, true, true}, "::ffff:127.0.0.1": {false, true, true},
		"10.0.0.1": {}, "172.31.255.255": {}, "192.168.1.1": {}, "169.254.169.254": {}, "100.64.0.1": {}, "0.0.0.0": {},
		"255.255.255.255": {}, "224.0.0.1": {}, "192.0.2.1": {}, "198.51.100.9": {}, "203.0.113.9": {}, "198.18.0.1": {},
		"::": {}, "fe80::1": {}, "fec0::1": {}, "fd00::1": {}, "ff02::1": {}, "2001:db8::1": {}, "64:ff9b::a00:1": {},
		"2002:a00:1::1": {}, "::ffff:10.0.0.1": {}, "fe80::1%lo": {}, "2001::1": {}, "::7f00:1": {},
		"::ffff:0:10.0.0.1": {}, "64:ff9b:1::a00:1": {}, "64:ff9b::7f00:1": {}, "100::1": {}, "5f00::1": {}, "4000::1": {},
		"e000::1": {}, "3fff::1": {}, "0.1.2.3": {}, "192.0.0.8": {}, "192.88.99.1": {}, "240.0.0.1": {}, "2002:7f00:1::": {},
		"::ffff:169.254.169.254": {}, "::ffff:127.0.0.1%lo": {false, true, true}, "2600::1": {true, true, false},
	} {
		a := netip.MustParseAddr(addr)
		if got := [3]bool{open.allows(a), lax.allows(a), onlyLab.allows(a)}; got != want {
			t.Errorf("%s: %v, want %v", addr, got, want)
		}
	}
}

// TestLoopbackNeedsLeave: without AllowLoopback the lab's servers are as private as any.
func TestLoopbackNeedsLeave(t *testing.T) {
	l := startLab(t)
	serve(lab.Good)(t, l, "a.example")
	r := probeOne(t, newProber(t, l, false, func(o *Options) {
		o.AllowLoopback, o.EHLO = false, "probe.operator.example"
	}), Target{Domain: domain("a.example")})
	if r.Verdict != Fail || !slices.Contains(r.Codes, "mx.private-address") {
		t.Errorf("%s %q", r.Verdict, r.Codes)
	}
	if s, _ := l.Stats("mx1.a.example"); s.Sessions != 0 {
		t.Errorf("the server was visited: %+v", s)
	}
}

// TestTrustAD: the AD bit counts only from a resolver that is trusted.
func TestTrustAD(t *testing.T) {
	l := startLab(t)
	serve(lab.Good)(t, l, "a.example")
	l.SetSecure(true, "a.example")
	for _, trust := range []bool{false, true} {
		p := newProber(t, l, false, func(o *Options) { o.TrustAD = trust })
		r := probeOne(t, p, Target{Domain: domain("a.example")})
		header, err := p.Header(t.Context(), "")
		must(t, err)
		var rec Record
		must(t, readCanonical(r.Line, &rec))
		want := map[bool]uint{false: 0, true: 1}[trust]
		mx, addr := rec.Observed.Lookups[0].Secure, rec.Observed.Hosts[0].Lookups[0].Secure
		if mx != want || addr != 0 || header.TrustAD != want {
			t.Errorf("trust %v: MX secure %d, address secure %d, header %d", trust, mx, addr, header.TrustAD)
		}
	}
}

func TestOptions(t *testing.T) {
	resolver := netip.MustParseAddrPort("127.0.0.1:53")
	for name, c := range map[string]struct {
		opts Options
		want error
	}{
		"no resolver":         {Options{AllowLoopback: true}, discovery.ErrResolver},
		"nobody to introduce": {Options{Resolver: resolver}, ErrOptions},
		"EHLO is no name":     {Options{Resolver: resolver, EHLO: "localhost"}, ErrOptions},
		"command in EHLO":     {Options{Resolver: resolver, EHLO: "a.example\r\nQUIT"}, ErrOptions},
		"port":                {Options{Resolver: resolver, AllowLoopback: true, SMTPPort: 70000}, ErrOptions},
		"vantage":             {Options{Resolver: resolver, AllowLoopback: true, Vantage: "caf\u00e9"}, ErrOptions},
	} {
		if _, err := New(c.opts); !errors.Is(err, c.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
	p, err := New(Options{Resolver: resolver, EHLO: "probe.operator.example"})
	must(t, err)
	if p.opts.PerMinute != 2 || p.opts.SMTPPort != 25 || len(p.opts.Roots.Digest) != 64 || p.opts.Roots.Version == "" {
		t.Errorf("defaults: %+v", p.opts)
	}
}

func TestRoots(t *testing.T) {
	l := startLab(t)
	mozilla, err := MozillaRoots()
	must(t, err)
	one, err := ParseRoots(l.RootsPEM())
	must(t, err)
	twice, err := ParseRoots(append(l.RootsPEM(), l.RootsPEM()...))
	must(t, err)
	if one.Digest != twice.Digest || one.Digest == mozilla.Digest {
		t.Errorf("digests: once %s, twice %s, Mozilla's %s", one.Digest, twice.Digest, mozilla.Digest)
	}
	for _, text := range []string{"", "hello", "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n",
		"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"} {
		if _, err := ParseRoots([]byte(text)); !errors.Is(err, ErrRoots) {
			t.Errorf("%q: %v", text, err)
		}
	}
}

// TestShards: every domain is in exactly one shard.
func TestShards(t *testing.T) {
	var all []Target
	for i := range 500 {
		all = append(all, Target{Domain: domain(fmt.Sprintf("d%d.example", i))})
	}
	seen := make(map[policy.Domain]int)
	for i := 1; i <= 4; i++ {
		sh, err := ParseShard(fmt.Sprintf("%d/4", i))
		must(t, err)
		part := sh.Select(all)
		if len(part) < 60 {
			t.Errorf("shard %s has %d of 500", sh, len(part))
		}
		for _, target := range part {
			seen[target.Domain]++
		}
	}
	for _, target := range all {
		if seen[target.Domain] != 1 {
			t.Errorf("%s is in %d shards", target.Domain, seen[target.Domain])
		}
	}
	for _, bad := range []string{"0/4", "5/4", "1", "1/", "/4", "-1/4", "1/0", "1/4x", "01/4", " 1/4", "1/9999"} {
		if sh, err := ParseShard(bad); err == nil {
			t.Errorf("%q is taken as %v", bad, sh)
		}
	}
}
