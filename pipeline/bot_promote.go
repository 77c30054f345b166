package pipeline

import (
	"slices"
	"time"

	"github.com/starttls-everywhere/policylist/policy"
	"github.com/starttls-everywhere/policylist/policy/gate"
	"github.com/starttls-everywhere/policylist/policy/proof"
)

// promote turns testing to enforce where the change table lets the next release make it: the domain's MTA-STS policy or
// its owner's proof asks for that, and mail has arrived for long enough. It never promotes others' domains, nor an entry
// on which list and source do not agree.
func promote(k *Known, e policy.SourceEntry, d knownDomain) verdictOf {
	if e.Policy.Mode != policy.Testing || e.ManagedBy == policy.ManagedByCurated || d.published == nil || !d.published.Equal(e.Policy) {
		return verdictOf{}
	}
	enforce := policy.Policy{Mode: policy.Enforce, MXs: e.Policy.MXs}
	if !k.asksFor(e, d, enforce) {
		return verdictOf{}
	}
	out := k.decide(e, d, enforce)
	if out.Step != nil && out.Step.Change.New != nil && out.Step.Change.New.Equal(enforce) {
		return verdictOf{change: true, new: &enforce, reason: out.Step.Reason, why: "since " + out.Step.Since.UTC().Format(policy.TimeFormat)}
	}
	for _, w := range out.Waits {
		if w.Change.New != nil && w.Change.New.Equal(enforce) {
			return verdictOf{left: codesOf(w.Findings), why: notBefore(w.Until)}
		}
	}
	return verdictOf{}
}

// asksFor reports whether the owner asks for enforce at all: without that there is nothing to tell.
func (k *Known) asksFor(e policy.SourceEntry, d knownDomain, enforce policy.Policy) bool {
	if e.ManagedBy == policy.ManagedByMTASTS {
		s, disagree := k.served(d)
		return disagree || s != nil && s.Mode == "enforce"
	}
	l := k.fresh(d)
	return l != nil && provesFor(*l, enforce)
}

// provesFor reports whether somebody sees a proof for the entry.
func provesFor(l gate.Look, p policy.Policy) bool {
	return slices.ContainsFunc(l.Proofs, func(s gate.ProofSeen) bool {
		return s.Reading.Status == proof.OK && s.Reading.Kind == proof.Change && s.Reading.Change == proof.Digest(p)
	})
}

func codesOf(findings []policy.Finding) (codes []string) {
	for _, f := range findings {
		codes = append(codes, f.Code)
	}
	slices.Sort(codes)
	return slices.Compact(codes)
}

func notBefore(t time.Time) string {
	if t.IsZero() {
		return "nobody can tell when"
	}
	return "not before " + t.UTC().Format(policy.TimeFormat)
}
