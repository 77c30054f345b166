package gate

import (
	"slices"
	"time"

	"github.com/starttls-everywhere/policylist/policy"
	"github.com/starttls-everywhere/policylist/policy/mtasts"
	"github.com/starttls-everywhere/policylist/policy/proof"
)

// automatic are the changes that no commit asks for, those first that are most urgent.
func (c *court) automatic() []*row {
	var rows []*row
	if c.Published == nil {
		return []*row{c.restore()}
	}
	if c.Canary {
		return c.ofCanary()
	}
	if c.Published.Mode == policy.Enforce {
		rows = append(rows, c.emergency())
	}
	if c.Wanted != nil {
		rows = append(rows, c.leaves())
	}
	rows = append(rows, c.goneAway())
	if c.Published.Mode == policy.Enforce {
		rows = append(rows, c.demotion())
		if c.Managed == policy.ManagedByMTASTS && c.Wanted != nil && c.Wanted.Mode == policy.Enforce {
			rows = append(rows, c.softened())
		}
	} else {
		rows = append(rows, c.death(), c.restore())
	}
	return rows
}

// ofCanary is what its owner may begin, and its end: a demotion would be no news.
func (c *court) ofCanary() []*row {
	rows := []*row{c.goneAway()}
	if c.Published.Mode == policy.Enforce {
		rows = append(rows, c.emergency())
	}
	if c.Wanted != nil {
		rows = append(rows, c.leaves())
	}
	return rows
}

// own is a row that stays idle until something speaks for it.
func (c *court) own(new *policy.Policy, reason string) *row {
	r := c.row(c.Published, new, reason)
	r.automatic, r.idle = true, true
	return r
}

// testing is the published policy, demoted.
func (c *court) testing() *policy.Policy {
	return &policy.Policy{Mode: policy.Testing, MXs: c.Published.MXs}
}

// emergency: the owner says that mail cannot arrive, and it cannot.
func (c *court) emergency() *row {
	r := c.own(c.testing(), "demote.emergency")
	said := c.proofStretch(proof.Record{Kind: proof.Emergency})
	if c.Managed == policy.ManagedByMTASTS && !said.stands(c.Now) {
		said = c.word(func(l Look) signal { return l.sts(c.need(), saysMode(mtasts.Testing, mtasts.None)) })
		// Without a failure this is no emergency but a change of mode, which has its own row.
		if !c.stuckNow(c.need()) {
			return r
		}
	}
	if !said.stands(c.Now) {
		r.disagree(c.sawProof(proof.Record{Kind: proof.Emergency}), "an emergency")
		return r
	}
	r.idle = false
	r.began(said, 0, "")
	if !c.stuckNow(c.need()) {
		r.lacks(codeNoEmergency, "%s", c.Domain)
	}
	return r
}

// stuckNow asks whether the newest look shows that mail cannot arrive.
func (c *court) stuckNow(need int) bool {
	l := c.newest()
	return l != nil && l.stuck(*c.Published, need, c.Quorum) == yes
}

// leaves: the owner takes the domain off, by MTA-STS or in the DNS, though the source still has it.
func (c *court) leaves() *row {
	r := c.own(nil, "remove.owner")
	if wish, delay, what := c.farewell(); wish.stands(c.Now) {
		r.idle = false
		r.began(wish, delay, what)
		return r
	}
	saw := c.sawProof(proof.Record{Kind: proof.Remove})
	if c.Managed == policy.ManagedByMTASTS {
		saw = max(saw, c.sawSTS(saysMode(mtasts.None)))
	}
	r.disagree(saw, "the owner's wish to leave")
	return r
}

// disagree raises an alarm where some vantages see a wish and others see that there is none: one of them is lied to.
func (r *row) disagree(saw int, what string) {
	if l := r.newest(); l != nil && saw > 0 && saw < l.Voters {
		r.idle = false
		r.lacks(codeDisagree, "%d of %s see %s", saw, plural(l.Voters, "vantage"), what)
	}
}

