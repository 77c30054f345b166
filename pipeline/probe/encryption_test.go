package probe

import (
	"testing"

	"github.com/starttls-everywhere/policylist/policy"
)

// TestEncryption counts single sessions and pools; whole domains of the lab are counted in package survey.
func TestEncryption(t *testing.T) {
	with := func(change func(*Session)) Session {
		s := goodSession()
		change(&s)
		return s
	}
	expired := with(func(s *Session) {
		s.TLS = &TLS{Match: "yes", Trust: TrustOK, Version: "TLS 1.2", NotBefore: "2026-01-01T00:00:00Z", NotAfter: "2026-02-01T00:00:00Z"}
	})
	clear := Session{Stage: StageSTARTTLS, Greeting: &Reply{220, nil}, EHLO: &Reply{250, nil}}
	later := Session{Stage: StageSTARTTLS, Offer: "starttls", Greeting: &Reply{220, nil}, EHLO: &Reply{250, nil}, STARTTLS: &Reply{454, nil}}
	gone := Session{Stage: StageConnect, Failure: FailUnreachable}
	pool := func(main Session, kind string, others ...Session) Session {
		for _, s := range others {
			main.Samples = append(main.Samples, s.brief(kind))
		}
		return main
	}
	for name, c := range map[string]struct {
		o     Observation
		codes []string
		want  Encryption
	}{
		"good":                  {oneHost(goodSession()), nil, Encryption{Verified: 1, Oldest: "TLS 1.3"}},
		"old":                   {oneHost(with(func(s *Session) { s.TLS.Version = "TLS 1.0" })), nil, Encryption{Verified: 1, Oldest: "TLS 1.0"}},
		"the oldest of two":     {oneHost(goodSession(), expired), nil, Encryption{Verified: 1, Unverified: 1, Oldest: "TLS 1.2"}},
		"no certificate":        {oneHost(Session{Stage: StageTLS, Failure: FailCertificate}), nil, Encryption{Unverified: 1}},
		"clear":                 {oneHost(clear), nil, Encryption{Clear: 1}},
		"refused for now":       {oneHost(later), nil, Encryption{Unknown: 1}},
		"refused for days":      {oneHost(later), []string{"starttls.refused-long"}, Encryption{Clear: 1}},
		"nobody there":          {oneHost(gone), nil, Encryption{Silent: 1}},
		"private":               {oneHost(Session{Stage: StageConnect, Failure: FailForbidden}), nil, Encryption{}},
		"left alone":            {oneHost(Session{Stage: StageConnect, Failure: FailOptedOut}), nil, Encryption{Unknown: 1}},
		"another in the pool":   {oneHost(pool(goodSession(), sampleAgain, expired, clear)), nil, Encryption{Verified: 1, Unverified: 1, Clear: 1, Oldest: "TLS 1.2"}},
		"without SNI":           {oneHost(pool(goodSession(), sampleBare, expired)), nil, Encryption{Verified: 1, Oldest: "TLS 1.3"}},
		"turned away once":      {oneHost(pool(goodSession(), sampleAgain, later, gone)), nil, Encryption{Verified: 1, Oldest: "TLS 1.3"}},
		"opted out":             {Observation{OptedOut: 1}, nil, Encryption{Unknown: 1}},
		"MX not found out":      {Observation{Route: "unknown"}, nil, Encryption{Unknown: 1}},
		"no address":            {Observation{Route: "hosts", Hosts: []Host{{Name: "mx.a.example", Lookups: []Lookup{{Status: "nodata"}}}}}, nil, Encryption{}},
		"beyond our limits":     {Observation{Route: "hosts", Hosts: []Host{{Lookups: []Lookup{{Status: "noerror", Records: []string{"192.0.2.1"}}}}}}, nil, Encryption{Unknown: 1}},
		"address not found out": {Observation{Route: "hosts", Hosts: []Host{{Lookups: []Lookup{{Status: "servfail"}}}}}, nil, Encryption{Unknown: 1}},
		"wrong signatures":      {Observation{Route: "hosts", Hosts: []Host{{Lookups: []Lookup{{Status: "noerror", Bogus: 1}}}}}, nil, Encryption{Unknown: 1}},
	} {
		got, err := Record{At: judgedAt.Format(policy.TimeFormat), Codes: c.codes, Observed: c.o}.Encryption()
		if err != nil || got != c.want {
			t.Errorf("%s: %+v, want %+v (%v)", name, got, c.want, err)
		}
	}
	if _, err := (Record{At: "yesterday"}).Encryption(); err == nil {
		t.Error("a record of no time was judged")
	}
}
