package probe

import (
	"strings"
	"testing"
	"time"

	"github.com/starttls-everywhere/policylist/pipeline/lab"
	"github.com/starttls-everywhere/policylist/policy"
)

// patience is the deadline of sessions that ought to end by themselves, on a loaded machine; haste that of sessions
// that ought to run into it.
const (
	patience = 30 * time.Second
	haste    = time.Second
)

func startLab(t testing.TB) *lab.Lab {
	t.Helper()
	l, err := lab.Start(t.Context(), lab.Options{})
	must(t, err)
	t.Cleanup(l.Close)
	return l
}

func newProber(t testing.TB, l *lab.Lab, hasty bool, change func(*Options)) *Prober {
	t.Helper()
	roots, err := ParseRoots(l.RootsPEM())
	must(t, err)
	o := Options{
		Resolver: l.Resolver(), Roots: roots, SMTPPort: l.SMTPPort(), HTTPSPort: l.HTTPSPort(), DNSPort: int(l.Resolver().Port()), Timeout: patience, DNSTimeout: patience,
		AllowLoopback: true, Vantage: "lab", Tool: "test",
	}
	if hasty {
		o.Timeout = haste
	}
	if change != nil {
		change(&o)
	}
	p, err := New(o)
	must(t, err)
	return p
}

func probeOne(t testing.TB, p *Prober, target Target) Result {
	t.Helper()
	results, err := p.Probe(t.Context(), []Target{target})
	must(t, err)
	return results[0]
}

// at puts the domain d into a record, pattern or name that says "@".
func at(s, d string) string {
	if strings.Contains(s, " ") {
		d += "."
		// "mx1.@" at the end of a record or before a space becomes "mx1.d."
	}
	return strings.ReplaceAll(s, "@", d)
}

func domain(s string) policy.Domain {
	d, err := policy.ParseDomain(s)
	if err != nil {
		panic(err)
	}
	return d
}

func enforce(t testing.TB, d string, mxs ...string) policy.Policy {
	t.Helper()
	var patterns []policy.MXPattern
	for _, mx := range mxs {
		p, err := policy.ParseMXPattern(at(mx, d))
		must(t, err)
		patterns = append(patterns, p)
	}
	pol, err := policy.NewPolicy(policy.Enforce, patterns)
	must(t, err)
	return pol
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