// softened: an entry that follows MTA-STS follows it to testing.
func (c *court) softened() *row {
	r := c.own(c.testing(), "demote.owner")
	if s := c.word(func(l Look) signal { return l.sts(c.need(), saysMode(mtasts.Testing)) }); s.stands(c.Now) {
		r.idle = false
		r.began(s, demoteSTSDelay, "MTA-STS has said testing")
	}
	return r
}

// goneAway: the domain does not exist any more (rule R48).
func (c *court) goneAway() *row {
	r := c.own(nil, "remove.gone")
	s := c.stretch(func(l Look) signal { return l.gone(c.automaticNeed()) })
	c.fault(r, s, goneRemove, "the domain has not existed")
	return r
}

// demotion: mail cannot arrive, and nobody says a word.
func (c *court) demotion() *row {
	r := c.own(c.testing(), "demote.auto")
	c.fault(r, c.stuckStretch(), stuckDemote, "mail has not been able to arrive")
	return r
}

// death: mail has not been able to arrive for so long that the entry, testing by now, is of no use.
func (c *court) death() *row {
	r := c.own(nil, "remove.auto")
	c.fault(r, c.stuckStretch(), stuckRemove, "mail has not been able to arrive")
	return r
}

func (c *court) stuckStretch() stretch {
	return c.stretch(func(l Look) signal { return l.stuck(*c.Published, c.automaticNeed(), c.Quorum) })
}

// automaticNeed is automatic, but where there is one vantage only: then what it sees is told, and acted upon by nobody.
func (c *court) automaticNeed() int {
	if c.Vantages < twoVantages {
		return 1
	}
	return c.Settings.automatic()
}

// fault lets r begin with a stretch of facts against the domain. Unlike the owner's word, which stands for a day, they
// must be seen by the very newest look: one that cannot tell decides nothing.
func (c *court) fault(r *row, s stretch, d time.Duration, what string) {
	if l := c.newest(); l == nil || !s.last.Equal(l.At) {
		return
	}
	r.idle = false
	r.began(s, d, what)
	if c.Vantages < twoVantages {
		r.lacks(codeSingle, "%s", c.Domain)
	}
}

// restore: what was demoted or removed by itself is back as it was, when it works again and is still wanted.
func (c *court) restore() *row {
	last := c.last()
	r := &row{court: c, idle: true}
	if last.Reason != "demote.auto" && last.Reason != "remove.auto" || last.Before == nil || c.Wanted == nil {
		return r
	}
	back := *last.Before
	if !policy.SameHosts(back.MXs, c.Wanted.MXs) || back.Mode > c.Wanted.Mode || !c.untouched(last) {
		return r
	}
	s := c.stretch(func(l Look) signal { return l.arrives(back, c.Quorum) })
	if !s.stands(c.Now) || s.first.Sub(last.At) > restoreWindow || c.objects(back) {
		return r
	}
	r = c.own(&back, "restore.auto")
	r.idle = false
	r.began(s, restoreDelay, "mail has arrived again")
	if c.changedHands() {
		r.lacks(codeReregistered, "registered on %s", c.Registered.UTC().Format(time.DateOnly))
	}
	return r
}

// untouched reports whether the list says what a demotion or removal left, so that taking it back changes the mode or
// the membership and nothing else.
func (c *court) untouched(last Logged) bool {
	if c.Published == nil || last.After == nil {
		return c.Published == nil && last.After == nil
	}
	return c.Published.Equal(*last.After) && c.Published.Mode < last.Before.Mode && slices.Equal(c.Published.MXs, last.Before.MXs)
}

// objects reports whether the owner says now that the entry should not be p.
func (c *court) objects(p policy.Policy) bool {
	l := c.newest()
	if l == nil {
		return true
	}
	for _, s := range l.STS {
		if s.Mode == mtasts.None || c.Managed == policy.ManagedByMTASTS && p.Mode == policy.Enforce && s.Mode == mtasts.Testing {
			return true
		}
	}
	for _, v := range l.Proofs {
		if v.Reading.Kind == proof.Remove || v.Reading.Kind == proof.Emergency {
			return true
		}
	}
	return false
}
