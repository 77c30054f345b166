package audit

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/starttls-everywhere/policylist/mirror"
	"github.com/starttls-everywhere/policylist/policy"
	"github.com/starttls-everywhere/policylist/transparency"
)

// Freshness looks at mirrors as somebody does who joins today, with the client itself, and says how long clients can live
// on what is there. Nothing is kept between two looks. How much a mirror may send is bounded by the client, how long it may
// take by Deadline.
type Freshness struct {
	Mirrors  []mirror.Source
	Trust    *transparency.Trust // where belief begins
	Limits   Limits
	Deadline time.Duration // for each mirror
	Now      func() time.Time
}

// Limits say from when on a thing is told.
type Limits struct {
	ReleaseOld     time.Duration // age of a release after which the next was due
	ReleaseStale   time.Duration // age of release or quorum time that clients call stale
	Life           float64       // part of the list's life that may pass without a renewal
	TrustSoon      time.Duration // before the trust version's end
	TrustLast      time.Duration // the same, closer
	CosignatureOld time.Duration // age of one witness's cosignature
	MirrorLags     time.Duration // how long a mirror may take to copy a release
	MirrorStuck    time.Duration // how much older a mirror's quorum time may be than another's
}

// DefaultLimits: the publisher renews at least daily, clients call 48 hours stale, and a ceremony of the root keys takes
// weeks to arrange.
func DefaultLimits() Limits {
	return Limits{ReleaseOld: 30 * time.Hour, ReleaseStale: youngFor, Life: 0.5, TrustSoon: 60 * 24 * time.Hour, TrustLast: 14 * 24 * time.Hour,
		CosignatureOld: youngFor, MirrorLags: 6 * time.Hour, MirrorStuck: youngFor}
}

// maxClockBehind is what a publisher lets its own clock be off.
const maxClockBehind = 10 * time.Minute

// lookersAtOnce bounds the mirrors that are read at a time: each may hold a list of its own in memory.
const lookersAtOnce = 4

// MirrorFreshness is what a mirror has. Times are zero where it could not be read, or its content is refused.
type MirrorFreshness struct {
	Mirror       string           `json:"mirror"`
	Read         bool             `json:"read"`     // it gave an answer
	Verified     bool             `json:"verified"` // a new client takes what it has
	Origin       string           `json:"origin,omitempty"`
	Release      int64            `json:"release,omitempty"`
	Size         int64            `json:"size,omitempty"` // entries of the log
	Domains      int              `json:"domains"`
	Ended        bool             `json:"ended"` // the list, by its operator
	Timestamp    time.Time        `json:"timestamp,omitzero"`
	Expires      time.Time        `json:"expires,omitzero"`
	QuorumTime   time.Time        `json:"quorum-time,omitzero"`
	Trust        int64            `json:"trust,omitempty"` // newest version
	TrustExpires time.Time        `json:"trust-expires,omitzero"`
	Cosigned     []Cosignature    `json:"cosigned"`
	Behind       Lag              `json:"behind"` // the newest of the mirrors
	Findings     []policy.Finding `json:"findings"`

	checkpoint transparency.Cosigned
	leaf       *mirror.ReleaseLeaf
	reader     mirror.Reader
}

// Cosignature is a witness of the newest trust version, and when it cosigned last.
type Cosignature struct {
	Witness string    `json:"witness"`
	Time    time.Time `json:"time,omitzero"` // zero: it did not
}

// Lag is a mirror's distance to the newest.
type Lag struct {
	Releases int64   `json:"releases"`
	Entries  int64   `json:"entries"`
	Seconds  float64 `json:"seconds"` // of quorum time
}

// FreshnessReport is what was found at all mirrors, in the order in which they were named.
type FreshnessReport struct {
	Time    time.Time           `json:"time"`
	Mirrors []*MirrorFreshness  `json:"mirrors"`
	Forks   []*mirror.ForkError `json:"-"`
}

// Findings returns those of all mirrors; the mirror is the finding's file.
func (r FreshnessReport) Findings() (all []policy.Finding) {
	for _, m := range r.Mirrors {
		all = append(all, m.Findings...)
	}
	return all
}

// Look reads the mirrors. An error is local, or ctx's; whatever a mirror does is a finding.
func (f *Freshness) Look(ctx context.Context) (FreshnessReport, error) {
	report := FreshnessReport{Time: f.Now().UTC().Truncate(time.Second), Mirrors: make([]*MirrorFreshness, len(f.Mirrors))}
	group, gctx := errgroup.WithContext(ctx)
	group.SetLimit(lookersAtOnce)
	for i, src := range f.Mirrors {
		group.Go(func() error {
			m, err := f.read(gctx, src)
			report.Mirrors[i] = m
			return err
		})
	}
	if err := group.Wait(); err != nil {
		return FreshnessReport{}, err
	}
	for _, m := range report.Mirrors {
		f.judge(m)
	}
	f.compareAll(ctx, &report)
	for _, m := range report.Mirrors {
		slices.SortStableFunc(m.Findings, policy.Finding.Compare)
	}
	return report, nil
}

func (m *MirrorFreshness) find(id, detail string, args ...any) {
	m.Findings = append(m.Findings, finding(id, m.Mirror, fmt.Sprintf(detail, args...)))
}

