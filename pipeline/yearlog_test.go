package pipeline_test

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"golang.org/x/mod/sumdb/tlog"

	"github.com/starttls-everywhere/policylist/mirror"
	"github.com/starttls-everywhere/policylist/mirror/audit"
	"github.com/starttls-everywhere/policylist/policy"
	"github.com/starttls-everywhere/policylist/transparency"
)

// yearLog is what a mirror tells of a year, and what is wrong with it.
type yearLog struct {
	*year
	releases []mirror.Release
	entries  [][]byte // of the log
	changes  []yearChange
	kinds    map[string]int // of what is wrong
	wrong    []string
}

// yearChange is a change leaf of a release.
type yearChange struct {
	mirror.ChangeLeaf
	at     time.Time
	before *policy.Policy
}

// readLog audits all mirrors, and takes the releases from the first.
func (y *year) readLog() *yearLog {
	y.t.Helper()
	l := &yearLog{year: y, kinds: map[string]int{}}
	for i, o := range y.outages {
		a := audit.Audit{Mirror: o.Store, Trust: y.Trust.Versions()[0]}
		if i == 0 {
			a.Lists = func(r *mirror.Release) error { l.releases = append(l.releases, *r); return nil }
		}
		report, err := a.Run(y.t.Context())
		y.must(err)
		for _, f := range report.Findings {
			l.say("audit", "%s: %s %s", o.name, f.Code, f.Summary)
		}
		if i == 0 {
			l.readChanges(report.Size)
		}
	}
	return l
}

func (l *yearLog) readChanges(size int64) {
	for n := int64(0); n*transparency.TileWidth < size; n++ {
		tile := tlog.Tile{H: transparency.TileHeight, L: -1, N: n, W: int(min(size-n*transparency.TileWidth, transparency.TileWidth))}
		data, err := l.outages[0].Store.Get(l.t.Context(), transparency.TilePath(tile), transparency.MaxBundleBytes)
		l.must(err)
		bundle, err := transparency.ParseBundle(data, tile.W)
		l.must(err)
		l.entries = append(l.entries, bundle...)
	}
	var before policy.List
	for _, r := range l.releases {
		for _, e := range l.entries[r.Leaf.From:r.Leaf.To] {
			leaf, err := mirror.ParseLeaf(e)
			l.must(err)
			c := yearChange{ChangeLeaf: *leaf.Change, at: r.Leaf.Timestamp}
			if p, ok := before.Lookup(leaf.Change.Domain); ok {
				c.before = &p
			}
			l.changes = append(l.changes, c)
		}
		before = r.List
	}
}

func (l *yearLog) say(kind, format string, args ...any) {
	l.kinds[kind]++
	l.wrong = append(l.wrong, kind+": "+fmt.Sprintf(format, args...))
}

// tally is "expired 0, enforce 0, …".
func (l *yearLog) tally() string {
	var words []string
	for _, kind := range []string{"expired", "enforce", "reason", "attack", "owed", "client", "audit"} {
		words = append(words, fmt.Sprintf("%s %d", kind, l.kinds[kind]))
	}
	return strings.Join(words, ", ")
}

func (l *yearLog) reasons() map[string]int {
	out := map[string]int{}
	for _, c := range l.changes {
		out[c.Reason]++
	}
	return out
}

// judge tells all that is wrong.
func (l *yearLog) judge() []string {
	for i, r := range l.releases {
		end := r.Leaf.Timestamp.Add(l.interval)
		if i+1 < len(l.releases) {
			end = l.releases[i+1].Leaf.Timestamp
		}
		if !end.Before(r.Leaf.Expires) {
			l.say("expired", "release %d of %s expired before the next, of %s", r.Leaf.Release, r.Leaf.Timestamp, end)
		}
		for _, e := range r.List.Entries() {
			l.enforces(e, end)
		}
		l.owes(r)
	}
	for _, c := range l.changes {
		if why := l.unexplained(c); why != "" {
			l.say("reason", "%s %s of %s: %s", c.Reason, c.Domain, c.at.Format(time.DateTime), why)
		}
	}
	for _, a := range l.truth.attacks {
		l.attacked(a)
	}
	l.polled()
	return l.wrong
}

