package probe

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/starttls-everywhere/policylist/pipeline/lab"
	"github.com/starttls-everywhere/policylist/policy"
)

// loudSession says as much as a server can, in bytes that take the most room.
func loudSession(address string) Session {
	noise := strings.Repeat("\x1b", 4096)
	loud := reply{code: 250, lines: slices.Repeat([]string{noise}, maxReplyLines)}.keep()
	name := strings.Repeat(strings.Repeat("\x01", 60)+".", 4)
	s := goodSession()
	s.Address, s.Detail, s.Clear = address, escape(noise, keptLine), escape(noise, keptLine)
	s.Greeting, s.EHLO, s.STARTTLS = loud, loud, loud
	t := *s.TLS
	t.Detail, t.Chain = escape(noise, keptLine), slices.Repeat(t.Chain, keptChain)
	t.Names = slices.Repeat([]string{cutEscaped(escape(name, 255), 255)}, keptNames)
	digest := strings.Repeat("0a", 64)
	t.Keys = &Keys{Chain: slices.Repeat([]Print{{digest[:64], digest, digest[:64], digest}}, keptChain)}
	s.TLS = &t
	s.Samples = slices.Repeat([]Sample{s.brief(sampleAgain)}, maxSamples)
	return s
}

// TestLoudestDomain: the longest line that a domain can bring about is one that we can read again.
func TestLoudestDomain(t *testing.T) {
	if n := len(appendLine(nil, loudSession("2a00::1"))); n > 24<<10 {
		t.Errorf("one session takes %d bytes", n)
	}
	o := oneHost()
	o.Hosts = nil
	name := strings.Repeat(strings.Repeat("a", 59)+".", 4) + "example"
	lookup := Lookup{Name: name, Type: "AAAA", Status: "noerror", CNAME: slices.Repeat([]string{escape(strings.Repeat("\x01", 255), 255)}, 8)}
	for range 64 {
		lookup.Records = append(lookup.Records, "2a00:1111:1111:1111:1111:1111:1111:1111")
	}
	loud := loudSession("")
	for i := range 32 {
		h := Host{Name: name, Preference: uint16(i), Lookups: []Lookup{lookup, lookup}, DANE: &DANE{
			Kind: "usable", Base: name, Lookups: slices.Repeat([]Lookup{lookup}, 3), Records: slices.Repeat([]string{strings.Repeat("f", keptLine)}, keptTLSA),
		}}
		for k := range 2 {
			s := loud
			s.Address = fmt.Sprintf("2a00:1111:1111:1111:1111:1111:1111:%d", i*2+k)
			h.Sessions = append(h.Sessions, s)
			h.DANE.Sessions = append(h.DANE.Sessions, s)
		}
		o.Hosts = append(o.Hosts, h)
	}
	p, err := New(Options{Resolver: netip.MustParseAddrPort("127.0.0.1:53"), AllowLoopback: true, Vantage: "v"})
	must(t, err)
	r := p.result(Target{Domain: domain("a.example")}, o, Judge(domain("a.example"), o, policy.Policy{}, p.opts.Clock.Now(), 0))
	if n := len(r.Line); n < 512<<10 || n > maxLine*3/4 {
		t.Errorf("the line has %d bytes, the limit is %d", n, maxLine)
	}
	rejudge(t, r, policy.Policy{})
}

// TestTrimmedJudgesTheSame: what trimming cuts off is nothing that a verdict rests on.
func TestTrimmedJudgesTheSame(t *testing.T) {
	l := startLab(t)
	for i, b := range []lab.Behaviour{lab.Good, lab.Starred, lab.Stripped, lab.Escapes, lab.EscapeName, lab.NoSAN, lab.ExtraChain,
		lab.NeedsSNI, lab.Greeting554, lab.StartTLS502, lab.Injection, lab.UnknownCA, lab.Expiring} {
		d := fmt.Sprintf("d%d.example", i)
		serve(b)(t, l, d)
		p := newProber(t, l, false, nil)
		o, err := p.observe(t.Context(), domain(d))
		must(t, err)
		now := p.opts.Clock.Now()
		whole := Judge(domain(d), o, policy.Policy{}, now, p.opts.ExpiryWarning)
		trimmed := Judge(domain(d), o.trimmed(), policy.Policy{}, now, p.opts.ExpiryWarning)
		if whole.Verdict != trimmed.Verdict || !slices.Equal(whole.Codes, trimmed.Codes) {
			t.Errorf("%s: %s %q, trimmed %s %q", b, whole.Verdict, whole.Codes, trimmed.Verdict, trimmed.Codes)
		}
	}
}
