package cells

import (
	"cmp"
	"iter"
	"slices"

	"github.com/starttls-everywhere/policylist/policy"
)

// The least that is ever published: three contributors and 50 sessions.
const (
	MinContributors = 3
	MinSessions     = 50
)

// Listed tells whether a domain is on the list, and by which provider its MX hosts are run: one name for all domains of a
// provider, the domain itself where it runs its own.
type Listed func(policy.Domain) (provider string, ok bool)

// Make makes the table of a week. Observations of other days and of domains that are not listed are passed over; their order
// plays no part. It keeps a vote for each contributor and domain, some 200 bytes, and no observation. chosen are the rows of
// the week's month.
//
// A domain's row is of what enrolled domains' reporters say, if that is enough; else, if it was chosen, of what senders
// contribute. The two are never added up: one operator may be in both.
func Make(w Week, seen iter.Seq[Observation], listed Listed, chosen Chosen) Table {
	t := Table{Week: w}
	domains := sum(seen, w.Has, listed)
	for d, row := range domains {
		switch name := d.String(); {
		case row.enough(Recipients, MinContributors):
			t.Domains = append(t.Domains, Row{name, row.cells(Recipients)})
		case chosen.domain(name) && row.enough(Senders, MinContributors):
			t.Domains = append(t.Domains, Row{name, row.cells(Senders)})
		}
	}
	for name, row := range rollUp(domains, chosen) {
		if chosen.provider(name) && row.enough(Senders, MinContributors) {
			t.Providers = append(t.Providers, Row{name, row.cells(Senders)})
		}
	}
	byName := func(a, b Row) int { return cmp.Compare(a.Name, b.Name) }
	slices.SortFunc(t.Domains, byName)
	slices.SortFunc(t.Providers, byName)
	return t
}
