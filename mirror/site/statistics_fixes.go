package site

import (
	"math"
	"slices"
	"time"

	"github.com/starttls-everywhere/policylist/policy"
)

// fixRow tells how long something took that began and ended, and how much of it goes on. Days are rounded up: what took
// an hour took a day.
type fixRow struct {
	Kind   string // of fixKinds
	Ended  int    // how many came to the good end
	Median int    // days; meaningless where Few
	Ninety int    // days within which nine of ten ended
	Open   int    // go on
	Left   int    // ended otherwise: the domain left the list, or was weakened by its owner
	Since  string // RFC 3339: half of those that go on began then or earlier; "" where none does
}

// minSample is how many ends there have to be before their times are told: a median of fewer says something about single
// domains and nothing about the next one.
const minSample = 5

// Few reports whether too few ended for their times to mean anything.
func (r fixRow) Few() bool { return r.Ended < minSample }

// Ends reports whether the kind has ends that can be seen.
func (r fixRow) Ends() bool { return r.Kind != fixFailing && r.Kind != fixHeld }

// The kinds of time that the log and the newest evidence can tell.
const (
	fixDemoted = "demoted" // from demote.auto until the release that enforces again
	fixMended  = "mended"  // from demote.auto until the probes pass, of domains that are testing since then
	fixRemoved = "removed" // from remove.auto until the domain is listed again
	fixTrial   = "trial"   // from an addition in mode testing until the first enforce
	fixFailing = "failing" // entries that fail now: their end is not in the newest evidence
	fixHeld    = "held"    // changes that wait: what the gate has let go leaves no trace of its waiting
)

// spell is one stretch of time of a kind, while it is being followed.
type spell struct {
	lengths []time.Duration
	began   []time.Time // of those that go on
	left    int
}

func (s *spell) end(from, to time.Time) { s.lengths = append(s.lengths, max(0, to.Sub(from))) }

func (s *spell) row(kind string) fixRow {
	slices.Sort(s.lengths)
	slices.SortFunc(s.began, time.Time.Compare)
	r := fixRow{Kind: kind, Ended: len(s.lengths), Open: len(s.began), Left: s.left}
	if r.Ended > 0 {
		r.Median, r.Ninety = days(quantile(s.lengths, 0.5)), days(quantile(s.lengths, 0.9))
	}
	if r.Open > 0 {
		r.Since = stamp(quantile(s.began, 0.5))
	}
	return r
}

// quantile is the smallest of sorted values that at least this share of them does not exceed.
func quantile[T any](sorted []T, share float64) T {
	return sorted[max(0, int(math.Ceil(share*float64(len(sorted))))-1)]
}

func days(d time.Duration) int { return int((d + 24*time.Hour - 1) / (24 * time.Hour)) }

// countFixes follows each domain through its changes, and asks the newest evidence about what has not ended.
func countFixes(domains []Domain, findings map[string]Finding, pending *Pending) []fixRow {
	var demoted, mended, removed, trial, failing, held spell
	for i := range domains {
		d := &domains[i]
		f := findings[d.Name.String()]
		if began := followDemotions(&demoted, d); !began.IsZero() {
			followMending(&mended, began, f)
		}
		followRemovals(&removed, d)
		followTrials(&trial, d)
		if d.Policy() != nil && f.Verdict == "fail" {
			if since, err := policy.ParseTime(f.Since); err == nil {
				failing.began = append(failing.began, since)
			}
		}
	}
	rows := []fixRow{demoted.row(fixDemoted), mended.row(fixMended), removed.row(fixRemoved), trial.row(fixTrial), failing.row(fixFailing)}
	if pending == nil {
		return rows
	}
	for _, h := range pending.Held {
		if since, err := policy.ParseTime(h.Since); err == nil {
			held.began = append(held.began, since)
		}
	}
	return append(rows, held.row(fixHeld))
}

// followDemotions: a demotion by the machine ends well with the release that enforces again. A domain that leaves, or whose
// owner asks for testing meanwhile, ends it otherwise. It returns when the one that goes on began, zero for none.
func followDemotions(s *spell, d *Domain) (began time.Time) {
	for _, e := range d.Events {
		switch {
		case e.Reason == "demote.auto":
			if began.IsZero() {
				began = e.Time
			}
		case began.IsZero():
		case e.After == nil || e.Reason == "demote.owner":
			s.left++
			began = time.Time{}
		case e.After.Mode == policy.Enforce:
			s.end(began, e.Time)
			began = time.Time{}
		}
	}
	if !began.IsZero() {
		s.began = append(s.began, began)
	}
	return began
}

// followMending: what is not restored yet may pass again. The verdict holds since a time at or after the demotion: it
// was a fail that brought it.
func followMending(s *spell, began time.Time, f Finding) {
	since, err := policy.ParseTime(f.Since)
	if err == nil && (f.Verdict == "pass" || f.Verdict == "warn") && !since.Before(began) {
		s.end(began, since)
		return
	}
	s.began = append(s.began, began)
}

// followRemovals: a removal by the machine ends when the domain is listed again.
func followRemovals(s *spell, d *Domain) {
	var began time.Time
	for _, e := range d.Events {
		switch {
		case e.Reason == "remove.auto":
			began = e.Time
		case !began.IsZero() && e.After != nil:
			s.end(began, e.Time)
			began = time.Time{}
		}
	}
	if !began.IsZero() {
		s.began = append(s.began, began)
	}
}

// followTrials: an addition in mode testing ends well with the first enforce.
func followTrials(s *spell, d *Domain) {
	var began time.Time
	for _, e := range d.Events {
		switch {
		case e.Before == nil && e.After != nil && e.After.Mode == policy.Testing:
			began = e.Time
		case began.IsZero():
		case e.After == nil:
			s.left++
			began = time.Time{}
		case e.After.Mode == policy.Enforce:
			s.end(began, e.Time)
			began = time.Time{}
		}
	}
	if !began.IsZero() {
		s.began = append(s.began, began)
	}
}
