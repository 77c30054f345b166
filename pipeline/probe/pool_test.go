package probe

import (
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/starttls-everywhere/policylist/pipeline/lab"
	"github.com/starttls-everywhere/policylist/policy"
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

// TestSamplesNeverImprove: over random sessions, what is seen beside the first never makes a verdict better, and a machine
// that would fail by itself keeps the domain from passing.
func TestSamplesNeverImprove(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	judged := func(s Session) Judgement { return Judge(domain("a.example"), oneHost(s), policy.Policy{}, judgedAt, 0) }
	odd, asked := 0, 0
	for range 3_000 {
		s := randomSession(r)
		before := judged(s)
		bad := false
		for range r.IntN(maxSamples + 1) {
			other := randomSession(r)
			kind := []string{sampleAgain, sampleBare}[r.IntN(2)]
			s.Samples = append(s.Samples, other.brief(kind))
			alone := &judge{now: judgedAt}
			bad = bad || kind == sampleAgain && alone.session(Host{}, other) == hostBad
		}
		after := judged(s)
		if Worse(before.Verdict, after.Verdict) != after.Verdict {
			t.Fatalf("%s %q became %s %q by %+v", before.Verdict, before.Codes, after.Verdict, after.Codes, s)
		}
		if bad && (after.Verdict == Pass || after.Verdict == Warn) {
			t.Fatalf("%s with a sample that fails: %+v", after.Verdict, s)
		}
		if slices.Contains(after.Codes, "pool.inconsistent") {
			odd++
			if after.Verdict != Fail {
				t.Fatalf("%s %q", after.Verdict, after.Codes)
			}
		}
		if slices.Contains(after.Codes, "tls.sni-required") {
			asked++
		}
	}
	if odd == 0 || asked == 0 {
		t.Errorf("%d pools, %d that need SNI: the test proves nothing", odd, asked)
	}
}
