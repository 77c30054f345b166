package discovery_test

import (
	"testing"

	"github.com/starttls-everywhere/policylist/policy/discovery"
)

// TestFindProof: the lookup's own failure is not the absence of a record, and its CNAMEs and security stay visible.
func TestFindProof(t *testing.T) {
	z := serveZone(t, lines(`_starttls-policy.a.example. CNAME a.p.example.;a.p.example. TXT "v=STP1\; remove\; exp=2026-02-01"`)...)
	z.change(func() { z.liar = true })
	c := client(t, z, func(o *discovery.Options) { o.TrustAD = true })
	p := discovery.FindProof(t.Context(), c, domainA(t), testTime)
	if p.Status != discovery.ProofOK || !p.Answer.Secure || len(p.Answer.Chain) != 1 || p.Record.String() != "v=STP1; remove; exp=2026-02-01" {
		t.Errorf("%+v", p)
	}
	z.change(func() { z.rcode["_starttls-policy.a.example."] = "SERVFAIL" })
	if p := discovery.FindProof(t.Context(), c, domainA(t), testTime); p.Status != discovery.ProofFailed || p.Kind != "" || p.Detail == "" {
		t.Errorf("%+v", p)
	}
}
