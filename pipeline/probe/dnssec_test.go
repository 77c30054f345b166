package probe

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/starttls-everywhere/policylist/pipeline/lab"
	"github.com/starttls-everywhere/policylist/policy"
	"github.com/starttls-everywhere/policylist/policy/discovery/dnssectest"
)

// signedCase is a mail domain in a zone of its own: what is wrong with the zone, which record its host mx has, and what a
// probe says that asks a validating resolver.
type signedCase struct {
	name      string
	zone      dnssectest.Zone // Name and Records are added
	behaviour lab.Behaviour
	tlsa      string // "3 1 1": about the host's certificate; with a digest behind it, that digest
	verdict   Verdict
	codes     []string
	dane      string // Host.DANE.Kind, "" for none
}

func signedCases() []signedCase {
	const stale = "3 1 1 0707070707070707070707070707070707070707070707070707070707070707"
	forged := func(set string) dnssectest.Zone {
		return dnssectest.Zone{Faults: map[string]dnssectest.Fault{set: dnssectest.Forged}}
	}
	return []signedCase{
		{name: "good", tlsa: "3 1 1", verdict: Pass, dane: "usable"},
		{name: "full", tlsa: "3 0 0", verdict: Pass, dane: "usable"},
		{name: "nsec3", zone: dnssectest.Zone{Denial: dnssectest.NSEC3}, verdict: Pass, dane: "none"},
		{name: "optout", zone: dnssectest.Zone{Denial: dnssectest.OptOut}, verdict: Pass, dane: "none"}, // case 27
		{name: "renewed", tlsa: stale, verdict: Fail, codes: []string{"cross.pkix-only", "dane.mismatch"}, dane: "usable"},
		{name: "own", behaviour: lab.SelfSigned, tlsa: "3 1 1", verdict: Fail, codes: []string{"cert.self-signed", "cross.dane-only"}, dane: "usable"},
		{name: "pkix", tlsa: strings.Replace(stale, "3 1 1", "1 1 1", 1), verdict: Warn, codes: []string{"dane.unusable"}, dane: "unusable"},
		{name: "bogus", zone: forged("_PORT._tcp.mx TLSA"), tlsa: "3 1 1", verdict: Inconclusive, codes: []string{"dane.bogus"}, dane: "failed"},
		{name: "expired", zone: dnssectest.Zone{Faults: map[string]dnssectest.Fault{"_PORT._tcp.mx TLSA": dnssectest.Expired}}, tlsa: "3 1 1",
			verdict: Inconclusive, codes: []string{"dane.bogus"}, dane: "failed"},
		{name: "bogusmx", zone: forged("@ MX"), tlsa: "3 1 1", verdict: Inconclusive, codes: []string{"dns.bogus"}},
		{name: "bogusa", zone: forged("mx A"), tlsa: "3 1 1", verdict: Inconclusive, codes: []string{"dns.bogus"}, dane: "usable"}, // the other family is securely absent,
		{name: "plain", zone: dnssectest.Zone{Signing: dnssectest.Unsigned}, tlsa: stale, verdict: Pass},
		{name: "island", zone: dnssectest.Zone{Signing: dnssectest.Island}, tlsa: stale, verdict: Pass},
	}
}

// TestSignedZones probes the lab's mail servers through zones that a real nsd serves and a real unbound validates.
func TestSignedZones(t *testing.T) {
	l := startLab(t)
	zones := []dnssectest.Zone{{Name: "example."}}
	port := fmt.Sprint(l.SMTPPort())
	for _, c := range signedCases() {
		host := "mx." + c.name + ".example"
		must(t, l.AddHost(lab.Host{Name: host, Behaviour: c.behaviour}))
		addrs, err := l.Addresses(host)
		must(t, err)
		z := c.zone
		z.Name, z.Records = c.name+".example.", []string{"@ MX 10 mx", fmt.Sprintf("mx A %s", addrs[0].Addr())}
		switch fields := strings.Fields(c.tlsa); len(fields) {
		case 3:
			z.Records = append(z.Records, about(0, c.tlsa)(t, l, host)[0])
		case 4:
			z.Records = append(z.Records, fmt.Sprintf("_%s._tcp.mx TLSA %s", port, c.tlsa))
		}
		faults := make(map[string]dnssectest.Fault)
		for set, f := range z.Faults {
			faults[strings.Replace(set, "PORT", port, 1)] = f
		}
		z.Faults = faults
		zones = append(zones, z)
	}
	s := dnssectest.Serve(t, zones...)
	for _, c := range signedCases() {
		t.Run(c.name, func(t *testing.T) {
			p := newProber(t, l, false, func(o *Options) { o.Resolver, o.TrustAD, o.DNSPort = s.Resolver, true, -1 })
			r := probeOne(t, p, Target{Domain: domain(c.name + ".example")})
			if r.Verdict != c.verdict || !slices.Equal(r.Codes, c.codes) {
				t.Errorf("verdict %s %q, want %s %q\n%s", r.Verdict, r.Codes, c.verdict, c.codes, r.Line)
			}
			var rec Record
			must(t, readCanonical(r.Line, &rec))
			kind := ""
			if len(rec.Observed.Hosts) > 0 && rec.Observed.Hosts[0].DANE != nil {
				kind = rec.Observed.Hosts[0].DANE.Kind
			}
			if kind != c.dane {
				t.Errorf("DANE is %q, want %q\n%s", kind, c.dane, r.Line)
			}
			rejudge(t, r, policy.Policy{})
		})
	}
}
