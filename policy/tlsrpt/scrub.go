package tlsrpt

import (
	"slices"

	"github.com/starttls-everywhere/policylist/policy"
)

// Scrub makes of all reports of a day that a sender has, whoever they were meant for, what it gives to the list: entries of
// listed domains with at least MinSessions sessions that day, in buckets. listed tells a domain's policy, and whether the list
// has the domain. id is random, 16 bytes in lower-case hex. Reports of other days are passed over. Whatever the reports hold, the
// result is of the profile; nothing of them gets into it but listed domains, RFC 8460's own words and bucketed counts.
func Scrub(reports []*Report, day Day, id string, listed func(policy.Domain) (policy.Policy, bool)) Contribution {
	type key struct {
		domain policy.Domain
		kind   PolicyType
	}
	exact := map[key]*scrubbed{}
	for _, r := range reports {
		if on, ok := r.Day(); !ok || on != day {
			continue
		}
		owner := r.owners()
		for i := range r.Policies {
			p := &r.Policies[i]
			k := key{owner(p), p.Type}
			entry, ok := listed(k.domain)
			if _, known := ParsePolicyType(string(p.Type)); !known || !ok || k.domain.IsZero() {
				continue
			}
			if exact[k] == nil {
				exact[k] = &scrubbed{failures: map[ContributedDetail]int64{}}
			}
			exact[k].take(p, entry)
		}
	}
	c := Contribution{ID: id, Day: day}
	for k, s := range exact {
		// What has not MinSessions of one kind has no bucket either.
		if e := s.entry(k.domain, k.kind); e.Successful+e.Failed > 0 {
			c.Entries = append(c.Entries, e)
		}
	}
	slices.SortFunc(c.Entries, Contributed.compare)
	return c
}

// scrubbed are exact counts on their way into buckets: they are summed first, since sums of rounded counts would lose much.
type scrubbed struct {
	successful, failed int64
	failures           map[ContributedDetail]int64 // keys with Failed 0
}

func (s *scrubbed) take(p *Policy, listed policy.Policy) {
	s.successful, s.failed = add(s.successful, p.Successful), add(s.failed, p.Failed)
	for i := range p.Details {
		d := &p.Details[i]
		k := ContributedDetail{Result: d.Result, MX: kindOf(d.ReceivingMX, listed)}
		if _, known := ParseResultType(string(d.Result)); !known {
			k.Result = ValidationFailure
		}
		s.failures[k] = add(s.failures[k], d.Failed)
	}
}

// kindOf tells of an MX host only whether the list allows it.
func kindOf(mx string, listed policy.Policy) MXKind {
	if mx == "" {
		return NoMX
	}
	host, err := policy.NormalizeDomain(mx)
	if err == nil && listed.Allows(host) {
		return ListedPattern
	}
	return UnlistedMX
}

func (s *scrubbed) entry(domain policy.Domain, kind PolicyType) Contributed {
	e := Contributed{Domain: domain, Type: kind, Successful: Bucket(s.successful), Failed: Bucket(s.failed)}
	for k, n := range s.failures {
		// A sender's details may add up to more than its summary.
		if k.Failed = Bucket(min(n, s.failed)); k.Failed > 0 {
			e.Details = append(e.Details, k)
		}
	}
	slices.SortFunc(e.Details, ContributedDetail.compare)
	return e
}
