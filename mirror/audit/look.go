package audit

import (
	"context"
	"errors"
	"fmt"

	"golang.org/x/mod/sumdb/tlog"

	"github.com/starttls-everywhere/policylist/mirror"
	"github.com/starttls-everywhere/policylist/policy"
	"github.com/starttls-everywhere/policylist/transparency"
)

// look reads the mirror and fills in alerts and the next cursor. An error wraps ErrUnreachable, or is local.
func (r *round) look(ctx context.Context) error {
	data, err := r.Mirror.Get(ctx, mirror.PointerPath, transparency.MaxProofBytes)
	if err != nil && !mirror.IsAbsent(err) && !errors.Is(err, mirror.ErrTooLarge) {
		return fmt.Errorf("%w: %w", ErrUnreachable, err)
	}
	if err != nil {
		if mirror.IsAbsent(err) && r.old == nil && r.unborn(ctx) {
			return nil
		}
		r.invalid(err)
		return nil
	}
	ignore := func(*transparency.Trust) error { return nil } // the chain itself is kept
	if err := mirror.FollowTrust(ctx, r.Mirror, r.chain, ignore); err != nil {
		if errors.Is(err, transparency.ErrTrust) || errors.Is(err, mirror.ErrTooLarge) {
			r.invalid(err)
			return nil
		}
		return fmt.Errorf("%w: %w", ErrUnreachable, err)
	}
	r.tellTrust()
	rel, err := mirror.OpenProof(data, r.chain)
	if err == nil && rel.Index != rel.Checkpoint.Tree.N-1 {
		err = fmt.Errorf("the release leaf %d is not the last of %d entries", rel.Index, rel.Checkpoint.Tree.N)
	}
	if err != nil {
		r.invalid(fmt.Errorf("%s: %w", mirror.PointerPath, err))
		return nil
	}
	return r.compare(ctx, rel)
}

// unborn reports whether the mirror stands ready and nothing was published on it yet: it has the trust and no checkpoint.
func (r *round) unborn(ctx context.Context) bool {
	_, err := r.Mirror.Get(ctx, mirror.CheckpointPath, transparency.MaxCheckpointBytes)
	if !mirror.IsAbsent(err) {
		return false
	}
	data, err := r.Mirror.Get(ctx, mirror.TrustPath(r.Trust.Version), transparency.MaxTrustBytes)
	if err != nil {
		return false
	}
	t, err := transparency.ParseTrust(data)
	return err == nil && t.Digest() == r.Trust.Digest()
}

func (r *round) invalid(err error) {
	a := newAlert(AlertInvalid, err.Error())
	a.standing = true
	r.alert(a)
}

// tellTrust tells of versions that were not known before. In a first round all of them are history.
func (r *round) tellTrust() {
	if r.old == nil {
		return
	}
	for _, t := range r.chain.Versions() {
		if t.Version > r.known {
			a := newAlert(AlertTrust, fmt.Sprintf("version %d, fingerprint %x", t.Version, t.Digest()))
			a.subject = fmt.Sprint(t.Version)
			r.alert(a)
		}
	}
}

// compare decides what the mirror's tree is to the one that was seen last: the same, longer, shorter, another log's, or
// another history.
func (r *round) compare(ctx context.Context, rel *mirror.Proven) error {
	c := rel.Checkpoint
	if r.old == nil {
		return r.follow(ctx, rel, nil)
	}
	seen := r.old.rng.Tree()
	switch {
	case c.Origin != r.old.release.Origin && rel.Leaf.Release <= r.old.release.Release:
		r.behind(fmt.Sprintf("release %d of the log %s", rel.Leaf.Release, c.Origin))
	case c.Origin != r.old.release.Origin:
		return r.follow(ctx, rel, r.old)
	case c.Tree.N < seen.N:
		// The mirror need not have the tiles of the larger tree any more; then nothing contradicts.
		var fork *mirror.ForkError
		if errors.As(mirror.CheckConsistent(ctx, r.Mirror, c.Tree, string(c.Note), r.best), &fork) {
			return r.fork(fork)
		}
		r.behind(fmt.Sprintf("%d log entries, %d were seen", c.Tree.N, seen.N))
	case c.Tree == seen:
		next := *r.old
		if next.list != nil {
			r.keep(&next, rel)
			return nil
		}
		return r.follow(ctx, rel, r.old)
	case c.Tree.N == seen.N:
		return r.contradicts(ctx, rel)
	default:
		return r.follow(ctx, rel, r.old)
	}
	return nil
}

