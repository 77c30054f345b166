package gate

import (
	"slices"
	"time"

	"github.com/starttls-everywhere/policylist/policy"
	"github.com/starttls-everywhere/policylist/policy/mtasts"
	"github.com/starttls-everywhere/policylist/policy/proof"
)

// vouchDays is how long the proof lives that an alarm prints.
const vouchDays = 30

// listedSince is when the list took on the domain that it has, or had last: by the log, or where that is forgotten no later
// than the first that is remembered. Zero: nothing is.
func (c *court) listedSince() time.Time {
	for _, l := range slices.Backward(c.Log) {
		if l.Before == nil && l.After != nil {
			return l.At
		}
	}
	switch {
	case len(c.Log) > 0:
		return c.Log[0].At
	case len(c.looks) > 0:
		return c.looks[0].At
	}
	return time.Time{}
}

// changedHands reports whether the domain was registered after the list took on its entry, and neither its owner has spoken
// since nor a maintainer looked into it (rule R48). The entry stays as it is: mail to a domain that was only renewed late
// must go on, and one whose servers moved with its owner is demoted by what the vantages see. What rests on the word of
// the owner before is what is suspended.
func (c *court) changedHands() bool {
	since := c.listedSince()
	if since.IsZero() || !c.Registered.After(since) || c.Reviewed.Equal(c.Registered) {
		return false
	}
	decided := []string{"add.testing", "add.enforce", "promote.evidence", "mxs.narrowed", "mxs.widened", "mxs.replaced", "demote.owner"}
	return !slices.ContainsFunc(c.Log, func(l Logged) bool { return l.At.After(c.Registered) && slices.Contains(decided, l.Reason) })
}

// anew begins an outcome: with the alarm where a listed domain changed hands, or with its new owner's word for the entry.
func (c *court) anew() (out Outcome) {
	if c.Registered.After(c.Now) {
		c.Registered = time.Time{} // nobody was registered tomorrow
	}
	if c.Published == nil || !c.changedHands() {
		return out
	}
	if out.Vouched = c.vouched(); out.Vouched {
		c.Reviewed = c.Registered
		return out
	}
	record := proof.For(*c.Published, c.Now.AddDate(0, 0, vouchDays))
	out.Alarms = append(out.Alarms, finding(codeReregistered, c.Domain, "registered on %s, listed since %s; the proof is %q",
		c.Registered.UTC().Format(time.DateOnly), c.listedSince().UTC().Format(time.DateOnly), record))
	return out
}

// vouched reports whether the owner has said for a day, since the registration, what the list says.
func (c *court) vouched() bool {
	entries := []proof.Record{asks(*c.Published)}
	if c.Wanted != nil {
		entries = append(entries, asks(*c.Wanted)) // whoever asks for a change knows of the entry
	}
	said := c.proofStretch(entries...)
	if c.Managed == policy.ManagedByMTASTS && !said.stands(c.Now) {
		said = c.word(func(l Look) signal {
			return l.sts(c.need(), func(s STS) bool {
				return allowsSame(*c.Published)(s) && (s.Mode == mtasts.Enforce || c.Published.Mode == policy.Testing)
			})
		})
	}
	return said.stands(c.Now) && c.Now.Sub(said.first) >= mxsDelay && said.lasts(mxsDelay)
}
