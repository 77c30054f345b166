package discovery_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/starttls-everywhere/policylist/policy"
	"github.com/starttls-everywhere/policylist/policy/discovery"
	"github.com/starttls-everywhere/policylist/policy/discovery/dnssectest"
)

// signedMail are zones with a mail domain for each thing that DNSSEC can do to DANE; "m" is each domain's host.
func signedMail() []dnssectest.Zone {
	mail := func(more ...string) []string { return append([]string{"@ MX 10 m"}, more...) }
	const a, tlsa = "m A 192.0.2.1", "_25._tcp.m TLSA 3 1 1 "
	good := mail(a, tlsa+digest)
	return []dnssectest.Zone{
		{Name: "example."},
		{Name: "good.example.", Records: good},
		{Name: "nsec3.example.", Records: good, Denial: dnssectest.NSEC3},
		{Name: "none.example.", Records: mail(a)},
		{Name: "none3.example.", Records: mail(a), Denial: dnssectest.NSEC3},
		{Name: "optout.example.", Records: mail(a), Denial: dnssectest.OptOut},
		{Name: "plain.example.", Records: good, Signing: dnssectest.Unsigned},
		{Name: "island.example.", Records: good, Signing: dnssectest.Island},
		{Name: "stranger.example.", Records: good, Signing: dnssectest.Stranger},
		{Name: "expired.example.", Records: good, Faults: map[string]dnssectest.Fault{"_25._tcp.m": dnssectest.Expired}},
		{Name: "forged.example.", Records: good, Faults: map[string]dnssectest.Fault{"_25._tcp.m": dnssectest.Forged}},
		{Name: "stripped.example.", Records: good, Faults: map[string]dnssectest.Fault{"_25._tcp.m": dnssectest.Stripped}},
		// The denial of TLSA at _25._tcp.m is proved by the record of the name before it in the zone, m.
		{Name: "denial.example.", Records: mail(a), Faults: map[string]dnssectest.Fault{"m NSEC": dnssectest.Forged}},
		// Only AAAA is denied by m's own record here; TLSA is there.
		{Name: "family.example.", Records: good, Faults: map[string]dnssectest.Fault{"m NSEC": dnssectest.Forged}},
		{Name: "foreign.example.", Records: []string{"@ MX 10 m.plain.example."}},
		{Name: "alias.example.", Records: mail("m CNAME m.good.example.")},
		{Name: "own.example.", Records: mail("m CNAME m.none.example.", tlsa+digest)},
		{Name: "away.example.", Records: mail("m CNAME m.plain.example.", tlsa+digest)},
		{Name: "nowhere.example.", Records: mail("m CNAME m.stranger.example.", tlsa+digest)},
		{Name: "hosted.example.", Records: mail(a, "_25._tcp.m CNAME _25._tcp.m.good.example.")},
		{Name: "outside.example.", Records: mail(a, "_25._tcp.m CNAME _25._tcp.m.plain.example.")},
		{Name: "down.example.", Down: true},
		{Name: "lost.example.", Records: mail(a, "_25._tcp.m CNAME _25._tcp.m.down.example.")},
		{Name: "wild.example.", Records: mail(a, "*._tcp.m TLSA 2 0 1 "+digest)},
		{Name: "pkix.example.", Records: mail(a, "_25._tcp.m TLSA 0 1 1 "+digest)},
		{Name: "same.example.", Records: []string{"to CNAME good.example."}, Signing: dnssectest.Unsigned},
	}
}

// TestSignedZones asks real name servers, through a resolver that validates.
func TestSignedZones(t *testing.T) {
	s := dnssectest.Serve(t, signedMail()...)
	for domain, want := range map[string]string{ // kind and base with a trusted resolver, and whether an answer was bogus
		"good.example":     "usable m.good.example",
		"nsec3.example":    "usable m.nsec3.example",
		"none.example":     "none ",
		"none3.example":    "none ",
		"optout.example":   "none ",
		"plain.example":    "insecure ",
		"island.example":   "insecure ",
		"expired.example":  "failed bogus",
		"forged.example":   "failed bogus",
		"stripped.example": "failed bogus",
		"denial.example":   "failed bogus",
		"lost.example":     "failed ",
		"family.example":   "usable m.family.example",
		"foreign.example":  "insecure ",
		"alias.example":    "usable m.good.example",
		"own.example":      "usable m.own.example",
		"away.example":     "usable m.away.example",
		"nowhere.example":  "failed ", // of an address: not asked for TLSA records
		"hosted.example":   "usable m.hosted.example",
		"outside.example":  "none ",
		"wild.example":     "usable m.wild.example",
		"pkix.example":     "unusable m.pkix.example",
		"to.same.example":  "insecure ",
	} {
		for _, trust := range []bool{true, false} {
			c, err := discovery.NewClient(discovery.Options{Resolver: s.Resolver, TrustAD: trust})
			if err != nil {
				t.Fatal(err)
			}
			d, err := policy.ParseDomain(domain)
			if err != nil {
				t.Fatal(err)
			}
			route := discovery.FindMX(t.Context(), c, d)
			if len(route.Hosts) != 1 {
				t.Errorf("%s: %+v", domain, route)
				continue
			}
			host := route.Hosts[0].Domain
			dane := discovery.FindTLSA(t.Context(), c, route.Answer, host, 25, c.LookupA(t.Context(), host.String()), c.LookupAAAA(t.Context(), host.String()))
			got := fmt.Sprintf("%s %s", dane.Kind, dane.Base)
			if n := len(dane.Answers); n > 0 && dane.Answers[n-1].Bogus {
				got += "bogus"
			}
			if trust && got != want || !trust && (dane.Kind != discovery.DANEInsecure || route.Answer.Secure) {
				t.Errorf("%s, trust %v: %q with %+v, want %q", domain, trust, got, dane.Answers, want)
			}
		}
	}
	c, err := discovery.NewClient(discovery.Options{Resolver: s.Resolver, TrustAD: true})
	if err != nil {
		t.Fatal(err)
	}
	if a := c.LookupMX(t.Context(), "stranger.example"); a.Status != discovery.ServFail || a.Secure || !a.Bogus {
		t.Errorf("a zone with a stranger's key: %+v", a)
	}
	if a := c.LookupTLSA(t.Context(), "_25._tcp.m.optout.example"); a.Status != discovery.NXDomain || a.Secure {
		t.Errorf("opt-out must deny insecurely here, or the case means nothing: %+v", a)
	}
	if a := c.LookupAAAA(t.Context(), "m.family.example"); a.Status != discovery.ServFail {
		t.Errorf("the other family must fail here, or the case means nothing: %+v", a)
	}
}

// TestSignedLarge: records beyond a datagram come over TCP through all servers, signatures included, and stay secure.
func TestSignedLarge(t *testing.T) {
	var records []string
	for i := range 60 {
		records = append(records, fmt.Sprintf("_25._tcp.m TLSA 3 1 2 %s%02x", strings.Repeat("cd", 63), i))
	}
	s := dnssectest.Serve(t, dnssectest.Zone{Name: "large.example.", Records: records})
	c, err := discovery.NewClient(discovery.Options{Resolver: s.Resolver, TrustAD: true})
	if err != nil {
		t.Fatal(err)
	}
	if a := c.LookupTLSA(t.Context(), "_25._tcp.m.large.example"); len(a.TLSA) != 60 || !a.Secure {
		t.Errorf("%s, %d records, secure %v", a.Status, len(a.TLSA), a.Secure)
	}
}
