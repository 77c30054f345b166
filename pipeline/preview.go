package pipeline

import (
	"cmp"
	"time"

	"github.com/starttls-everywhere/policylist/policy"
	"github.com/starttls-everywhere/policylist/policy/discovery"
	"github.com/starttls-everywhere/policylist/policy/gate"
	"github.com/starttls-everywhere/policylist/policy/proof"
)

// Sighted is what a domain says of itself in the DNS and over HTTPS, which can be asked from anywhere: unlike its mail
// servers, which most hosts cannot reach.
type Sighted struct {
	At    time.Time
	Route discovery.Route
	STS   discovery.STS
	Proof discovery.Proof
}

// Preview tells what the gate will say of a proposed change, if every vantage sees what was seen here and mail arrives. It
// knows neither the looks of other days nor the log, so its times are the earliest that the change table allows.
func Preview(c Checked, ch policy.SourceChange, s Sighted) gate.Outcome {
	settings := c.Source().Settings()
	vantages := max(1, len(settings.Vantages))
	in := gate.Input{
		Domain: ch.Domain, Managed: policy.ManagedByOwner, Published: ch.Old, Wanted: ch.New,
		Looks: []gate.Look{s.look(vantages)}, Now: s.At,
	}
	if e, listed := c.Source().Lookup(ch.Domain); listed {
		in.Managed, in.Override = cmp.Or(e.ManagedBy, policy.ManagedByOwner), e.Override
		reason := e.Override
		if in.Managed == policy.ManagedByCurated {
			reason = cmp.Or(e.Override, e.Note)
		}
		if reason != "" {
			in.Approval = &gate.Approval{Reason: reason}
		}
	}
	return gate.Decide(in, gate.Settings{Vantages: vantages, Quorum: max(1, settings.Quorum)})
}

// look is what all vantages would have seen.
func (s Sighted) look(vantages int) gate.Look {
	l := gate.Look{At: s.At, Voters: vantages, Good: vantages}
	for _, h := range s.Route.Hosts {
		if h.Flaw == "" {
			l.Live = append(l.Live, gate.LiveMX{Host: h.Domain, Vantages: vantages})
		}
	}
	if len(l.Live) == 0 { // no mail can arrive there, or nobody knows
		l.Good = 0
	}
	switch s.STS.Status {
	case discovery.STSNone:
		l.STS = []gate.STSSeen{{Vantages: vantages}}
	case discovery.STSOK:
		p := s.STS.Policy
		l.STS = []gate.STSSeen{{STS: gate.STS{Mode: p.Mode, MXs: p.MXs, Track: p.Track()}, Vantages: vantages}}
	}
	if s.Proof.Status != discovery.ProofFailed {
		r := proof.Reading{Status: s.Proof.Status, Record: s.Proof.Record}
		l.Proofs = []gate.ProofSeen{{Reading: r, Vantages: vantages}}
	}
	finishLook(&l)
	return l
}
