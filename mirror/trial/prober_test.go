package trial

import (
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/starttls-everywhere/policylist/pipeline/lab"
	"github.com/starttls-everywhere/policylist/policy"
	"github.com/starttls-everywhere/policylist/policy/discovery"
)

// bench is a prober of a lab, with a clock and a list of its own.
type bench struct {
	*Prober
	t      *testing.T
	lab    *lab.Lab
	now    time.Time
	listed map[policy.Domain]policy.Policy
}

func newBench(t *testing.T) *bench {
	t.Helper()
	b := &bench{t: t, lab: startLab(t), now: time.Now(), listed: map[policy.Domain]policy.Policy{}}
	dns, err := discovery.NewClient(discovery.Options{Resolver: b.lab.Resolver(), Timeout: 500 * time.Millisecond, Attempts: 1})
	must(t, err)
	b.Prober = b.prober(dns)
	return b
}

func (b *bench) prober(dns *discovery.Client) *Prober {
	return &Prober{
		DNS: dns, Allow: netip.Addr.IsLoopback, Roots: b.lab.Roots(), EHLO: "mail.us.example", Port: b.lab.SMTPPort(),
		Now: func() time.Time { return b.now },
		Listed: func(d policy.Domain) (policy.Policy, bool) {
			p, ok := b.listed[d]
			return p, ok
		},
	}
}

// list gives a domain a testing policy for pattern, MX hosts, and somebody who writes to it.
func (b *bench) list(name, pattern string, hosts ...string) {
	b.t.Helper()
	m, err := policy.ParseMXPattern(pattern)
	must(b.t, err)
	p, err := policy.NewPolicy(policy.Testing, []policy.MXPattern{m})
	must(b.t, err)
	b.listed[domain(b.t, name)] = p
	must(b.t, b.lab.AddDomain(lab.Domain{Name: name, MX: hosts}))
	b.Want(domain(b.t, name))
}

func (b *bench) host(name string, behaviour lab.Behaviour) {
	b.t.Helper()
	must(b.t, b.lab.AddHost(lab.Host{Name: name, Behaviour: behaviour}))
}

// steps goes on until nobody's turn has come, and returns the number of sessions.
func (b *bench) steps() (n int) {
	b.t.Helper()
	for b.Step(b.t.Context()) {
		if n++; n > 100 {
			b.t.Fatal("it never ends")
		}
	}
	return n
}

func (b *bench) verdicts() map[string]string {
	out := map[string]string{}
	for _, v := range b.Visits() {
		out[v.Domain] = v.Verdict()
		for _, h := range v.Hosts {
			if h.Code != CodeGood {
				out[v.Domain] += " " + string(h.Code)
			}
		}
	}
	return out
}

func (b *bench) want(want map[string]string) {
	b.t.Helper()
	if got := b.verdicts(); fmt.Sprint(got) != fmt.Sprint(want) {
		b.t.Errorf("got  %v\nwant %v", got, want)
	}
}

// sessions is how many connections the lab's hosts have had.
func (b *bench) sessions(hosts ...string) (n int) {
	b.t.Helper()
	for _, h := range hosts {
		s, err := b.lab.Stats(h)
		must(b.t, err)
		n += s.Sessions
	}
	return n
}

