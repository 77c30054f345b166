package tlsrpt

import (
	"cmp"
	"context"
	"errors"
	"iter"

	"github.com/starttls-everywhere/policylist/pipeline/tlsrpt/cells"
	"github.com/starttls-everywhere/policylist/policy"
	"github.com/starttls-everywhere/policylist/policy/tlsrpt"
)

// observe gives take what the store knows of the days from one to another, both included: what senders contributed, and what
// authenticated reporters said of enrolled domains; what is only shown is not among it. It comes one at a time, for a contributor may
// name twenty thousand domains each day. take must not call the store; what it made is of no use when observe returns an error.
func (s *Store) observe(ctx context.Context, from, to tlsrpt.Day, take func(iter.Seq[cells.Observation])) (err error) {
	take(func(yield func(cells.Observation) bool) { err = s.eachObservation(ctx, from, to, yield) })
	if errors.Is(err, errEnough) {
		return nil
	}
	return err
}

// errEnough says that nobody wants more.
var errEnough = errors.New("enough")

func (s *Store) eachObservation(ctx context.Context, from, to tlsrpt.Day, yield func(cells.Observation) bool) error {
	err := s.Contributions(ctx, from, to, func(c Contributed) error {
		unlisted := unlistedMismatches(c.Contribution)
		for _, t := range tlsrpt.Tallies(c.Report()) {
			o := observation(cells.Senders, c.Pseudonym, t)
			o.Unlisted = unlisted[t.Domain.String()]
			if !yield(o) {
				return errEnough
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	return s.Rows(ctx, from, to, func(r Row) error {
		if r.Authenticated && !yield(observation(cells.Recipients, organisation(r.Reporter), r.Tally)) {
			return errEnough
		}
		return nil
	})
}

func observation(loop cells.Loop, who string, t tlsrpt.Tally) cells.Observation {
	o := cells.Observation{Loop: loop, Contributor: who, Domain: t.Domain, Day: t.Day, Sessions: t.Sessions, Failed: t.ByClass()}
	for _, p := range t.Policies {
		n := min(p.Successful, tlsrpt.MaxCount-p.Failed) + p.Failed
		switch p.Type {
		case tlsrpt.STS:
			o.UnderSTS = n
		case tlsrpt.NoPolicyFound:
			o.UnderNone = n
		}
	}
	return o
}

// organisation is the registered domain of a reporter: who has that has any number of names below it, and one vote.
func organisation(reporter string) string {
	d, err := policy.ParseDomain(reporter)
	if err != nil {
		return reporter
	}
	return cmp.Or(policy.SoldDomain(d), reporter)
}

// unlistedMismatches are, by domain, the sessions that ended at an MX host that the list does not allow, with a certificate that
// does not name it.
func unlistedMismatches(c tlsrpt.Contribution) map[string]int64 {
	out := map[string]int64{}
	for _, e := range c.Entries {
		for _, d := range e.Details {
			if d.MX == tlsrpt.UnlistedMX && d.Result == tlsrpt.CertificateHostMismatch && !e.LookUps {
				out[e.Domain.String()] = max(out[e.Domain.String()], d.Failed) // sts and tlsa count the same sessions
			}
		}
	}
	return out
}
