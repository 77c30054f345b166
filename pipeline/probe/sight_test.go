package probe

import (
	"testing"

	"github.com/starttls-everywhere/policylist/policy/mtasts"
	"github.com/starttls-everywhere/policylist/policy/proof"
)

// seen is a record of a domain with two MX hosts, one of which nobody answers at.
func seen(change func(*Observation)) Record {
	up := Session{Address: "192.0.2.1", Stage: StageDone, Offer: "starttls", Greeting: &Reply{Code: 220}, EHLO: &Reply{Code: 250}, STARTTLS: &Reply{Code: 220},
		TLS: &TLS{Match: "yes", Trust: TrustOK, Version: "TLS 1.3", NotBefore: "2026-01-01T00:00:00Z", NotAfter: "2026-04-01T00:00:00Z"}}
	down := Session{Address: "192.0.2.2", Stage: StageConnect, Failure: FailUnreachable}
	found := []Lookup{{Name: "x", Status: "ok", Type: "A", Records: []string{"192.0.2.1"}}}
	o := Observation{Route: "mx", Lookups: []Lookup{{Name: "a.example", Status: "ok", Type: "MX"}}, Hosts: []Host{
		{Name: "mx.a.example", Preference: 1, Lookups: found, Sessions: []Session{up}},
		{Name: "dead.a.example", Preference: 2, Lookups: found, Sessions: []Session{down}},
	}}
	change(&o)
	return Record{At: "2026-03-01T12:00:00Z", Domain: "a.example", Observed: o, Policy: &listPolicy{Mode: "enforce", MXs: []string{"other.example"}}}
}

// TestSight: live hosts without the dead, the verdict without the list's entry, and what says nothing about MTA-STS and
// proofs apart from what says that there is none.
func TestSight(t *testing.T) {
	look := func(change func(*Observation)) Sight {
		t.Helper()
		s, err := seen(change).Sight()
		must(t, err)
		return s
	}
	s := look(func(*Observation) {})
	if s.Verdict != Warn || len(s.Live) != 1 || s.Live[0].String() != "mx.a.example" || s.KnowsSTS || s.Proof.Status != "" {
		t.Errorf("%+v", s)
	}
	if s := look(func(o *Observation) { o.Hosts[0].Sessions[0].TLS.NotAfter = "2026-02-01T00:00:00Z" }); s.Verdict != Fail || len(s.Live) != 1 {
		t.Errorf("expired by the time of the record: %+v", s)
	}
	for status, want := range map[string][2]bool{ // known, with a policy
		"none": {true, false}, "ok": {true, true}, "record-failed": {}, "fetch-certificate": {}, "policy-invalid": {}, "record-many": {},
	} {
		s := look(func(o *Observation) {
			o.STS = &STS{Status: status, Policy: &STSPolicy{Mode: "enforce", MaxAge: 86400, MXs: []string{"mx.a.example"}}}
		})
		if s.KnowsSTS != want[0] || (s.STS != nil) != want[1] || want[1] && (s.STS.Track() != mtasts.TrackProof || len(s.STS.MXs) != 1) {
			t.Errorf("%s: %+v", status, s)
		}
	}
	for _, c := range []struct {
		proof  Proof
		status proof.Status
		kind   proof.Kind
	}{
		{Proof{Status: "ok", Kind: "remove", Expires: "2026-03-20T00:00:00Z"}, proof.OK, proof.Remove},
		{Proof{Status: "none"}, proof.None, ""},
		{Proof{Status: "failed"}, "", ""},
		{Proof{Status: "too-far", Kind: "remove", Expires: "10000-01-01T00:00:00Z"}, proof.TooFar, proof.Remove}, // exp=9999-12-31
	} {
		s := look(func(o *Observation) { o.Proof = &c.proof })
		if s.Proof.Status != c.status || s.Proof.Kind != c.kind || s.Proof.Expires.IsZero() != (c.status != proof.OK) {
			t.Errorf("%+v: %+v", c.proof, s.Proof)
		}
	}
	if _, err := (Record{Domain: "a.example", At: "yesterday"}).Sight(); err == nil {
		t.Error("a record of no time")
	}
}