// stuckFor is how long an entry may enforce what cannot be delivered: 48 hours from the first scan that shows it, which
// comes within one interval of releases, to a release, which comes within another.
const stuckFor = 48 * time.Hour

// enforces holds an entry against the truth until end. Where nobody could deliver, list or not, the list does no harm.
func (l *yearLog) enforces(e policy.Entry, end time.Time) {
	if e.Policy.Mode != policy.Enforce {
		return
	}
	domain, mxs, last := e.Domain.String(), words(e.Policy.MXs), end.Add(-time.Second)
	stuck := l.truth.stood(last, func(t time.Time) bool {
		ok, plain := l.truth.delivers(domain, mxs, t)
		return plain && !ok
	})
	if limit := stuckFor + 2*l.interval + l.truth.idle(last.Add(-stuck), last); stuck > limit {
		l.say("enforce", "%s enforces at %s what could not be delivered for %s", domain, last.Format(time.DateTime), stuck)
	}
}

func words(mxs []policy.MXPattern) (out []string) {
	for _, m := range mxs {
		out = append(out, m.String())
	}
	return out
}

const aDay = 24 * time.Hour

// unexplained says what the truth lacks for a change and its logged reason, by the change table of the list's rules; ""
// for nothing.
func (l *yearLog) unexplained(c yearChange) string {
	y, d, old, mode := l.truth, c.Domain.String(), []string(nil), ""
	var new []string
	if c.before != nil {
		old = words(c.before.MXs)
	}
	if c.Policy != nil {
		new, mode = words(c.Policy.MXs), c.Policy.Mode.String()
	}
	stood := func(so func(time.Time) bool) time.Duration { return y.stood(c.at, so) }
	works := func(mxs []string) func(time.Time) bool {
		return func(t time.Time) bool { ok, _ := y.delivers(d, mxs, t); return ok }
	}
	fails := func(t time.Time) bool { ok, _ := y.delivers(d, old, t); return !ok && y.owner(d, t).exists }
	proves := func(txt string, mxs []string) func(time.Time) bool {
		return func(t time.Time) bool { return y.proven(d, txt, mxs, t) }
	}
	serves := func(mxs []string, modes ...string) func(time.Time) bool {
		return func(t time.Time) bool { return y.serves(d, mxs, t, modes...) }
	}
	need := func(ok bool, why string) string {
		if ok {
			return ""
		}
		return why
	}
	switch c.Reason {
	case "add.testing":
		return need(works(new)(c.at) && (y.curated[d] || serves(new, "enforce", "testing")(c.at) || proves("testing", new)(c.at)), "nobody asked, or mail does not arrive")
	case "promote.evidence", "add.enforce":
		return need(mode == "enforce" && works(new)(c.at) && stood(works(new)) >= aDay && (stood(serves(nil, "enforce")) >= 14*aDay && serves(new, "enforce")(c.at) || stood(proves("enforce", new)) >= 28*aDay),
			"too early, or mail does not arrive")
	case "mxs.narrowed", "mxs.widened", "mxs.replaced":
		return need(works(new)(c.at) && c.before != nil && c.Policy.Mode == c.before.Mode && (stood(serves(new, "enforce", "testing")) >= aDay || stood(proves(mode, new)) >= aDay), "nobody asked for so long, or mail does not arrive")
	case "demote.owner":
		return need(stood(serves(nil, "testing")) >= aDay || stood(proves("testing", new)) >= 2*aDay, "nobody asked for so long")
	case "remove.owner":
		return need(stood(serves(nil, "none")) >= 2*aDay || stood(proves("remove", nil)) >= 3*aDay, "nobody asked for so long")
	case "demote.emergency":
		return need(fails(c.at) && (proves("emergency", nil)(c.at) || serves(nil, "testing", "none")(c.at)), "no emergency")
	case "demote.auto":
		return need(stood(fails) >= 2*aDay, "mail was not stuck for so long")
	case "remove.auto":
		return need(stood(fails) >= 30*aDay, "mail was not stuck for so long")
	case "remove.gone":
		return need(stood(func(t time.Time) bool { return !y.owner(d, t).exists }) >= 30*aDay, "the domain was there")
	case "restore.auto":
		return need(stood(works(new)) >= aDay && l.undoes(c), "mail did not arrive for so long, or there was nothing to restore")
	}
	return "no row of the table"
}

