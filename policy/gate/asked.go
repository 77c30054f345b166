package gate

import (
	"slices"
	"time"

	"github.com/starttls-everywhere/policylist/policy"
	"github.com/starttls-everywhere/policylist/policy/mtasts"
	"github.com/starttls-everywhere/policylist/policy/proof"
)

// asked is the change that the source asks for, nil for none.
func (c *court) asked() *row {
	old, new := c.Published, c.Wanted
	if old == nil && new == nil || old != nil && new != nil && old.Equal(*new) {
		return nil
	}
	r := c.row(old, new, "")
	if r.change.Class.ModeAndMXs() {
		if !slices.Contains([]string{"demote.auto", "demote.owner", "demote.emergency", "import.unproven"}, c.last().Reason) {
			r.lacks(codeOneStep, "%s is %s", c.Domain, r.change.Class)
			return r
		}
		// The list's mode is the gate's own doing, not the source's: the mxs go first, and the mode follows by itself.
		new = &policy.Policy{Mode: old.Mode, MXs: new.MXs}
		r = c.row(old, new, "")
	}
	r.reason = reasonOf(r.change)
	switch {
	case c.Managed == policy.ManagedByCurated:
		r.curated()
	case r.change.Class == policy.Weakened && c.Approval != nil:
		r.reason = "demote.emergency" // the operator's: at once
	case r.change.Class == policy.Removed:
		r.removal()
	case c.Managed == policy.ManagedByMTASTS:
		r.followsSTS()
	default:
		r.byProof()
	}
	r.reported()
	return r
}

// reported holds what asks senders for more while others report that it fails. What gives protection back after a demotion is
// not asked for, and so not held: a lie would keep it away. Those who lie about a change that is asked for, and of whom three are
// enough where few report, hold it until two maintainers have looked.
func (r *row) reported() {
	if r.Feedback != "" && r.Approval == nil && r.change.New != nil && r.change.New.Mode == policy.Enforce && r.change.Class.Has(policy.Strengthened|policy.Added) {
		r.lacks(codeFeedback, "%s", r.Feedback)
	}
}

// reasonOf names a change that was asked for in the log.
func reasonOf(c policy.Change) string {
	switch class := c.Class; {
	case class.Has(policy.Added) && c.New.Mode == policy.Enforce:
		return "add.enforce"
	case class.Has(policy.Added):
		return "add.testing"
	case class.Has(policy.Removed):
		return "remove.owner"
	case class.Has(policy.Strengthened):
		return "promote.evidence"
	case class.Has(policy.Weakened):
		return "demote.owner"
	case class.Has(policy.MXsNarrowed):
		return "mxs.narrowed"
	case class.Has(policy.MXsWidened):
		return "mxs.widened"
	}
	return "mxs.replaced"
}

// curated is the column of others' domains, which the operator added.
func (r *row) curated() {
	if r.change.New != nil && r.change.New.Mode == policy.Enforce {
		r.lacks(codeCurated, "%s", r.Domain)
		return
	}
	if r.change.New == nil {
		if wish, delay, what := r.farewell(); wish.stands(r.Now) {
			r.began(wish, delay, what)
			return
		}
		r.reason = "remove.curated"
	}
	if r.Approval == nil {
		r.lacks(codeMaintainers, "%s is %s", r.Domain, r.change.Class)
	}
}

// removal is the owner's: by MTA-STS where the entry follows it, by proof for all.
func (r *row) removal() {
	if wish, delay, what := r.farewell(); wish.stands(r.Now) {
		r.began(wish, delay, what)
		return
	}
	r.lacks(codeNeedsRemoval, "%s", r.Domain)
}

// farewell is how long the owner has wished to leave, and for how long that takes: by MTA-STS where the entry follows it, by
// proof for all; of both that which comes to its end first.
func (c *court) farewell() (wish stretch, delay time.Duration, what string) {
	wish, delay, what = c.proofStretch(proof.Record{Kind: proof.Remove}), removeProofDelay, "the proof \"remove\" has stood"
	switch c.Managed {
	case policy.ManagedByCurated:
		delay = 0
	case policy.ManagedByMTASTS:
		none := c.word(func(l Look) signal { return l.sts(c.need(), saysMode(mtasts.None)) })
		if none.stands(c.Now) && (!wish.stands(c.Now) || none.first.Add(removeSTSDelay).Before(wish.first.Add(delay))) {
			return none, removeSTSDelay, "MTA-STS has said none"
		}
	}
	return wish, delay, what
}

// byProof is the column of owners who prove control in the DNS.
func (r *row) byProof() {
	new := *r.change.New
	delay, passes := mxsDelay, 0
	switch class := r.change.Class; {
	case class.Has(policy.Strengthened) || class.Has(policy.Added) && new.Mode == policy.Enforce:
		delay, passes = promoteProofDays*day, promoteProofPasses
	case class.Has(policy.Added):
		delay = 0
	case class.Has(policy.Weakened):
		delay = demoteProofDelay
	}
	if r.Canary {
		r.proven(0) // mail cannot arrive, and that is the point of it
		return
	}
	since, ok := r.proven(delay)
	switch class := r.change.Class; {
	case class.Has(policy.MXsNarrowed):
		r.covers(new)
	case class != policy.Weakened:
		r.arrives(new)
	}
	if passes > 0 && ok {
		r.passed(new, passes, since)
	}
}

// proven asks for the owner's proof of the wanted entry, for d; ok is false when there is none.
func (r *row) proven(d time.Duration) (since time.Time, ok bool) {
	wanted := []proof.Record{asks(*r.change.New)}
	if r.Wanted != nil && !r.Wanted.Equal(*r.change.New) {
		wanted = append(wanted, asks(*r.Wanted)) // of which this change is the first half
	}
	s := r.proofStretch(wanted...)
	if s.stands(r.Now) {
		r.began(s, d, "the proof of control has stood")
		return s.first, true
	}
	r.unproven(s, wanted...)
	return time.Time{}, false
}

// unproven says what is wrong with the proof.
func (r *row) unproven(s stretch, wanted ...proof.Record) {
	l := r.newest()
	if l == nil {
		r.lacks(codeStale, "%s", r.Domain)
		return
	}
	_, code, detail := l.proof(r.need(), r.used, wanted...)
	switch saw := r.sawProof(wanted...); {
	case saw > 0:
		r.lacks(codeDisagree, "%d of %s see the proof of control", saw, plural(l.Voters, "vantage"))
	case code != "":
		r.lacks(code, "%s", detail)
	case !s.last.IsZero():
		r.lacks(codeStale, "the proof of control was seen last at %s", s.last.UTC().Format(policy.TimeFormat))
	default:
		r.lacks(codeProofUnseen, "%s", r.Domain)
	}
}

// proofStretch is how long one of the wanted records has stood.
func (c *court) proofStretch(wanted ...proof.Record) stretch {
	return c.word(func(l Look) signal {
		s, _, _ := l.proof(c.need(), c.used, wanted...)
		return s
	})
}

// asks is the record that asks for an entry.
func asks(p policy.Policy) proof.Record {
	return proof.Record{Kind: proof.Change, Change: proof.Digest(p)}
}
