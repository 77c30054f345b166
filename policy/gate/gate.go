package gate

import (
	"slices"
	"time"

	"github.com/starttls-everywhere/policylist/policy"
)

// court decides about one domain.
type court struct {
	Input
	Settings
	looks []Look // those that count, sorted by time
}

// Decide tells what the next release makes of a domain, and what is held. Of several changes that could be made at once
// only one is: that which helps mail to arrive comes first, and the rest waits for its release.
func Decide(in Input, s Settings) Outcome {
	s.Vantages, s.Quorum = max(s.Vantages, 1), max(s.Quorum, 1)
	c := &court{Input: in, Settings: s}
	for _, l := range in.Looks {
		if old := in.Now.Sub(l.At); old >= -skew && old <= Keep {
			c.looks = append(c.looks, l)
		}
	}
	slices.SortStableFunc(c.looks, func(a, b Look) int { return a.At.Compare(b.At) })
	out := c.anew()
	rows := c.automatic()
	if asked := c.asked(); asked != nil {
		rows = asked.among(rows)
	}
	var made *row
	for _, r := range rows {
		if !r.idle && r.open() {
			made = r
			out.Step = &Step{Change: r.change, Reason: r.reason, Since: r.since}
			break
		}
	}
	for _, r := range rows {
		if !r.idle && !r.open() && (made == nil || !r.sameAs(made)) {
			out.Waits = append(out.Waits, r.wait())
		}
	}
	return out
}

// row is a change with what its row of the table asks for.
type row struct {
	*court
	change    policy.Change
	reason    string
	automatic bool
	idle      bool      // an automatic change that nothing speaks for
	since     time.Time // see Step
	until     time.Time // the latest of the times that must come
	never     bool      // something is missing that time alone does not bring
	findings  []policy.Finding
}

func (c *court) row(old, new *policy.Policy, reason string) *row {
	return &row{court: c, change: ChangeOf(c.Domain, old, new), reason: reason}
}

// ChangeOf classifies a change of one domain; old and new are not both nil, and differ.
func ChangeOf(d policy.Domain, old, new *policy.Policy) policy.Change {
	list := func(p *policy.Policy) []policy.Entry {
		if p == nil {
			return nil
		}
		return []policy.Entry{{Domain: d, Policy: *p}}
	}
	changes := policy.Diff(list(old), list(new))
	if len(changes) == 0 {
		return policy.Change{Domain: d, Old: old, New: new}
	}
	return changes[0]
}

// among puts what the source asks for beside what begins by itself. Of two ways to the same end the one that is open
// counts; while none is, the automatic one, which says what keeps the domain from it.
func (r *row) among(rows []*row) []*row {
	if !r.open() {
		if slices.ContainsFunc(rows, r.sameAs) {
			return rows
		}
		return append(rows, r)
	}
	rows = slices.DeleteFunc(rows, func(o *row) bool {
		return !o.open() && r.sameAs(o) || o.reason == "demote.auto" && r.cures()
	})
	return append(rows, r)
}

// sameAs reports whether o is on its way to where r leads.
func (r *row) sameAs(o *row) bool {
	new, other := r.change.New, o.change.New
	return !o.idle && (new == nil && other == nil || new != nil && other != nil && new.Equal(*other))
}

// cures reports whether mail arrives once the row's change is made: an entry that follows its domain's move need not be
// demoted for being late.
func (r *row) cures() bool {
	l := r.newest()
	return l != nil && r.change.New != nil && l.arrives(*r.change.New, r.Quorum) == yes
}

// open reports whether nothing holds the row.
func (r *row) open() bool { return len(r.findings) == 0 }

func (r *row) wait() Wait {
	w := Wait{Change: r.change, Automatic: r.automatic, Since: r.since, Findings: r.findings}
	if !r.never {
		w.Until = r.until
	}
	return w
}

// lacks notes something that time alone does not bring.
func (r *row) lacks(code, format string, args ...any) {
	r.never = true
	f := finding(code, r.Domain, format, args...)
	if !slices.ContainsFunc(r.findings, func(g policy.Finding) bool { return g.Code == f.Code && g.Summary == f.Summary }) {
		r.findings = append(r.findings, f) // once, whatever needs it
	}
}

// later notes something that comes at a time.
func (r *row) later(at time.Time, code, format string, args ...any) {
	if at.After(r.until) {
		r.until = at
	}
	r.findings = append(r.findings, finding(code, r.Domain, format, args...))
}

// began notes that a signal has stood since a time and must stand for d.
func (r *row) began(s stretch, d time.Duration, what string) {
	if r.since.IsZero() || s.first.After(r.since) {
		r.since = s.first
	}
	switch at := s.first.Add(d); {
	case r.Now.Before(at):
		r.later(at, codeWaiting, "%s since %s, and has to for %s", what, s.first.UTC().Format(policy.TimeFormat), hours(d))
	case !s.lasts(d):
		r.later(s.next(r.Now), codeWaiting, "%s since %s and was seen last at %s, so nobody knows yet that it has for %s", what,
			s.first.UTC().Format(policy.TimeFormat), s.last.UTC().Format(policy.TimeFormat), hours(d))
	}
}

// hours spells a delay of the table.
func hours(d time.Duration) string {
	if d > 72*time.Hour {
		return plural(int(d/day), "day")
	}
	return plural(int(d/time.Hour), "hour")
}

// arrives asks that mail arrives now, for p.
func (r *row) arrives(p policy.Policy) {
	l := r.newest()
	if l == nil {
		r.lacks(codeStale, "%s", r.Domain)
		return
	}
	if most, _ := l.uncovered(p); most > 0 {
		r.notCovered(l, p)
		return
	}
	if l.arrives(p, r.Quorum) != yes {
		r.lacks(codeNeedsPass, "%s", l.tally())
	}
}

// covers asks that every live MX host is allowed by p.
func (r *row) covers(p policy.Policy) {
	l := r.newest()
	switch {
	case l == nil:
		r.lacks(codeStale, "%s", r.Domain)
	case len(l.Live) == 0:
		r.lacks(codeNeedsPass, "%s", l.tally())
	default:
		if most, _ := l.uncovered(p); most > 0 {
			r.notCovered(l, p)
		}
	}
}

func (r *row) notCovered(l *Look, p policy.Policy) {
	for _, h := range l.Live {
		if !p.Allows(h.Host) {
			r.lacks(codeNotCovered, "%s", h.Host)
		}
	}
}

// passed asks for passes on as many days, counted from since, and for no failure lately.
func (r *row) passed(p policy.Policy, passes int, since time.Time) {
	if have := r.passDays(p, since); have < passes {
		r.later(r.Now.Add(time.Duration(passes-have)*day), codePasses, "on %d days of the %d that it takes", have, passes)
	}
	if n := r.recentFail(p); n > 0 {
		r.later(r.Now.Add(time.Duration(n)*day), codeRecentFail, "%s", plural(n, "more look"))
	}
}