func (r *round) behind(detail string) {
	a := newAlert(AlertBehind, detail)
	a.standing = true
	r.alert(a)
}

// contradicts finds out why the mirror's tree does not continue the one that was seen: two signed histories, or tiles
// that do not fit.
func (r *round) contradicts(ctx context.Context, rel *mirror.Proven) error {
	err := mirror.CheckConsistent(ctx, r.Mirror, r.best.Tree, r.old.Checkpoint, rel.Checkpoint)
	var fork *mirror.ForkError
	if errors.As(err, &fork) {
		return r.fork(fork)
	}
	if err == nil {
		err = errors.New("the log's entries do not lead to the signed root")
	}
	r.invalid(err)
	return nil
}

// keep makes c the next cursor, under the mirror's checkpoint.
func (r *round) keep(c *cursor, rel *mirror.Proven) {
	c.Checkpoint = string(rel.Checkpoint.Note)
	r.next, r.best = c, rel.Checkpoint
	r.out.Origin, r.out.Release, r.out.Size = c.release.Origin, c.release.Release, c.rng.Size()
	for _, d := range r.Domains {
		if p, ok := c.list.Lookup(d); ok {
			r.out.Watched = append(r.out.Watched, policy.Entry{Domain: d, Policy: p})
		}
	}
}

// follow replays the log up to the mirror's tree: from the cursor where its list is at hand, else from the first entry.
// Only what comes after the cursor is told.
func (r *round) follow(ctx context.Context, rel *mirror.Proven, from *cursor) error {
	w := &watch{round: r, rules: mirror.NewReplay(r.chain, nil).Of(rel.Checkpoint.Origin)}
	switch sameLog := from != nil && from.release.Origin == rel.Leaf.Origin; {
	case sameLog && from.list != nil:
		last := &mirror.Release{Leaf: from.release, Raw: []byte(from.Leaf), Index: from.rng.Size() - 1, List: *from.list}
		w.rules, w.rng, w.since, w.seen = mirror.NewReplay(r.chain, last), from.rng.Clone(), from.rng.Size(), from.rng.Tree()
	case sameLog:
		w.since, w.seen = from.rng.Size(), from.rng.Tree()
	default: // a first round, or a new log, which begins with the whole list
		w.since = rel.Checkpoint.Tree.N
	}
	if err := w.read(ctx, rel.Checkpoint.Tree.N); err != nil {
		return r.unread(err)
	}
	if w.rng.Tree() != rel.Checkpoint.Tree || w.strayed {
		if r.old == nil || r.old.release.Origin != rel.Leaf.Origin {
			r.invalid(errors.New("the log's entries do not lead to the signed root"))
			return nil
		}
		return r.contradicts(ctx, rel)
	}
	last := w.rules.Last()
	if last == nil || last.Index != rel.Index {
		alarms, _ := w.rules.Alarms()
		a := newAlert(AlertTail, fmt.Sprintf("entry %d: %v", rel.Index, why(alarms, rel.Index)))
		a.standing, a.Entry = true, &rel.Index
		r.alert(a)
		return nil
	}
	w.finish(from, last)
	r.out.Read = w.count
	r.keep(&cursor{Leaf: string(last.Raw), release: last.Leaf, rng: w.rng, list: &last.List}, rel)
	return nil
}

// unread tells a mirror that lacks or garbles entries from one that does not answer.
func (r *round) unread(err error) error {
	if mirror.IsAbsent(err) || errors.Is(err, mirror.ErrTooLarge) || errors.Is(err, transparency.ErrBundle) {
		r.invalid(err)
		return nil
	}
	return fmt.Errorf("%w: %w", ErrUnreachable, err)
}

func why(alarms []mirror.Alarm, index int64) error {
	for _, a := range alarms {
		if a.Index == index {
			return a.Err
		}
	}
	return errors.New("it is not valid")
}