// judge tells the ages of what one mirror has.
func (f *Freshness) judge(m *MirrorFreshness) {
	if m.leaf == nil {
		return
	}
	now, l := f.Now(), f.Limits
	if ahead := latestOf(m.QuorumTime, m.Timestamp).Sub(now); ahead > maxClockBehind {
		m.find(FreshClock, "by %s at least", Spell(ahead))
	}
	switch left := m.TrustExpires.Sub(now); {
	case left <= 0:
		m.find(FreshTrustEnd, "version %d ended at %s", m.Trust, stamp(m.TrustExpires))
	case left <= l.TrustLast:
		m.find(FreshTrustLast, "version %d, in %s", m.Trust, Spell(left))
	case left <= l.TrustSoon:
		m.find(FreshTrustSoon, "version %d, in %s", m.Trust, Spell(left))
	}
	if m.Ended {
		// Nothing has to be renewed any more: clients keep nothing of it, whether it expires or not.
		m.Findings = slices.DeleteFunc(m.Findings, func(x policy.Finding) bool { return x.Code != FreshClock })
		m.find(FreshEnded, "with release %d of %s", m.Release, stamp(m.Timestamp))
		return
	}
	f.judgeRelease(m, now)
	for _, c := range m.Cosigned {
		switch age := now.Sub(c.Time); {
		case c.Time.IsZero():
			m.find(FreshCosignature, "%s has not cosigned this checkpoint", c.Witness)
		case age > l.CosignatureOld:
			m.find(FreshCosignature, "%s cosigned %s ago", c.Witness, Spell(age))
		}
	}
}

func (f *Freshness) judgeRelease(m *MirrorFreshness, now time.Time) {
	l, age, life := f.Limits, now.Sub(m.Timestamp), m.Expires.Sub(m.Timestamp)
	switch {
	case age > l.ReleaseStale:
		m.find(FreshStale, "release %d was made %s ago", m.Release, Spell(age))
	case age > l.ReleaseOld:
		m.find(FreshAging, "release %d was made %s ago", m.Release, Spell(age))
	}
	switch {
	case !now.Before(m.Expires):
		m.find(FreshExpired, "at %s", stamp(m.Expires))
	case age.Seconds() >= l.Life*life.Seconds():
		m.find(FreshHalfLife, "%.0f %% of %s; it expires in %s", 100*age.Seconds()/life.Seconds(), Spell(life), Spell(m.Expires.Sub(now)))
	}
	if old := now.Sub(m.QuorumTime); old > l.ReleaseStale && len(m.Cosigned) > 0 {
		m.find(FreshQuorum, "%s", Spell(old))
	}
}

// compareAll holds the mirrors against the newest of them, and against each other's histories.
func (f *Freshness) compareAll(ctx context.Context, report *FreshnessReport) {
	var newest *MirrorFreshness
	for _, m := range report.Mirrors {
		if m.leaf != nil && (newest == nil || m.newer(newest)) {
			newest = m
		}
	}
	for _, m := range report.Mirrors {
		if m.leaf == nil || m == newest {
			continue
		}
		deadline, cancel := context.WithTimeout(ctx, f.Deadline)
		fork, err := contradicts(deadline, m.audited(), newest.audited())
		cancel()
		switch {
		case fork != nil:
			report.Forks = append(report.Forks, fork)
			m.find(FreshFork, "against %s", newest.Mirror)
			continue
		case err != nil:
			m.find(FreshUnreachable, "whether it has the same history as %s: %v", newest.Mirror, err)
		}
		f.lag(m, newest)
	}
}

func (m *MirrorFreshness) newer(than *MirrorFreshness) bool {
	if m.Release != than.Release {
		return m.Release > than.Release
	}
	return m.QuorumTime.After(than.QuorumTime)
}

func (m *MirrorFreshness) audited() Audited {
	return Audited{Name: m.Mirror, Mirror: m.reader, Report: Report{Size: m.Size, checkpoint: m.checkpoint, newest: m.leaf}}
}

// lag fills in and tells the distance to the newest. One log's entries are not counted against another's.
func (f *Freshness) lag(m, newest *MirrorFreshness) {
	m.Behind.Releases = newest.Release - m.Release
	m.Behind.Seconds = max(0, newest.QuorumTime.Sub(m.QuorumTime)).Seconds()
	if m.Origin == newest.Origin {
		m.Behind.Entries = max(0, newest.Size-m.Size)
	}
	if m.Behind.Releases == 0 {
		return
	}
	missing := f.Now().Sub(newest.Timestamp) // for so long it could have had the newest
	late := newest.QuorumTime.Sub(m.QuorumTime)
	switch detail := fmt.Sprintf("release %d with %d log entries; %s has %d with %d", m.Release, m.Size, newest.Mirror, newest.Release, newest.Size); {
	case late > f.Limits.MirrorStuck:
		m.find(FreshStuck, "%s, vouched for %s later", detail, Spell(late))
	case missing > f.Limits.MirrorLags:
		m.find(FreshLags, "%s for %s", detail, Spell(missing))
	}
}

// Spell writes a duration in the unit that people would use.
func Spell(d time.Duration) string {
	switch {
	case d >= 72*time.Hour:
		return fmt.Sprintf("%.1f days", d.Hours()/24)
	case d >= 2*time.Hour:
		return fmt.Sprintf("%.1f hours", d.Hours())
	}
	return d.Round(time.Second).String()
}

func stamp(t time.Time) string { return t.UTC().Format(policy.TimeFormat) }

func latestOf(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

// errNothing stands for a mirror that answers and has nothing.
var errNothing = errors.New("nothing is published there")