// TestProber: each host is asked once a day, however many domains have it; what the policy does not allow, or is asked by
// nobody, not at all. The next day it is found out anew.
func TestProber(t *testing.T) {
	b := newBench(t)
	b.host("mx.good.example", lab.Good)
	b.host("mx2.good.example", lab.Expired)
	b.host("mx.bad.example", lab.NoStartTLS)
	b.host("mx.other.example", lab.Good)
	b.list("good.example", "mx.good.example", "mx.good.example")
	b.list("shares.example", ".good.example", "mx.good.example", "mx2.good.example")
	b.list("bad.example", "mx.bad.example", "mx.bad.example")
	b.list("moved.example", "mx.old.example", "mx.other.example")
	b.list("nohost.example", "mx.nohost.example", "mx.nohost.example")
	b.listed[domain(t, "quiet.example")] = b.listed[domain(t, "good.example")] // nobody writes to it
	b.Want(domain(t, "unlisted.example"))
	want := map[string]string{
		"good.example": "good", "shares.example": "partial testing.certificate", "bad.example": "fail testing.clear",
		"moved.example": "fail testing.mx", "nohost.example": "unknown testing.unknown",
	}
	if n := b.steps(); n != 4 { // mx.good, mx2.good, mx.bad, mx.nohost, whose address is not there
		t.Errorf("%d sessions", n)
	}
	b.want(want)
	all := []string{"mx.good.example", "mx2.good.example", "mx.bad.example", "mx.other.example"}
	if n := b.sessions(all...); n != 3 {
		t.Errorf("the hosts had %d sessions", n)
	}
	b.now = b.now.Add(23 * time.Hour)
	asked := b.lab.Asked("bad.example", "MX")
	if n := b.steps(); n != 0 || b.lab.Asked("bad.example", "MX") != asked {
		t.Errorf("%d sessions within a day, %d lookups before, %d after", n, asked, b.lab.Asked("bad.example", "MX"))
	}
	must(t, b.lab.SetBehaviour("mx.bad.example", lab.Good))
	delete(b.listed, domain(t, "moved.example"))
	b.now = b.now.Add(2 * time.Hour)
	if n := b.steps(); n != 4 {
		t.Errorf("%d sessions on the next day", n)
	}
	want["bad.example"] = "good"
	delete(want, "moved.example")
	b.want(want)

	// After a restart nobody is asked twice in a day.
	path := filepath.Join(t.TempDir(), "probes.json")
	must(t, b.Save(path))
	again := b.prober(b.DNS)
	must(t, again.Restore(path))
	if again.Step(t.Context()) || len(again.Visits()) != len(b.Visits()) {
		t.Errorf("after a restart: %+v", again.Visits())
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm()&0o007 != 0 {
		t.Errorf("everybody can read whom we write to: %v, %v", info.Mode(), err)
	}
	// A month after the last mail a domain is forgotten.
	b.now = b.now.Add(31 * 24 * time.Hour)
	if b.steps(); len(b.Visits()) != 0 {
		t.Errorf("%+v", b.Visits())
	}
}

// TestProberIsSlow: one step holds one session at most, so that its pace bounds what any host sees.
func TestProberIsSlow(t *testing.T) {
	b := newBench(t)
	hosts := []string{"mx1.a.example", "mx2.a.example", "mx3.a.example"}
	for _, h := range hosts {
		b.host(h, lab.Good)
	}
	b.list("a.example", ".a.example", hosts...)
	for i := range hosts {
		if !b.Step(t.Context()) || b.sessions(hosts...) != i+1 {
			t.Errorf("after %d steps %d sessions", i+1, b.sessions(hosts...))
		}
	}
	if b.Step(t.Context()) || Pace < 30*time.Second {
		t.Error("it goes on, or too fast")
	}
}

// TestProberAsksNoStrangers: an MX record can name any address, such as one inside; only allowed ones are called.
func TestProberAsksNoStrangers(t *testing.T) {
	b := newBench(t)
	b.Allow = discovery.Public
	b.host("mx.inside.example", lab.Good)
	b.list("inside.example", "mx.inside.example", "mx.inside.example")
	b.steps()
	b.want(map[string]string{"inside.example": "unknown testing.unknown"})
	if n := b.sessions("mx.inside.example"); n != 0 {
		t.Errorf("%d sessions with an address inside", n)
	}
	must(t, b.lab.SetFault("failing.example", "MX", "servfail"))
	b.list("failing.example", "mx.inside.example")
	b.steps()
	if v := b.verdicts(); v["failing.example"] != "unknown" {
		t.Errorf("%v", v)
	}
}

// TestProberIsBounded: a mail server that writes to any number of domains fills no memory.
func TestProberIsBounded(t *testing.T) {
	b := newBench(t)
	for i := range maxDomains + 100 {
		b.Want(domain(t, fmt.Sprintf("d%d.example", i)))
	}
	if n := len(b.Visits()); n != maxDomains {
		t.Errorf("%d domains", n)
	}
	damaged := filepath.Join(t.TempDir(), "x")
	must(t, os.WriteFile(damaged, []byte(`{"visits":[{"domain":"../x"},{"domain":"a.example","hosts":[{"host":"\u001b"}]}`), 0o644))
	if err := b.Restore(damaged); err == nil {
		t.Error("half a file was read")
	}
}

// Every code that is not good is explained, once.
func TestCodes(t *testing.T) {
	var ids []string
	for _, c := range Codes() {
		if ids = append(ids, c.ID); c.Summary == "" || c.Fix == "" || c.Severity == "" {
			t.Errorf("%+v", c)
		}
	}
	for _, c := range []Code{CodeMX, CodeClear, CodeHandshake, CodeCertificate, CodeUnknown} {
		if !slices.Contains(ids, string(c)) {
			t.Errorf("%s is not explained", c)
		}
	}
}
