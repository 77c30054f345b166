package cells

import (
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/starttls-everywhere/policylist/policy"
	"github.com/starttls-everywhere/policylist/policy/tlsrpt"
)

func entry(t *testing.T, domain string, mxs ...string) policy.Entry {
	t.Helper()
	var patterns []policy.MXPattern
	for _, m := range mxs {
		p, err := policy.ParseMXPattern(m)
		if err != nil {
			t.Fatal(err)
		}
		patterns = append(patterns, p)
	}
	p, err := policy.NewPolicy(policy.Testing, patterns)
	if err != nil {
		t.Fatal(err)
	}
	return policy.Entry{Domain: domainOf(domain), Policy: p}
}

func TestProvider(t *testing.T) {
	for _, c := range []struct{ domain, mx, want string }{
		{"a.example", "mx.a.example", "a.example"},
		{"b.a.example", "mx.a.example", "b.a.example"},
		{"a.example", ".in.provider.example", "provider.example"},
		{"a.example", "mx1.provider.example", "provider.example"},
	} {
		e := entry(t, c.domain, c.mx)
		if got, ok := ListOf([]policy.Entry{e})(e.Domain); got != c.want || !ok {
			t.Errorf("%s at %s: %s", c.domain, c.mx, got)
		}
	}
	if _, ok := ListOf(nil)(domainOf("a.example")); ok {
		t.Error("an empty list lists")
	}
}

// TestIncidents: many domains of one provider are one incident, and what is rare is none.
func TestIncidents(t *testing.T) {
	week := november.Weeks()[0]
	var seen []Observation
	var all []string
	for _, d := range []string{"a", "b", "c", "d"} {
		name := d + ".example"
		seen = append(seen, see(Senders, "stu", name, "2026-11-02", 100, failing(tlsrpt.ClassCertificate, 40))...)
		all = append(all, name)
	}
	own := see(Senders, "stu", "own.example", "2026-11-02", 100, failing(tlsrpt.ClassNoSTARTTLS, 5))
	rare := see(Senders, "stu", "rare.example", "2026-11-02", 1000, failing(tlsrpt.ClassNoSTARTTLS, 5))
	dane := see(Senders, "stu", "dane.example", "2026-11-02", 100, failing(tlsrpt.ClassDANE, 9))
	seen = slices.Concat(seen, own, rare, dane)
	table := Make(week, slices.Values(seen), byItself(all...), chosenNames(append(all, "own.example", "rare.example", "dane.example")...))
	got := table.Incidents(byItself(all...))
	want := []Incident{
		{Name: "own.example", Class: tlsrpt.ClassNoSTARTTLS, Share: Some},
		{Name: "provider.example", Provider: true, Class: tlsrpt.ClassCertificate, Share: Many, Domains: 4},
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("%+v", got)
	}
	if got := table.Incidents(byItself("c.example", "d.example")); len(got) != 5 {
		t.Errorf("domains of different providers: %+v", got)
	}
	if s := table.Against(domainOf("a.example"), "provider.example"); !strings.Contains(s, "to the domain many failed for certificate") {
		t.Errorf("%q", s)
	}
	for _, quiet := range []string{"rare.example", "dane.example", "nobody.example"} {
		if s := table.Against(domainOf(quiet), quiet); s != "" {
			t.Errorf("against %s: %q", quiet, s)
		}
	}
	rolled := Make(week, slices.Values(seen), byItself(all...), chosenNames())
	if s := rolled.Against(domainOf("a.example"), "provider.example"); !strings.Contains(s, "to provider.example many failed") {
		t.Errorf("%q", s)
	}
	some := see(Senders, "stu", "a.example", "2026-11-02", 100, failing(tlsrpt.ClassNoSTARTTLS, 5))
	if s := Make(week, slices.Values(some), byItself(all...), chosenNames()).Against(domainOf("a.example"), "provider.example"); s != "" {
		t.Errorf("against a domain for what few sessions to its provider say: %q", s)
	}
	if s := Make(week, slices.Values(some), byItself(all...), chosenNames("a.example")).Against(domainOf("a.example"), "provider.example"); s == "" {
		t.Error("nothing against a domain of which the same is said")
	}
	if got := rolled.Incidents(byItself(all...)); len(got) != 1 || !got[0].Provider {
		t.Errorf("%+v", got)
	}
}
