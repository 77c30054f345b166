package dnssectest_test

import (
	"testing"

	"github.com/starttls-everywhere/policylist/policy/discovery"
	"github.com/starttls-everywhere/policylist/policy/discovery/dnssectest"
)

// TestServe: the servers tell secure, insecure and bogus apart, whatever makes them so, and however denial is proved.
func TestServe(t *testing.T) {
	records := []string{"mx A 192.0.2.1", "x TXT hello", "deep.er.tree A 192.0.2.2", "*.wild A 192.0.2.3"}
	faults := map[string]dnssectest.Fault{
		"expired": dnssectest.Expired, "early": dnssectest.Early, "forged": dnssectest.Forged, "stripped": dnssectest.Stripped,
		"denial NSEC": dnssectest.Forged,
	}
	broken := records
	for _, name := range []string{"expired", "early", "forged", "stripped", "denial"} {
		broken = append(broken, name+" A 192.0.2.4")
	}
	s := dnssectest.Serve(t,
		dnssectest.Zone{Name: "example."},
		dnssectest.Zone{Name: "nsec.example.", Records: broken, Faults: faults},
		dnssectest.Zone{Name: "nsec3.example.", Records: records, Denial: dnssectest.NSEC3},
		dnssectest.Zone{Name: "optout.example.", Records: records, Denial: dnssectest.OptOut},
		dnssectest.Zone{Name: "below.optout.example.", Records: records, Signing: dnssectest.Unsigned},
		dnssectest.Zone{Name: "signed.nsec3.example.", Records: records, Denial: dnssectest.NSEC3},
		dnssectest.Zone{Name: "plain.example.", Records: records, Signing: dnssectest.Unsigned},
		dnssectest.Zone{Name: "island.example.", Records: records, Signing: dnssectest.Island},
		dnssectest.Zone{Name: "stranger.example.", Records: records, Signing: dnssectest.Stranger},
		dnssectest.Zone{Name: "bad3.example.", Denial: dnssectest.NSEC3, Faults: map[string]dnssectest.Fault{"* NSEC3": dnssectest.Expired}},
		dnssectest.Zone{Name: "down.example.", Records: records, Down: true},
		dnssectest.Zone{Name: "test.", Records: records},
	)
	client, err := discovery.NewClient(discovery.Options{Resolver: s.Resolver, TrustAD: true})
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name   string
		status discovery.Status
		secure bool
	}{
		{"mx.nsec.example", discovery.NoError, true},
		{"x.nsec.example", discovery.NoData, true},
		{"gone.nsec.example", discovery.NXDomain, true},
		{"er.tree.nsec.example", discovery.NoData, true},
		{"any.wild.nsec.example", discovery.NoError, true},
		{"expired.nsec.example", discovery.ServFail, false},
		{"early.nsec.example", discovery.ServFail, false},
		{"forged.nsec.example", discovery.ServFail, false},
		{"stripped.nsec.example", discovery.ServFail, false},
		{"denial.nsec.example", discovery.NoError, true},
		{"mx.nsec3.example", discovery.NoError, true},
		{"x.nsec3.example", discovery.NoData, true},
		{"gone.nsec3.example", discovery.NXDomain, true},
		{"er.tree.nsec3.example", discovery.NoData, true},
		{"any.wild.nsec3.example", discovery.NoError, true},
		{"mx.optout.example", discovery.NoError, true},
		{"gone.optout.example", discovery.NXDomain, false}, // opt-out: insecure denial
		{"mx.below.optout.example", discovery.NoError, false},
		{"gone.below.optout.example", discovery.NXDomain, false},
		{"mx.signed.nsec3.example", discovery.NoError, true},
		{"mx.plain.example", discovery.NoError, false},
		{"gone.plain.example", discovery.NXDomain, false},
		{"mx.island.example", discovery.NoError, false},
		{"mx.stranger.example", discovery.ServFail, false},
		{"gone.bad3.example", discovery.ServFail, false},
		{"mx.down.example", discovery.ServFail, false},
		{"mx.test", discovery.NoError, true},
		{"gone.test", discovery.NXDomain, true},
	} {
		a := client.LookupA(t.Context(), c.name)
		if bogus := c.status == discovery.ServFail && c.name != "mx.down.example"; a.Status != c.status || a.Secure != c.secure || a.Bogus != bogus {
			t.Errorf("%s: %s, secure %v, bogus %v; want %s, %v, %v", c.name, a.Status, a.Secure, a.Bogus, c.status, c.secure, bogus)
		}
	}
	if a := client.LookupAAAA(t.Context(), "denial.nsec.example"); a.Status != discovery.ServFail {
		t.Errorf("a forged denial: %s", a.Status)
	}
}
