package gate

import (
	"cmp"
	"slices"
	"time"

	"github.com/starttls-everywhere/policylist/policy"
)

// BudgetWindow is the time of which all releases together have one budget: releases by the hour carry no more than one a
// day. Clients that fetch at least daily see no more of a change than that at once.
const BudgetWindow = 24 * time.Hour

// Day is what a release is measured by: the list, and what releases within BudgetWindow made of it already.
type Day struct {
	// Listed is how many domains the shortest list has that a client may hold: one from within the window, or the one
	// before it. Lists without a domain startle nobody, and do not count; 0: there is no other.
	Listed int
	Made   []policy.Change // by releases within the window, oldest first
}

// Budget lets through what a release may carry of steps (rule R52), and holds the rest. What lets mail arrive goes first,
// then what has waited longest, then the order of names: the same steps give the same choice, whatever their order. Both
// results are in the order of domains. Accepted is two maintainers' word for all of them.
func (d Day) Budget(steps []Step, accepted bool) (pass []Step, held []Wait) {
	queue := slices.Clone(steps)
	slices.SortStableFunc(queue, func(a, b Step) int {
		return cmp.Or(cmp.Compare(urgency(a.Reason), urgency(b.Reason)), a.Since.Compare(b.Since), byDomain(a.Change, b.Change))
	})
	all, spent := d.ledger(), d.ledger()
	for _, s := range queue {
		all.add(s.Change)
	}
	for _, s := range queue {
		next := spent.with(s.Change)
		if w := next.holds(s, all.tally); len(w.Findings) > 0 && !accepted {
			held = append(held, w)
			continue
		}
		spent.add(s.Change)
		pass = append(pass, s)
	}
	slices.SortFunc(pass, func(a, b Step) int { return byDomain(a.Change, b.Change) })
	slices.SortFunc(held, func(a, b Wait) int { return byDomain(a.Change, b.Change) })
	return pass, held
}

// Excess is what two maintainers let a release have beyond its budget.
type Excess struct {
	Over     bool // of a kind that has one
	Startles bool // clients keep the release back: those with the list before it, or with one from earlier in the window
	Touched  int  // entries, by the release and those before it in the window
}

// Excess tells what changes that a release makes are too many of.
func (d Day) Excess(changes []policy.Change) (x Excess) {
	l, mine := d.ledger(), policy.Count(0, changes)
	made := l.tally.Touched
	for _, c := range changes {
		l.add(c)
	}
	for _, o := range l.tally.Over() {
		x.Over = x.Over || mine.Of(o.Kind) > 0
	}
	x.Touched = l.tally.Touched
	x.Startles = x.Touched > made && l.tally.Startles()
	return x
}

// ledger counts what clients see together. A domain is touched once, however often it changes; and one that changes twice
// is, whatever the changes are: fewer mxs and then more are other mxs to whoever missed the step between.
type ledger struct {
	tally   policy.Tally
	changed map[policy.Domain]bool // true: touched
}

func (d Day) ledger() *ledger {
	l := &ledger{policy.Tally{Listed: d.Listed}, make(map[policy.Domain]bool)}
	for _, c := range d.Made {
		l.add(c)
	}
	return l
}

// with is the tally with one more change.
func (l *ledger) with(c policy.Change) tallied {
	one := policy.Count(0, []policy.Change{c})
	touched, again := l.changed[c.Domain]
	switch {
	case touched:
		one.Touched = 0
	case again:
		one.Touched = 1
	}
	return tallied{l.tally.Plus(one), one.Touched > 0}
}

func (l *ledger) add(c policy.Change) {
	t := l.with(c)
	l.tally = t.Tally
	l.changed[c.Domain] = l.changed[c.Domain] || t.touches
}

// tallied is a tally with a change that touches a domain, or not.
type tallied struct {
	policy.Tally
	touches bool
}

// holds tells why a step is too much, by what all steps together would be; without findings it is not.
func (t tallied) holds(s Step, all policy.Tally) Wait {
	w := Wait{Change: s.Change, Since: s.Since}
	kinds := policy.Count(0, []policy.Change{s.Change})
	for _, x := range t.Over() {
		if kinds.Of(x.Kind) > 0 {
			w.Findings = append(w.Findings, finding(codeBudget, s.Change.Domain, "%d domains would be %s within 24 hours, which carry %d by themselves",
				all.Of(x.Kind), x.Kind, x.Allowed))
			return w
		}
	}
	if t.touches && t.Startles() {
		w.Findings = append(w.Findings, finding(codeGuard, s.Change.Domain, "%d entries would be touched within 24 hours, and clients with a list of %d take %d",
			all.Touched, t.Listed, policy.Unstartling(t.Listed)))
	}
	return w
}

func byDomain(a, b policy.Change) int { return cmp.Compare(a.Domain.String(), b.Domain.String()) }

// urgency is the rank of a reason: lower goes first.
func urgency(reason string) int {
	order := []string{"demote.emergency", "demote.auto", "remove.owner", "demote.owner", "mxs.widened", "mxs.replaced", "restore.auto"}
	if i := slices.Index(order, reason); i >= 0 {
		return i
	}
	return len(order)
}
