package gate

import (
	"slices"
	"time"

	"github.com/starttls-everywhere/policylist/policy"
	"github.com/starttls-everywhere/policylist/policy/proof"
)

// stretch is a time over which looks said yes and none said no.
type stretch struct {
	first, last time.Time // zero: there is none
	broken      bool      // the newest look that says anything says no
}

// stands reports whether the newest yes is young enough to act on.
func (s stretch) stands(now time.Time) bool {
	return !s.last.IsZero() && now.Sub(s.last) <= fresh
}

// lasts reports whether looks show that it went on for d, the last of them near its end. A single look shows a moment: who
// held the domain's name servers for an hour would have moved its mail a day later.
func (s stretch) lasts(d time.Duration) bool { return s.last.Sub(s.first) >= d-nearEnd }

// next is when the next look may show it, of a scan a day.
func (s stretch) next(now time.Time) time.Time {
	if at := s.last.Add(day); at.After(now) {
		return at
	}
	return now.Add(day)
}

// stretch looks back from the newest look. A look that cannot tell is passed over; a hole of more than maxGap ends it.
func (c *court) stretch(ask func(Look) signal) stretch {
	var s stretch
	for _, l := range slices.Backward(c.looks) {
		switch ask(l) {
		case no:
			s.broken = s.last.IsZero()
			return s
		case yes:
			if s.last.IsZero() {
				s.last = l.At
			} else if s.first.Sub(l.At) > maxGap {
				return s
			}
			s.first = l.At
		}
	}
	return s
}

// word is a stretch of the owner's word: what was seen before the domain was registered is another owner's.
func (c *court) word(ask func(Look) signal) stretch {
	return c.stretch(func(l Look) signal {
		if !l.At.After(c.Registered) {
			return no
		}
		return ask(l)
	})
}

// newest is the latest look, nil when there is none that a change may rest on.
func (c *court) newest() *Look {
	if n := len(c.looks); n > 0 && c.Now.Sub(c.looks[n-1].At) <= fresh {
		return &c.looks[n-1]
	}
	return nil
}

// passDays counts the days, UTC, from since on, on which mail arrived for p: many scans of one day are one.
func (c *court) passDays(p policy.Policy, since time.Time) int {
	days := make(map[string]bool)
	for _, l := range c.looks {
		if !l.At.Before(since) && l.arrives(p, c.Quorum) == yes {
			days[l.At.UTC().Format(time.DateOnly)] = true
		}
	}
	return len(days)
}

// recentFail is how many more looks it takes until the last failure is no longer among the recent ones; 0: it is not.
func (c *court) recentFail(p policy.Policy) int {
	seen := 0
	for _, l := range slices.Backward(c.looks) {
		switch l.arrives(p, c.Quorum) {
		case no:
			return recentLooks - seen
		case yes:
			if seen++; seen == recentLooks {
				return 0
			}
		}
	}
	return 0
}

// used tells when the list last took on what a record asks for, and when the record was seen first.
func (c *court) used(r proof.Record) proof.Used {
	var u proof.Used
	for _, l := range c.Log {
		if l.After != nil && proof.Digest(*l.After) == r.Change {
			u.Made = l.At
		}
	}
	inherited := len(c.looks) > 0 && !c.looks[0].At.After(c.Registered)
	if u.Made.IsZero() && !inherited {
		return u
	}
	for _, l := range c.looks {
		for _, p := range l.Proofs {
			if u.Seen.IsZero() && p.Reading.Record == r {
				u.Seen = l.At
			}
		}
	}
	if inherited && !u.Seen.After(c.Registered) && u.Made.Before(c.Registered) {
		u.Made = c.Registered // it stood there when the domain had another owner
	}
	return u
}

// last is the newest change in the log; zero when there is none.
func (c *court) last() Logged {
	if n := len(c.Log); n > 0 {
		return c.Log[n-1]
	}
	return Logged{}
}

// sawProof is how many vantages see one of the wanted records in the newest look.
func (c *court) sawProof(wanted ...proof.Record) (saw int) {
	if l := c.newest(); l != nil {
		for _, p := range l.Proofs {
			if code, _ := proof.Judge(p.Reading, c.used(p.Reading.Record), l.At, wanted...); code == "" {
				saw += p.Vantages
			}
		}
	}
	return saw
}

// sawSTS is how many vantages see a state of MTA-STS that match takes in the newest look.
func (c *court) sawSTS(match func(STS) bool) (saw int) {
	if l := c.newest(); l != nil {
		for _, v := range l.STS {
			if match(v.STS) {
				saw += v.Vantages
			}
		}
	}
	return saw
}