// watch replays entries and collects what is to be told of them.
type watch struct {
	*round
	rules   *mirror.Replay
	rng     transparency.CompactRange
	seen    tlog.Tree // the cursor's tree, to be passed on the way; the empty one for none
	strayed bool      // it was not
	since   int64     // entries from here on are told of
	before  policy.List
	alerts  []Alert
	more    int
	count   int64
}

// read takes the entries up to size, a bundle at a time.
func (w *watch) read(ctx context.Context, size int64) error {
	if last := w.rules.Last(); last != nil {
		w.before = last.List
	}
	for at := w.rng.Size(); at < size; {
		end := min((at/transparency.TileWidth+1)*transparency.TileWidth, size)
		entries, err := mirror.ReadEntries(ctx, w.Mirror, at, end)
		if err != nil {
			return err
		}
		for _, e := range entries {
			w.add(e)
		}
		at = end
	}
	return nil
}

func (w *watch) add(entry []byte) {
	w.rng = w.rng.Append(tlog.RecordHash(entry))
	w.count++
	if w.seen.N > 0 && w.rng.Size() == w.seen.N && w.rng.Tree() != w.seen {
		w.strayed = true
	}
	rel := w.rules.Add(entry)
	if rel == nil {
		return
	}
	if rel.Index >= w.since {
		w.tellRelease(rel)
	}
	w.before = rel.List
}

// tellRelease tells what a release does to the domains that are watched.
func (w *watch) tellRelease(rel *mirror.Release) {
	if rel.Leaf.Override != "" {
		a := newAlert(AlertOverride, fmt.Sprintf("release %d: %s", rel.Leaf.Release, rel.Leaf.Override))
		a.Release, a.Entry, a.Reason = rel.Leaf.Release, &rel.Index, rel.Leaf.Override
		w.alerts = append(w.alerts, a)
	}
	for i, leaf := range w.rules.Changes() {
		entry := rel.Leaf.From + int64(i)
		w.tellChange(difference(w.before, rel.List, leaf.Domain), rel.Leaf.Release, &entry, leaf.Reason)
	}
}

// difference is what became of one domain.
func difference(before, after policy.List, d policy.Domain) []policy.Change {
	one := func(l policy.List) []policy.Entry {
		if p, ok := l.Lookup(d); ok {
			return []policy.Entry{{Domain: d, Policy: p}}
		}
		return nil
	}
	return policy.Diff(one(before), one(after))
}

func (w *watch) tellChange(changes []policy.Change, release int64, entry *int64, reason string) {
	for _, c := range changes {
		named := w.watches(c.Domain)
		if len(w.Domains) > 0 && !named {
			continue
		}
		code := AlertChanged
		switch {
		case c.Class.Has(policy.Removed):
			code = AlertRemoved
		case c.Class.Has(policy.Weakened | policy.MXsWidened | policy.MXsReplaced):
			code = AlertWeakened
		case !named:
			continue
		}
		if !named && len(w.alerts) >= maxAlerts {
			w.more++
			continue
		}
		a := newAlert(code, fmt.Sprintf("%s: %s in release %d", c.Domain, c.Class, release))
		a.Release, a.Entry, a.Domain, a.Change, a.Reason = release, entry, c.Domain.String(), &c, reason
		w.alerts = append(w.alerts, a)
	}
}

// finish adds entries without effect, and after a change of logs what differs from the old one's last list.
func (w *watch) finish(from *cursor, last *mirror.Release) {
	alarms, more := w.rules.Alarms()
	newLog := from != nil && from.release.Origin != last.Leaf.Origin
	if from != nil {
		for _, x := range alarms {
			if x.Index < w.since && !newLog {
				continue
			}
			a := newAlert(AlertNoEffect, fmt.Sprintf("entry %d: %v", x.Index, x.Err))
			a.Entry = &x.Index
			w.alerts = append(w.alerts, a)
		}
		w.more += more
	}
	switch {
	case newLog && from.list != nil:
		w.tellChange(from.list.Diff(last.List), last.Leaf.Release, nil, "")
	case newLog:
		w.alerts = append(w.alerts, newAlert(AlertUnseen, "a new log has begun, and the old one's last list is lost"))
	}
	w.all = append(w.all, w.alerts...)
	w.out.More = w.more
}
