package leaveout

import (
	"cmp"
	"context"
	"slices"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/starttls-everywhere/policylist/mirror/socketmap"
	"github.com/starttls-everywhere/policylist/policy"
)

const (
	// DefaultMost and DefaultWithin bound one round. With an update every six hours a list of 100,000 domains takes two and
	// a half days.
	DefaultMost   = 10_000
	DefaultWithin = 5 * time.Minute
	// DefaultPace lets fifty domains a second begin: some 250 questions to the resolver, and mostly no HTTPS.
	DefaultPace = 20 * time.Millisecond

	// askAgain is for how long an answer does; somewhat less than a day, so that a timer's jitter does not make it two.
	askAgain = 20 * time.Hour
	// retry is for how long a domain is left alone after a lookup that failed.
	retry = time.Hour
	// askers is how many domains are asked at once: one that does not answer takes its 20 s.
	askers = 32
	// givenUp is after how many domains without an answer, and none with one, a round ends: then it is the resolver that does
	// not answer, and to go on would take every update its whole time.
	givenUp = 2 * askers
)

// Limits bound one round.
type Limits struct {
	Most   int           // domains
	Within time.Duration // for all of them together
	Pace   time.Duration // from one domain's beginning to the next's; 0: no waiting
}

// Round is what became of one.
type Round struct {
	Asked      int // domains
	Unanswered int // of these: a lookup failed, and what was known stays
	Waiting    int // are due, and wait for the next round
	// GivenUp says that no domain at all answered, so that the rest was not asked.
	GivenUp bool
}

// Ask asks the domains that are due, and forgets those that are not among domains. First come those that are left out, or
// may be: for them to be out of date costs the list's protection. The others follow, the longest unasked first. A lookup
// that the end of ctx or of the limits cuts short counts as not made.
func (b *Book) Ask(ctx context.Context, domains []policy.Domain, l Limits) Round {
	ctx, cancel := context.WithTimeout(ctx, l.Within)
	defer cancel()
	due := b.due(domains)
	turn := due[:min(len(due), l.Most)]
	found := make([]*socketmap.Own, len(turn))
	var answered, silent atomic.Int64
	var g errgroup.Group
	g.SetLimit(askers)
	for i, d := range turn {
		if i > 0 && l.Pace > 0 {
			select {
			case <-ctx.Done():
			case <-time.After(l.Pace):
			}
		}
		if ctx.Err() != nil {
			break
		}
		g.Go(func() error {
			own := b.live.Own(ctx, d)
			if end, _ := ctx.Deadline(); ctx.Err() != nil || !time.Now().Before(end) { // a socket's deadline comes a moment earlier
				return nil
			}
			found[i] = &own
			if own.DANEKnown || own.STSKnown {
				answered.Add(1)
			} else if silent.Add(1) >= givenUp && answered.Load() == 0 {
				cancel()
			}
			return nil
		})
	}
	g.Wait()
	r := Round{Waiting: len(due), GivenUp: answered.Load() == 0 && silent.Load() >= givenUp}
	for i, own := range found {
		if own != nil {
			r.Asked++
			r.Waiting--
			if !b.learn(turn[i], *own) {
				r.Unanswered++
			}
		}
	}
	return r
}

// due are the domains whose time has come, in the order in which they are asked.
func (b *Book) due(domains []policy.Domain) []policy.Domain {
	now := b.live.Now()
	listed := make(map[policy.Domain]Answer, len(domains))
	var out []policy.Domain
	for _, d := range domains {
		a, known := b.answers[d]
		if known {
			listed[d] = a
		}
		wait := askAgain
		if b.unanswered(a) {
			wait = retry
		}
		if !known || now.Sub(a.Asked).Abs() >= wait { // a time to come is a clock's error
			out = append(out, d)
		}
	}
	b.answers = listed
	rank := func(d policy.Domain) int {
		if listed[d].DANE || b.live.Held(d) != nil {
			return 0
		}
		return 1
	}
	slices.SortStableFunc(out, func(x, y policy.Domain) int {
		return cmp.Or(rank(x)-rank(y), listed[x].Asked.Compare(listed[y].Asked))
	})
	return out
}

// unanswered reports whether the last attempt has left something open that is looked at.
func (b *Book) unanswered(a Answer) bool {
	return b.live.DANE && a.DANEAt.Before(a.Asked) || b.live.Fetcher != nil && a.STSAt.Before(a.Asked)
}

// learn remembers what a domain said, and reports whether it has answered everything.
func (b *Book) learn(d policy.Domain, own socketmap.Own) (answered bool) {
	a := b.answers[d]
	a.Asked = b.live.Now().UTC().Truncate(time.Second)
	if own.DANEKnown {
		a.DANE, a.DANEAt = own.DANE, a.Asked
	}
	if own.STSKnown {
		a.STSAt = a.Asked
	}
	b.answers[d] = a
	return !b.unanswered(a)
}
