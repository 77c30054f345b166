package tlsrpt

import (
	"cmp"
	"slices"

	"github.com/starttls-everywhere/policylist/policy"
)

// Tally is what reports say of one domain on one UTC day. Counts are sessions, 0 to MaxCount.
type Tally struct {
	Domain policy.Domain // zero: of entries that could be attributed to no domain
	Day    Day
	// Sessions and Failed count each session once. Within a report the sts and the tlsa entries of a domain describe the same
	// sessions, so the larger counts; those without a policy are others and add; reports add up.
	Sessions, Failed int64
	Policies         []PolicyTally // by Type, each once
}

// PolicyTally counts the sessions under one kind of policy.
type PolicyTally struct {
	Type               PolicyType
	Successful, Failed int64
	// Results are by Result, each once. They may sum to less than Failed, or to more: one session may fail in several ways
	// (RFC 8460 section 4).
	Results []ResultTally
}

// ResultTally counts the sessions that ended in one result.
type ResultTally struct {
	Result   ResultType
	Sessions int64
}

// Tallies counts what a report says, by domain; nil when it has no day (see Attribute). Tallies of several reports of a day go
// together by Merge.
func Tallies(r *Report) []Tally {
	day, ok := r.Day()
	if !ok {
		return nil
	}
	byDomain := map[policy.Domain]*Tally{}
	owner := r.owners()
	for i := range r.Policies {
		domain := owner(&r.Policies[i])
		t := byDomain[domain]
		if t == nil {
			t = &Tally{Domain: domain, Day: day}
			byDomain[domain] = t
		}
		t.take(&r.Policies[i])
	}
	tallies := make([]Tally, 0, len(byDomain))
	for _, t := range byDomain {
		t.sum()
		tallies = append(tallies, *t)
	}
	slices.SortFunc(tallies, func(a, b Tally) int { return cmp.Compare(a.Domain.String(), b.Domain.String()) })
	return tallies
}

// Owners are the domains whose sessions the entries count, as Tallies has it, in the order of Policies.
func (r *Report) Owners() []policy.Domain {
	owner := r.owners()
	out := make([]policy.Domain, len(r.Policies))
	for i := range r.Policies {
		out[i] = owner(&r.Policies[i])
	}
	return out
}

// owners tells whose sessions an entry counts. A tlsa entry may name the TLSA base domain, which is an MX host (RFC 8460
// section 1.1), or the recipient's domain, as several senders do: a host's sessions belong to the recipient that the report is
// about, if that is known and the report tells of no other, or to the one domain of its other entries when the host is below
// it or one of its MX hosts.
func (r *Report) owners() func(*Policy) policy.Domain {
	named := map[policy.Domain]bool{}
	var only *Policy
	for i := range r.Policies {
		if p := &r.Policies[i]; p.Type != TLSA && !p.Domain.IsZero() {
			if !named[p.Domain] || only != nil && len(only.MXHosts) == 0 {
				only = p
			}
			named[p.Domain] = true
		}
	}
	return func(p *Policy) policy.Domain {
		switch {
		case p.Type != TLSA || p.Domain.IsZero() || named[p.Domain]:
			return p.Domain
		case !r.Recipient.IsZero() && (len(named) == 0 || len(named) == 1 && named[r.Recipient]):
			return r.Recipient
		case len(named) == 1 && only.hasHost(p.Domain):
			return only.Domain
		}
		return p.Domain
	}
}

// hasHost reports whether host stands below the entry's domain or is one of its MX hosts.
func (p *Policy) hasHost(host policy.Domain) bool {
	for parent, ok := host.Parent(); ok; parent, ok = parent.Parent() {
		if parent == p.Domain {
			return true
		}
	}
	return slices.ContainsFunc(p.MXHosts, func(s string) bool {
		pattern, err := policy.NormalizeMXPattern(s)
		return err == nil && pattern.Matches(host)
	})
}

// take adds one entry to the counts of its type. Two entries of one type are different sessions: the policy changed during the
// day, or the hosts differ.
func (t *Tally) take(p *Policy) {
	pt := t.policy(p.Type)
	pt.Successful, pt.Failed = add(pt.Successful, p.Successful), add(pt.Failed, p.Failed)
	for i := range p.Details {
		pt.result(p.Details[i].Result, p.Details[i].Failed)
	}
}

func (t *Tally) policy(kind PolicyType) *PolicyTally {
	i, found := slices.BinarySearchFunc(t.Policies, kind, func(p PolicyTally, k PolicyType) int { return cmp.Compare(p.Type, k) })
	if !found {
		t.Policies = slices.Insert(t.Policies, i, PolicyTally{Type: kind})
	}
	return &t.Policies[i]
}

func (p *PolicyTally) result(result ResultType, sessions int64) {
	i, found := slices.BinarySearchFunc(p.Results, result, func(t ResultTally, r ResultType) int { return cmp.Compare(t.Result, r) })
	if !found {
		p.Results = slices.Insert(p.Results, i, ResultTally{Result: result})
	}
	p.Results[i].Sessions = add(p.Results[i].Sessions, sessions)
}

// sum counts the sessions of one report once.
func (t *Tally) sum() {
	var same, none [2]int64 // sessions, failed
	for _, p := range t.Policies {
		all := [2]int64{add(p.Successful, p.Failed), p.Failed}
		if p.Type == NoPolicyFound {
			none = all
			continue
		}
		same = [2]int64{max(same[0], all[0]), max(same[1], all[1])}
	}
	t.Sessions, t.Failed = add(same[0], none[0]), add(same[1], none[1])
}

// Merge adds the counts of two tallies of the same domain and day, which are of different reports.
func Merge(a, b Tally) Tally {
	sum := Tally{Domain: a.Domain, Day: a.Day, Sessions: add(a.Sessions, b.Sessions), Failed: add(a.Failed, b.Failed)}
	for _, p := range append(slices.Clone(a.Policies), b.Policies...) {
		pt := sum.policy(p.Type)
		pt.Successful, pt.Failed = add(pt.Successful, p.Successful), add(pt.Failed, p.Failed)
		for _, r := range p.Results {
			pt.result(r.Result, r.Sessions)
		}
	}
	return sum
}

// ByClass returns the sessions of each class, classes without any left out: for ClassOK those that succeeded, for the others
// the larger of sts and tlsa plus those without a policy. Failures of which no detail tells a result are ClassOther.
func (t Tally) ByClass() map[Class]int64 {
	counts := map[Class]int64{ClassOK: t.Sessions - t.Failed}
	same := map[Class]int64{}
	for _, p := range t.Policies {
		classes, explained := map[Class]int64{}, int64(0)
		for _, r := range p.Results {
			classes[r.Result.Class()] = add(classes[r.Result.Class()], r.Sessions)
			explained = add(explained, r.Sessions)
		}
		classes[ClassOther] = add(classes[ClassOther], max(0, p.Failed-explained))
		for class, n := range classes {
			if p.Type == NoPolicyFound {
				counts[class] = add(counts[class], n)
			} else {
				same[class] = max(same[class], n)
			}
		}
	}
	for class, n := range same {
		counts[class] = add(counts[class], n)
	}
	for class, n := range counts {
		if n == 0 {
			delete(counts, class)
		}
	}
	return counts
}
