package pipeline

import (
	"github.com/starttls-everywhere/policylist/policy"
	"github.com/starttls-everywhere/policylist/policy/gate"
)

// demote lets the source follow what the list has weakened or dropped by itself. With the log it clears up after the gate:
// an entry goes when its owner took it off, or when its domain is gone, and says testing when its owner asked for that;
// what was demoted for a failure stays as it was wanted for the thirty days in which the gate restores it. Without the
// log, by evidence alone, it makes itself what the change table demotes and removes.
func demote(k *Known, e policy.SourceEntry, d knownDomain) verdictOf {
	if d.logged {
		return k.followLog(e, d)
	}
	if k.fresh(d) == nil {
		return verdictOf{}
	}
	out := k.decide(e, d, e.Policy)
	if s := out.Step; s != nil && weakens(s.Change) {
		return verdictOf{change: true, new: s.Change.New, reason: s.Reason, why: "since " + s.Since.UTC().Format(policy.TimeFormat)}
	}
	for _, w := range out.Waits {
		if w.Automatic && weakens(w.Change) {
			return verdictOf{left: codesOf(w.Findings), why: notBefore(w.Until)}
		}
	}
	return verdictOf{}
}

func weakens(c policy.Change) bool { return c.Class.Has(policy.Removed | policy.Weakened) }

// followLog clears up after the gate.
func (k *Known) followLog(e policy.SourceEntry, d knownDomain) verdictOf {
	n := len(d.log)
	if n == 0 {
		return verdictOf{}
	}
	last := d.log[n-1]
	at := last.At.UTC().Format(policy.TimeFormat)
	if k.letGo(e, d) {
		return verdictOf{change: true, reason: last.Reason, why: "the list let it go at " + at}
	}
	if d.published == nil || d.published.Mode != policy.Testing || e.Policy.Mode != policy.Enforce || k.wants(e, d) || !k.softened(last) {
		return verdictOf{}
	}
	return verdictOf{change: true, new: &policy.Policy{Mode: policy.Testing, MXs: e.Policy.MXs}, reason: last.Reason, why: "the list says testing since " + at}
}

// softened reports whether the log's last word is a demotion that stays.
func (k *Known) softened(last gate.Logged) bool {
	since := k.now.Sub(last.At)
	switch last.Reason {
	case "demote.owner", "demote.emergency":
		return since <= ownDoing
	case "demote.auto":
		return since > restoreTime && since <= restoreTime+ownDoing
	}
	return false
}
