package gate

import (
	"cmp"
	"slices"

	"github.com/starttls-everywhere/policylist/policy"
)

// Budget lets through what one release may carry of steps, for a list of listed domains (rule R52), and holds the
// rest. What lets mail arrive goes first, then what has waited longest, then the order of names: the same steps give the
// same choice, whatever their order. Both results are in the order of domains. Accepted is two maintainers' word for
// all of them.
func Budget(listed int, steps []Step, accepted bool) (pass []Step, held []Wait) {
	queue := slices.Clone(steps)
	slices.SortStableFunc(queue, func(a, b Step) int {
		return cmp.Or(cmp.Compare(urgency(a.Reason), urgency(b.Reason)), a.Since.Compare(b.Since), byDomain(a.Change, b.Change))
	})
	var all, spent policy.Tally
	all.Listed, spent.Listed = listed, listed
	for _, s := range queue {
		all = all.Plus(policy.Count(listed, []policy.Change{s.Change}))
	}
	for _, s := range queue {
		next := spent.Plus(policy.Count(listed, []policy.Change{s.Change}))
		if over := next.Over(); len(over) > 0 && !accepted {
			held = append(held, overBudget(s, over[0].Kind, all.Over()))
			continue
		}
		spent = next
		pass = append(pass, s)
	}
	slices.SortFunc(pass, func(a, b Step) int { return byDomain(a.Change, b.Change) })
	slices.SortFunc(held, func(a, b Wait) int { return byDomain(a.Change, b.Change) })
	return pass, held
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

// overBudget holds a step of the kind of which all are too many.
func overBudget(s Step, kind string, all []policy.Excess) Wait {
	w := Wait{Change: s.Change, Since: s.Since}
	for _, x := range all {
		if x.Kind == kind {
			w.Findings = append(w.Findings, finding(codeBudget, s.Change.Domain, "%d domains would be %s, and a release carries %d by itself", x.Count, x.Kind, x.Allowed))
		}
	}
	return w
}
