package probe

import (
	"cmp"
	"slices"
	"time"

	"github.com/starttls-everywhere/policylist/policy"
	"github.com/starttls-everywhere/policylist/policy/discovery"
	"github.com/starttls-everywhere/policylist/policy/mtasts"
	"github.com/starttls-everywhere/policylist/policy/proof"
)

// Sight is what one vantage saw of a domain, the list's entry aside: it can be held against any entry, those of other days
// among them.
type Sight struct {
	Judgement                 // without the codes that compare with an entry
	Live      []policy.Domain // MX hosts at which somebody answers, sorted
	STS       *mtasts.Policy  // nil where KnowsSTS is false, and where the domain has none
	KnowsSTS  bool            // a valid policy was fetched, or the DNS says that there is none
	Proof     proof.Reading   // at _starttls-policy; Status is "" when the lookup failed
}

// Sight judges what the record holds anew, at the time at which it was made.
func (r Record) Sight() (Sight, error) {
	var s Sight
	domain, err := policy.ParseDomain(r.Domain)
	if err != nil {
		return s, err
	}
	at, err := policy.ParseTime(r.At)
	if err != nil {
		return s, err
	}
	s.Judgement = Judge(domain, r.Observed, policy.Policy{}, at, 0)
	s.Live = liveHosts(domain, r.Observed, at)
	s.takeSTS(r.Observed.STS)
	s.takeProof(r.Observed.Proof)
	return s, nil
}

// liveHosts are those that coverage is asked of.
func liveHosts(domain policy.Domain, o Observation, at time.Time) []policy.Domain {
	j := &judge{domain: domain, now: at, verdict: Pass}
	states := make([]hostState, len(o.Hosts))
	for i, h := range o.Hosts {
		states[i] = j.host(h)
	}
	var live []policy.Domain
	for _, n := range mxNames(o.Hosts, states) {
		if !n.dead {
			live = append(live, n.Domain)
		}
	}
	slices.SortFunc(live, func(a, b policy.Domain) int { return cmp.Compare(a.String(), b.String()) })
	return slices.Compact(live)
}

// takeSTS: only a valid policy, and the DNS's word that there is none, say anything (R38).
func (s *Sight) takeSTS(o *STS) {
	switch {
	case o == nil:
	case o.Status == string(discovery.STSNone):
		s.KnowsSTS = true
	case o.Status == string(discovery.STSOK) && o.Policy != nil:
		s.KnowsSTS = true
		s.STS = &mtasts.Policy{Mode: mtasts.Mode(o.Policy.Mode), MaxAge: time.Duration(o.Policy.MaxAge) * time.Second, MXs: o.Policy.patterns()}
	}
}

// takeProof: a day that cannot be written as a time, as the last of the year 9999, is too far ahead anyway.
func (s *Sight) takeProof(o *Proof) {
	if o == nil || o.Status == string(discovery.ProofFailed) {
		return
	}
	s.Proof = proof.Reading{Status: proof.Status(o.Status), Record: proof.Record{Kind: proof.Kind(o.Kind), Change: o.Change}}
	if at, err := policy.ParseTime(o.Expires); err == nil {
		s.Proof.Expires = at
	}
}
