package pipeline

import (
	"fmt"
	"time"

	"github.com/starttls-everywhere/policylist/policy"
	"github.com/starttls-everywhere/policylist/policy/gate"
	"github.com/starttls-everywhere/policylist/policy/mtasts"
)

// syncSTS lets entries that follow MTA-STS follow the policy that their domain serves (rule R38). It writes at once what
// the change table then holds for its time, so that the change is announced for as long. A policy that is absent or could
// not be fetched is nobody's wish, and testing to enforce is the business of promote.
func syncSTS(k *Known, e policy.SourceEntry, d knownDomain) verdictOf {
	if e.ManagedBy != policy.ManagedByMTASTS {
		return verdictOf{}
	}
	served, disagree := k.served(d)
	switch {
	case disagree:
		return verdictOf{left: []string{"gate.disagree"}, why: "the vantages see different MTA-STS policies"}
	case served == nil || served.Mode == "":
		return verdictOf{}
	case served.Mode == mtasts.None:
		return k.servedNone(e, d)
	case len(served.MXs) == 0:
		return verdictOf{left: []string{codeBotTooMany}, why: "MTA-STS has too many MX patterns"}
	case served.Mode == mtasts.Testing && e.Policy.Mode == policy.Enforce:
		return verdictOf{change: true, new: &policy.Policy{Mode: policy.Testing, MXs: e.Policy.MXs}, reason: "demote.owner",
			why: "MTA-STS says testing"}
	}
	return followHosts(e, d, *served)
}

// followHosts takes over mode and mxs, of which one step of the list has one only (rule R52). Where a change of mode is on
// its way, the mxs go first, for mail has to arrive; a promotion that waits begins again by itself.
func followHosts(e policy.SourceEntry, d knownDomain, served gate.STS) verdictOf {
	mode, why := e.Policy.Mode, ""
	if d.logged && d.published != nil && d.published.Mode != mode && !demotedByGate(d) {
		back := mode == policy.Testing && served.Mode == mtasts.Enforce
		wait := mode == policy.Testing && served.Mode == mtasts.Testing
		same := policy.SameHosts(served.MXs, e.Policy.MXs)
		switch {
		case wait && !same:
			return verdictOf{left: []string{"gate.one-step"}, why: "the MX patterns of MTA-STS follow once the list says testing"}
		case wait || !back && same:
			return verdictOf{}
		}
		mode, why = d.published.Mode, fmt.Sprintf(", mode %s as the list has it", d.published.Mode)
	}
	new, err := policy.NewPolicy(mode, served.MXs)
	if err != nil {
		return verdictOf{left: []string{codeBotTooMany}, why: "MTA-STS: " + err.Error()}
	}
	if policy.SameHosts(new.MXs, e.Policy.MXs) {
		new.MXs = e.Policy.MXs // however they are spelt
	}
	if new.Equal(e.Policy) {
		return verdictOf{}
	}
	return verdictOf{change: true, new: &new, reason: syncReason(e.Policy, new), why: "MTA-STS says " + served.String() + why}
}

func syncReason(old, new policy.Policy) string {
	c := policy.Diff([]policy.Entry{{Policy: old}}, []policy.Entry{{Policy: new}})[0]
	if !c.Class.Has(policy.MXsNarrowed | policy.MXsWidened | policy.MXsReplaced) {
		return "change.source"
	}
	return reason(policy.Change{Class: c.Class &^ (policy.Strengthened | policy.Weakened), Old: c.Old, New: c.New})
}

// demotedByGate reports whether the list's mode is the gate's own doing, not the source's.
func demotedByGate(d knownDomain) bool {
	n := len(d.log)
	if n == 0 {
		return false
	}
	switch d.log[n-1].Reason {
	case "demote.auto", "demote.owner", "demote.emergency", "import.unproven":
		return true
	}
	return false
}

// servedNone: the list lets the domain go by itself, and only then does its entry go, since vantages look at what the
// source has.
func (k *Known) servedNone(e policy.SourceEntry, d knownDomain) verdictOf {
	if d.logged {
		if k.letGo(e, d) {
			return verdictOf{change: true, reason: "remove.owner", why: "MTA-STS says none, and the list has let the domain go"}
		}
		return verdictOf{left: []string{"gate.waiting"}, why: "MTA-STS says none: the list lets the domain go after 48 hours, and its entry goes then"}
	}
	out := k.decide(e, d, e.Policy)
	if out.Step != nil && out.Step.Reason == "remove.owner" {
		return verdictOf{change: true, reason: "remove.owner", why: "MTA-STS has said none for 48 hours"}
	}
	return verdictOf{left: []string{"gate.waiting"}, why: "MTA-STS says none, and has to for 48 hours"}
}

// served is what all vantages see of MTA-STS, nil when none can tell; disagree when they see different things.
func (k *Known) served(d knownDomain) (s *gate.STS, disagree bool) {
	need := max(k.settings.Quorum, min(2, k.settings.Vantages))
	for i := len(d.looks) - 1; i >= 0; i-- {
		l := d.looks[i]
		age := k.now.Sub(l.At)
		switch {
		case age > maxEvidenceAge || age < -maxEvidenceSkew:
			return nil, false
		case len(l.STS) > 1:
			return nil, true
		case len(l.STS) == 1 && l.STS[0].Vantages == l.Voters && l.Voters >= need:
			return &l.STS[0].STS, false
		}
	}
	return nil, false
}

// letGo reports whether the log took the domain off the list at its owner's wish, or because it is gone, lately.
func (k *Known) letGo(e policy.SourceEntry, d knownDomain) bool {
	n := len(d.log)
	if !d.logged || d.published != nil || n == 0 || k.wants(e, d) {
		return false
	}
	last := d.log[n-1]
	since := k.now.Sub(last.At)
	switch last.Reason {
	case "remove.owner", "remove.gone":
		return since <= ownDoing
	case "remove.auto": // restored by itself within its time
		return since > restoreTime && since <= restoreTime+ownDoing
	}
	return false
}

// restoreTime is how long the gate restores what it demoted or removed by itself (policy/gate/README.md).
const restoreTime = 30 * 24 * time.Hour

// wants reports whether the domain's owner asks for the entry now.
func (k *Known) wants(e policy.SourceEntry, d knownDomain) bool {
	l := k.fresh(d)
	if l == nil {
		return false
	}
	if e.ManagedBy == policy.ManagedByMTASTS {
		s, _ := k.served(d)
		return s != nil && string(s.Mode) == e.Policy.Mode.String()
	}
	return provesFor(*l, e.Policy)
}
