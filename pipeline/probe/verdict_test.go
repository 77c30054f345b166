package probe

import (
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/starttls-everywhere/policylist/policy"
)

var judgedAt = time.Date(2026, 6, 1, 12, 0, 0, 0, time.UTC)

// goodSession is what a server in order shows.
func goodSession() Session {
	return Session{
		Address: "192.0.2.1", Stage: StageDone, Offer: "starttls",
		Greeting: &Reply{220, []string{"mx.a.example"}}, EHLO: &Reply{250, []string{"mx.a.example", "STARTTLS"}},
		STARTTLS: &Reply{220, []string{"go on"}},
		TLS: &TLS{
			Match: "yes", Trust: TrustOK, Version: "TLS 1.3", Key: "ecdsa-256", Chain: []string{strings.Repeat("0a", 32)},
			NotBefore: "2026-05-01T00:00:00Z", NotAfter: "2026-07-30T00:00:00Z",
		},
	}
}

func oneHost(sessions ...Session) Observation {
	return Observation{
		Route: "hosts", Lookups: []Lookup{{Name: "a.example", Type: "MX", Status: "noerror", Records: []string{"10 mx.a.example."}}},
		Hosts: []Host{{Name: "mx.a.example", Sessions: sessions,
			Lookups: []Lookup{{Name: "mx.a.example", Type: "A", Status: "noerror", Records: []string{"192.0.2.1"}}}}},
	}
}

// TestValidity walks over the edges of certificates' lifetimes: ninety days warn fourteen days ahead, six days one.
func TestValidity(t *testing.T) {
	for _, c := range []struct {
		from, to string
		want     string
	}{
		{"2026-05-01T00:00:00Z", "2026-07-30T00:00:00Z", ""},
		{"2026-03-17T00:00:00Z", "2026-06-15T12:00:00Z", ""},
		{"2026-03-17T00:00:00Z", "2026-06-15T11:59:59Z", "cert.expiring"},
		{"2026-05-28T00:00:00Z", "2026-06-03T00:00:00Z", ""}, // six days, a third gone: as it should be
		{"2026-05-27T00:00:00Z", "2026-06-02T00:00:00Z", "cert.expiring"},
		{"2026-03-01T00:00:00Z", "2026-06-01T12:00:00Z", "cert.expiring"}, // valid to the last second (RFC 5280 section 4.1.2.5)
		{"2026-03-01T00:00:00Z", "2026-06-01T11:59:59Z", "cert.expired"},
		{"2026-06-01T12:00:00Z", "2026-09-01T00:00:00Z", ""},
		{"2026-06-01T12:00:01Z", "2026-09-01T00:00:00Z", "cert.not-yet-valid"},
		{"yesterday", "2026-09-01T00:00:00Z", "cert.malformed"},
	} {
		s := goodSession()
		s.TLS.NotBefore, s.TLS.NotAfter = c.from, c.to
		j := Judge(domain("a.example"), oneHost(s), policy.Policy{}, judgedAt, 14*24*time.Hour)
		var want []string
		if c.want != "" {
			want = []string{c.want}
		}
		if !slices.Equal(j.Codes, want) {
			t.Errorf("%s to %s: %q, want %q", c.from, c.to, j.Codes, want)
		}
	}
}

// TestVersions: 1.2 is the least, and what a server has beside it does not matter.
func TestVersions(t *testing.T) {
	for version, want := range map[string]Verdict{
		"TLS 1.3": Pass, "TLS 1.2": Pass, "TLS 1.1": Fail, "TLS 1.0": Fail, "SSLv3": Fail, "": Fail,
	} {
		s := goodSession()
		s.TLS.Version = version
		if j := Judge(domain("a.example"), oneHost(s), policy.Policy{}, judgedAt, 0); j.Verdict != want {
			t.Errorf("%q: %s %q", version, j.Verdict, j.Codes)
		}
	}
}