// undoes reports whether a change takes back the last one of the domain, which was made without its owner.
func (l *yearLog) undoes(c yearChange) bool {
	var last yearChange
	for _, o := range l.changes {
		if o.Domain == c.Domain && o.at.Before(c.at) {
			last = o
		}
	}
	return (last.Reason == "demote.auto" || last.Reason == "remove.auto") && c.Policy != nil && last.before != nil && last.before.Equal(*c.Policy)
}

// owes asks that what the table grants has come, with two days' grace: a gate that holds everything is no gate.
func (l *yearLog) owes(r mirror.Release) {
	at := r.Leaf.Timestamp
	if l.truth.idle(at.Add(-4*aDay), at) > 0 {
		return
	}
	for domain := range l.truth.domains {
		d, err := policy.ParseDomain(domain)
		l.must(err)
		listed, ok := r.List.Lookup(d)
		o := l.truth.owner(domain, at)
		if !o.exists {
			continue
		}
		asks := func(mode string, days int) bool {
			return o.sts == mode && l.truth.stood(at, func(t time.Time) bool { return l.truth.serves(domain, o.stsMX, t, mode) }) >= time.Duration(days)*aDay
		}
		switch {
		case asks("enforce", 17) && l.truth.stood(at, func(t time.Time) bool { ok, _ := l.truth.delivers(domain, o.stsMX, t); return ok }) >= 17*aDay:
			if !ok || listed.Mode != policy.Enforce {
				l.say("owed", "%s is not enforced at %s", domain, at)
			}
		case asks("testing", 3) && ok && listed.Mode == policy.Enforce:
			l.say("owed", "%s still enforces at %s", domain, at)
		case ok && (asks("none", 4) || o.txt == "remove" && l.truth.stood(at, func(t time.Time) bool { return l.truth.proven(domain, "remove", nil, t) }) >= 5*aDay):
			l.say("owed", "%s is still listed at %s", domain, at)
		}
	}
}

// attacked asks that nothing about the domain changes while the attack lasts.
func (l *yearLog) attacked(a yearAttack) {
	d, err := policy.ParseDomain(a.domain)
	l.must(err)
	for _, c := range l.changes {
		if c.Domain == d && !c.at.Before(a.from) && c.at.Before(a.to) {
			l.say("attack", "%s of %s at %s", c.Reason, a.domain, c.at)
		}
	}
}

// polled holds what clients had against the log: a list of a release, which had not expired, and not an old one.
func (l *yearLog) polled() {
	for _, p := range l.polls {
		i := slices.IndexFunc(l.releases, func(r mirror.Release) bool { return r.Leaf.Release == p.release })
		switch {
		case p.err != nil || p.out == mirror.Expired:
			l.say("client", "client %d at %s: %s %v", p.client, p.at, p.out, p.err)
		case i < 0 || l.releases[i].Leaf.ListDigest != p.list:
			l.say("client", "client %d at %s has a list that is not that of release %d", p.client, p.at, p.release)
		case p.at.Sub(l.releases[i].Leaf.Timestamp) > 26*time.Hour+l.truth.idle(l.releases[i].Leaf.Timestamp, p.at):
			l.say("client", "client %d at %s has release %d of %s", p.client, p.at, p.release, l.releases[i].Leaf.Timestamp)
		}
	}
}
