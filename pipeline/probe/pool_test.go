package probe

import (
	"slices"
	"testing"

	"github.com/starttls-everywhere/policylist/pipeline/lab"
)

// servePool publishes d with one MX host mx1.d at whose address several machines take turns.
func servePool(pool ...lab.Behaviour) func(*testing.T, *lab.Lab, string) {
	return func(t *testing.T, l *lab.Lab, d string) {
		must(t, l.AddHost(lab.Host{Name: "mx1." + d, Pool: pool}))
		must(t, l.AddDomain(lab.Domain{Name: d, MX: []string{"mx1." + d}}))
	}
}

// poolCases are addresses that more than one machine answers at, in turn.
func poolCases() []liveCase {
	odd := func(name, code string, pool ...lab.Behaviour) liveCase {
		codes := []string{code, "pool.inconsistent"}
		slices.Sort(codes)
		return liveCase{name: name, set: servePool(pool...), mxs: []string{"mx1.@"}, verdict: Fail, codes: codes}
	}
	return []liveCase{
		odd("second machine without STARTTLS", "starttls.missing", lab.Good, lab.NoStartTLS),
		odd("first machine without STARTTLS", "starttls.missing", lab.NoStartTLS, lab.Good),
		odd("second machine expired", "cert.expired", lab.Good, lab.Expired),
		odd("third machine expired, behind needed SNI", "cert.expired", lab.NeedsSNI, lab.NeedsSNI, lab.Expired),
		odd("second machine speaks TLS 1.1", "tls.version", lab.Good, lab.TLS11Only),
		{name: "machines wrong in two ways", set: servePool(lab.Expired, lab.SelfSigned), verdict: Fail,
			codes: []string{"cert.expired", "cert.self-signed", "pool.inconsistent"}},
		{name: "turned away once (case 37)", set: servePool(lab.Greeting421, lab.Good), verdict: Pass},
		{name: "reset once (case 37)", set: servePool(lab.Resetting, lab.Good), verdict: Pass},
		{name: "STARTTLS turned away once (case 39)", set: servePool(lab.StartTLS454, lab.Good), verdict: Pass},
		{name: "reset after two sessions (case 37)", set: servePool(lab.NeedsSNI, lab.NeedsSNI, lab.Resetting, lab.Resetting),
			verdict: Pass, codes: []string{"tls.sni-required"}},
		{name: "machines of one mind", set: servePool(lab.RSA, lab.Good, lab.TLS13Only), verdict: Pass},
		{name: "turned away at the second session", set: servePool(lab.Good, lab.Greeting421), verdict: Pass},
	}
}
