package probe

import (
	"errors"
	"net/netip"
	"strings"
	"testing"

	"github.com/starttls-everywhere/policylist/pipeline/lab"
)

func optOut(text string) func(*Options) {
	return func(o *Options) {
		list, err := ParseOptOut([]byte(text))
		if err != nil {
			panic(err)
		}
		o.OptOut = list
	}
}

// optOutCases are those who asked not to be probed.
func optOutCases() []liveCase {
	out := func(name, list string, set func(*testing.T, *lab.Lab, string)) liveCase {
		return liveCase{name: name, set: set, verdict: Inconclusive, codes: []string{"probe.opted-out"}, opts: optOut(list)}
	}
	return []liveCase{
		out("addresses opted out", "127.0.0.0/8 # all of the lab", serve(lab.NoStartTLS, lab.Good)),
		out("host opted out, the other is good", "polite.example", func(t *testing.T, l *lab.Lab, d string) {
			must(t, l.AddHost(lab.Host{Name: "mx1." + d}))
			must(t, l.AddHost(lab.Host{Name: "mx.polite.example"}))
			must(t, l.AddDomain(lab.Domain{Name: d, MX: []string{"mx1." + d}}))
			must(t, l.AddRecord(d+". 60 IN MX 90 mx.polite.example."))
		}),
	}
}

// TestOptOut: no connection reaches who asked for none, and of a domain nothing is even looked up.
func TestOptOut(t *testing.T) {
	l := startLab(t)
	serve(lab.Good)(t, l, "a.example")
	serve(lab.Good)(t, l, "b.example")
	must(t, l.AddDomain(lab.Domain{Name: "c.example", MX: []string{"mx1.b.example"}}))
	addrs, err := l.Addresses("mx1.b.example")
	must(t, err)
	p := newProber(t, l, false, optOut("# asked on 2026-11-01\nA.example.\n\n"+addrs[0].Addr().String()+"\n"))
	targets := []Target{
		{Domain: domain("a.example"), Policy: enforce(t, "a.example", "mx1.@")}, {Domain: domain("b.example")}, {Domain: domain("c.example")},
	}
	results, err := p.Probe(t.Context(), targets)
	must(t, err)
	for i, r := range results {
		if r.Verdict != Inconclusive || strings.Join(r.Codes, " ") != "probe.opted-out" {
			t.Errorf("%s %q", r, r.Codes)
		}
		rejudge(t, r, targets[i].Policy)
	}
	for _, name := range []string{"mx1.a.example", "mx1.b.example"} {
		if s, err := l.Stats(name); err != nil || s.Sessions != 0 {
			t.Errorf("%s was visited: %+v, %v", name, s, err)
		}
	}
	for _, kind := range []string{"MX", "A", "AAAA", "TXT"} {
		if l.Asked("a.example", kind)+l.Asked("mx1.a.example", kind)+l.Asked("_mta-sts.a.example", kind)+l.Asked("mta-sts.a.example", kind) > 0 {
			t.Errorf("%s of a.example was asked for", kind)
		}
	}
}

// TestOptOutBehindAnAlias: whoever points to a host with a name of his own has not asked in its stead.
func TestOptOutBehindAnAlias(t *testing.T) {
	l := startLab(t)
	must(t, l.AddHost(lab.Host{Name: "mx.left.example"}))
	must(t, l.AddRecord("alias.good.example. 60 IN CNAME mx.left.example."))
	must(t, l.AddDomain(lab.Domain{Name: "good.example", MX: []string{"alias.good.example"}}))
	must(t, l.AddDomain(lab.Domain{Name: "left.example", STS: lab.STSPolicy("enforce", 86400, "mx.left.example")}))
	must(t, l.AddRecord("_mta-sts.good.example. 60 IN TXT \"v=STSv1; id=1\""))
	must(t, l.AddRecord("mta-sts.good.example. 60 IN CNAME mta-sts.left.example."))
	p := newProber(t, l, false, optOut("left.example\n"))
	results, err := p.Probe(t.Context(), []Target{{Domain: domain("good.example")}})
	must(t, err)
	if r := results[0]; r.Verdict != Inconclusive || strings.Join(r.Codes, " ") != "mx.cname probe.opted-out" {
		t.Errorf("%s %q", r, r.Codes)
	}
	if !strings.Contains(string(results[0].Line), `"status":"opted-out"`) {
		t.Errorf("the policy host: %s", results[0].Line)
	}
	if s, err := l.Stats("mx.left.example"); err != nil || s.Sessions != 0 {
		t.Errorf("it was visited: %+v, %v", s, err)
	}
}

func TestParseOptOut(t *testing.T) {
	list, err := ParseOptOut([]byte("provider.example # and all below\r\nb\u00fccher.example\n 192.0.2.0/24\n2001:db8::/32\n198.51.100.7\n::ffff:203.0.113.0/120\n"))
	must(t, err)
	for name, want := range map[string]bool{
		"provider.example": true, "mx.provider.example": true, "a.b.provider.example": true, "xn--bcher-kva.example": true,
		"myprovider.example": false, "example.org": false, "provider.example.org": false,
	} {
		if got := list.hasName(domain(name)); got != want {
			t.Errorf("%s: %v", name, got)
		}
	}
	for addr, want := range map[string]bool{
		"203.0.113.9": true, "::ffff:203.0.113.9": true, "203.0.114.9": false, "192.0.2.1": true, "::ffff:192.0.2.1": true, "2001:db8::1": true, "198.51.100.7": true, "198.51.100.8": false, "2001:db9::1": false,
	} {
		if got := list.hasAddr(netip.MustParseAddr(addr)); got != want {
			t.Errorf("%s: %v", addr, got)
		}
	}
	for bad, line := range map[string]string{
		"a.example\nnot a name\n": "line 2", "192.0.2.1/24": "192.0.2.0/24", "192.0.2.0/33": "line 1", "*.a.example": "line 1",
		"localhost": "line 1", "\x1b[2J": "line 1", "a.example, b.example": "line 1",
	} {
		if _, err := ParseOptOut([]byte(bad)); !errors.Is(err, ErrOptOut) || !strings.Contains(err.Error(), line) || strings.Contains(err.Error(), "\x1b") {
			t.Errorf("%q: %v", bad, err)
		}
	}
	if (OptOut{}).hasName(domain("a.example")) || (OptOut{}).hasAddr(netip.MustParseAddr("192.0.2.1")) {
		t.Error("the zero list has entries")
	}
}

// FuzzOptOut: what is accepted names each of its own entries.
func FuzzOptOut(f *testing.F) {
	f.Add("a.example\n192.0.2.0/24\n")
	f.Add("# nobody\n\n2001:db8::1")
	f.Fuzz(func(t *testing.T, text string) {
		list, err := ParseOptOut([]byte(text))
		if err != nil {
			if !errors.Is(err, ErrOptOut) {
				t.Fatalf("%q: %v", text, err)
			}
			return
		}
		for name := range list.names {
			if !list.hasName(name) {
				t.Fatalf("%s is on the list and is not found", name)
			}
		}
		for _, p := range list.prefixes {
			if !list.hasAddr(p.Addr()) {
				t.Fatalf("%s is on the list and is not found", p)
			}
		}
	})
}
