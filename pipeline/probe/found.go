package probe

import (
	"encoding/hex"
	"strings"
	"time"

	"github.com/starttls-everywhere/policylist/policy"
	"github.com/starttls-everywhere/policylist/policy/discovery"
	"github.com/starttls-everywhere/policylist/policy/mtasts"
	"github.com/starttls-everywhere/policylist/policy/proof"
)

// found is what package discovery found, as far as evidence keeps it; texts are escaped.
func (l Lookup) found() discovery.Answer {
	return discovery.Answer{Name: l.Name, Type: l.Type, Status: discovery.Status(l.Status), Secure: l.Secure > 0, Bogus: l.Bogus > 0, Chain: l.CNAME}
}

func (l Lookup) foundText() discovery.Answer {
	a := l.found()
	a.TXT = l.Records
	return a
}

// FoundRoute is what FindMX had found.
func (o Observation) FoundRoute() discovery.Route {
	r := discovery.Route{Kind: discovery.RouteKind(o.Route)}
	if len(o.Lookups) > 0 {
		r.Answer = o.Lookups[0].found()
	}
	for _, h := range o.Hosts {
		host := discovery.Host{Preference: h.Preference, Name: h.Name, Flaw: discovery.Flaw(h.Flaw)}
		if h.Flaw == "" {
			var err error
			if host.Domain, err = policy.ParseDomain(h.Name); err != nil {
				host.Flaw = discovery.FlawSyntax
			}
		}
		r.Hosts = append(r.Hosts, host)
	}
	return r
}

// Found is what FindSTS had found, without the policy's text. A policy host that we leave alone counts as one that we may not
// contact. s may be nil.
func (s *STS) Found() discovery.STS {
	if s == nil {
		return discovery.STS{Status: discovery.STSRecordFailed}
	}
	out := discovery.STS{Record: s.Record.foundText(), ID: s.ID, Status: discovery.STSStatus(s.Status), Detail: s.Detail}
	switch s.Status {
	case STSOptedOut:
		out.Status, out.Detail = discovery.STSFetchForbidden, "the policy host asked not to be visited"
	case STSNoName:
		out.Status, out.Detail = discovery.STSFetchForbidden, "this machine has no name to introduce itself with"
	}
	for _, l := range s.Addresses {
		out.Addresses = append(out.Addresses, l.found())
	}
	if s.HTTP != nil {
		out.HTTPStatus, out.Media = int(s.HTTP.Status), mtasts.MediaType(s.HTTP.Media)
		out.Location, out.ContentType, out.SHA256 = s.HTTP.Location, s.HTTP.ContentType, s.HTTP.SHA256
	}
	if p := s.Policy; p != nil {
		out.Policy = mtasts.Policy{Mode: mtasts.Mode(p.Mode), MaxAge: time.Duration(p.MaxAge) * time.Second, MXs: p.patterns(),
			Deviations: p.Deviations, Unusable: p.Unusable}
	}
	return out
}

// Found is what FindTLSRPT had found. t may be nil.
func (t *TLSRPT) Found() discovery.TLSRPT {
	if t == nil {
		return discovery.TLSRPT{Status: discovery.TLSRPTFailed}
	}
	return discovery.TLSRPT{Answer: t.Record.foundText(), Status: discovery.TLSRPTStatus(t.Status), RUA: t.RUA, Faults: t.Faults}
}

// Found is what FindProof had found. p may be nil.
func (p *Proof) Found() discovery.Proof {
	var s Sight
	if s.takeProof(p); s.Proof.Status == "" {
		return discovery.Proof{Reading: proof.Reading{Status: discovery.ProofFailed}}
	}
	s.Proof.Detail = p.Detail
	return discovery.Proof{Reading: s.Proof, Answer: p.Record.foundText()}
}

// Found is what FindTLSA had found; records that hold whole certificates or keys are left out. d may be nil.
func (d *DANE) Found() discovery.DANE {
	if d == nil {
		return discovery.DANE{Kind: discovery.DANEInsecure}
	}
	out := discovery.DANE{Kind: discovery.DANEKind(d.Kind), Base: d.Base, Names: d.Names}
	for i, text := range d.Records {
		r, ok := parseTLSA(text, i)
		if !ok || strings.Contains(text, fullDigest) {
			continue
		}
		if data, err := hex.DecodeString(r.digest); err == nil {
			out.Records = append(out.Records, discovery.TLSARecord{Usage: r.usage, Selector: r.selector, Matching: r.matching, Data: data})
		}
	}
	return out
}