// randomSession is any session, sensible or not.
func randomSession(r *rand.Rand) Session {
	s := goodSession()
	pick := func(n int) bool { return r.IntN(n) == 0 }
	if pick(2) {
		return s
	}
	failures := []Failure{"", FailForbidden, FailNoRoute, FailUnreachable, FailTimeout, FailClosed, FailSyntax, FailNotTLS,
		FailVersion, FailHandshake, FailCertificate, "nonsense"}
	stages := []Stage{StageConnect, StageGreeting, StageEHLO, StageSTARTTLS, StageTLS, StageDone}
	codes := []uint16{220, 250, 354, 421, 451, 454, 500, 502, 550, 554}
	s.Failure = failures[r.IntN(len(failures))]
	s.Stage = stages[r.IntN(len(stages))]
	for _, into := range []**Reply{&s.Greeting, &s.EHLO, &s.STARTTLS} {
		if pick(2) {
			*into = &Reply{Code: codes[r.IntN(len(codes))]}
		} else if pick(4) {
			*into = nil
		}
	}
	if pick(2) {
		s.TLS = nil
	} else if pick(3) {
		s.TLS.Match = "no"
	}
	if pick(5) {
		s.Clear = "250 ok"
	}
	return s
}

// TestNoPassWithoutProof: over random observations a pass always rests on a server that went all the way, a fail on a
// code that says so, and the order in which hosts were seen changes nothing.
func TestNoPassWithoutProof(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	statuses := []string{"noerror", "noerror", "nodata", "nxdomain", "servfail", "refused", "timeout", "malformed"}
	verdicts := make(map[Verdict]int)
	for range 5_000 {
		o := oneHost()
		o.Hosts = nil
		good := false
		for range r.IntN(4) {
			h := Host{Name: "mx.a.example", Lookups: []Lookup{{Type: "A", Status: statuses[r.IntN(len(statuses))]}}}
			for range r.IntN(3) {
				s := randomSession(r)
				good = good || s.Failure == "" && s.TLS != nil && s.TLS.Match == "yes" && s.Clear == ""
				h.Sessions = append(h.Sessions, s)
			}
			o.Hosts = append(o.Hosts, h)
		}
		j := Judge(domain("a.example"), o, policy.Policy{}, judgedAt, 0)
		verdicts[j.Verdict]++
		if (j.Verdict == Pass || j.Verdict == Warn) && !good {
			t.Fatalf("%s without a good server: %+v", j.Verdict, o)
		}
		harmless := !slices.ContainsFunc(j.Codes, func(id string) bool { return effectOf(id).verdict != Pass })
		if (j.Verdict == Pass) != harmless {
			t.Fatalf("%s with codes %q", j.Verdict, j.Codes)
		}
		failing := slices.ContainsFunc(j.Codes, func(id string) bool { return effectOf(id).verdict == Fail })
		if failing != (j.Verdict == Fail) {
			t.Fatalf("%s with codes %q", j.Verdict, j.Codes)
		}
		slices.Reverse(o.Hosts)
		if again := Judge(domain("a.example"), o, policy.Policy{}, judgedAt, 0); again.Verdict != j.Verdict || !slices.Equal(again.Codes, j.Codes) {
			t.Fatalf("in another order %s %q, not %s %q", again.Verdict, again.Codes, j.Verdict, j.Codes)
		}
	}
	for _, v := range []Verdict{Pass, Warn, Fail, Inconclusive} {
		if verdicts[v] == 0 {
			t.Errorf("no random observation was %s: the test proves nothing about it", v)
		}
	}
}

// TestSharedCodes: what two tables explain must be one thing.
func TestSharedCodes(t *testing.T) {
	seen := make(map[string]bool)
	for _, c := range slices.Concat(policy.Codes(), Codes()) {
		if seen[c.ID] {
			t.Errorf("%s is explained twice", c.ID)
		}
		seen[c.ID] = true
	}
	for _, id := range []string{"mx.null", "mx.foreign-unused"} {
		if _, ok := policy.LookupCode(id); !ok {
			t.Errorf("%s has left the offline rules", id)
		}
	}
}
