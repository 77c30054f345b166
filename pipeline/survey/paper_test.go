package survey_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/starttls-everywhere/policylist/pipeline/probe"
	"github.com/starttls-everywhere/policylist/policy"
)

// noon is when scans on paper begin.
var noon = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

// paper is the evidence of a scan that never was: of domains in order, each with a server that is like that.
type paper struct {
	vantage string
	trustAD uint
	after   time.Duration // noon
	said    []string      // "a.example mx.b.example good", "b.example mx.b.example clear cert.expired"
}

func (p paper) bytes(t testing.TB) []byte {
	t.Helper()
	roots := strings.Repeat("0123456789abcdef", 4)
	start := noon.Add(p.after)
	var out bytes.Buffer
	w, err := probe.NewEvidence(&out, probe.Header{EHLO: "probe.example", Format: "policylist/evidence/v1", Kind: "header", Roots: roots,
		RootsVersion: "1", Started: start.Format(policy.TimeFormat), Tool: "test", TrustAD: p.trustAD, Vantage: p.vantage})
	must(t, err)
	for i, s := range p.said {
		f := strings.Fields(s)
		at := start.Add(time.Duration(i+1) * time.Second).Format(policy.TimeFormat)
		line, err := json.Marshal(probe.Record{At: at, Codes: append([]string{}, f[3:]...), Domain: f[0], Kind: "domain", Observed: seenOn(f[0], f[1], f[2]),
			Roots: roots, Since: at, Tool: "test", Vantage: p.vantage, Verdict: verdictOn(f[2])})
		must(t, err)
		must(t, w.Add(probe.Result{Line: line}))
	}
	return out.Bytes()
}

func verdictOn(server string) probe.Verdict {
	switch server {
	case "clear":
		return probe.Fail
	case "open":
		return probe.Inconclusive
	}
	return probe.Pass
}

// seenOn is a domain with one MX host.
func seenOn(domain, mx, server string) probe.Observation {
	reply := func(code uint16) *probe.Reply { return &probe.Reply{Code: code, Lines: []string{}} }
	s := probe.Session{Address: "192.0.2.1", Stage: probe.StageSTARTTLS, Greeting: reply(220), EHLO: reply(250)}
	switch server {
	case "good":
		s.Stage, s.Offer, s.STARTTLS = probe.StageDone, "starttls", reply(220)
		s.TLS = &probe.TLS{Chain: []string{}, Match: "yes", Trust: probe.TrustOK, Version: "TLS 1.3", Key: "ecdsa-256",
			NotBefore: "2026-02-01T00:00:00Z", NotAfter: "2026-05-01T00:00:00Z"}
	case "open":
		s.Stage, s.Failure, s.EHLO = probe.StageGreeting, probe.FailTimeout, nil
	}
	lookup := probe.Lookup{Name: domain, Records: []string{fmt.Sprintf("10 %s.", mx)}, Status: "noerror", Type: "MX"}
	return probe.Observation{
		Route: "hosts", Lookups: []probe.Lookup{lookup}, Hosts: []probe.Host{{Name: mx, Preference: 10, Sessions: []probe.Session{s}}},
		STS:    &probe.STS{Record: probe.Lookup{Name: "_mta-sts." + domain, Status: "nxdomain", Type: "TXT"}, Status: "none"},
		TLSRPT: &probe.TLSRPT{Record: probe.Lookup{Name: "_smtp._tls." + domain, Status: "nxdomain", Type: "TXT"}, Status: "none"},
	}
}
