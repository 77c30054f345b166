package audit

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"time"

	"github.com/starttls-everywhere/policylist/mirror"
	"github.com/starttls-everywhere/policylist/mirror/durable"
	"github.com/starttls-everywhere/policylist/policy"
	"github.com/starttls-everywhere/policylist/transparency"
)

// Delivery takes a round's alerts to somebody. The same alerts may come again: after a crash, and where another delivery
// of the round failed.
type Delivery interface {
	Deliver(ctx context.Context, m Message) error
}

// ErrUndelivered means that alerts could not be told; the cursor has not moved, and the next round tells them again.
var ErrUndelivered = errors.New("alerts were not delivered")

const (
	youngFor   = 48 * time.Hour // what clients call fresh
	tellAgain  = 24 * time.Hour // how often something that stays so is told
	maxAlerts  = 1000           // of a round where no domain is named
	maxLeadOff = time.Hour      // a clock set back by more tells standing alerts anew
)

// Monitor watches one mirror, round by round, each from where the last one ended. It reads the entries since then, holds
// them against the signed root, judges them by the rules of clients, and tells what somebody should know. The cursor in
// the state file moves last, after everything was delivered: whatever interrupts a round, the next one begins with the
// same entries.
//
// The first round replays the log from its first entry to know the list as it stands, and tells only of the present.
// Not safe for concurrent use; two processes on one state file exclude each other.
type Monitor struct {
	Mirror   mirror.Reader
	Name     string              // of the mirror, in messages
	Trust    *transparency.Trust // where belief begins
	Domains  []policy.Domain     // to be watched; none: weakened and removed policies of all
	State    string              // file; "" keeps nothing beyond this process
	Evidence string              // folder for evidence of forks
	Now      func() time.Time
	Delivers []Delivery

	kept       *cursor      // where State is ""
	afterStage func(string) // tests kill the process here; nil otherwise
}

// Round is what one round found.
type Round struct {
	Message
	First    bool           `json:"first"`    // nothing was known before: only the present was looked at
	Read     int64          `json:"read"`     // entries
	Standing []Alert        `json:"standing"` // still so, and told within the last day
	Watched  []policy.Entry `json:"-"`        // the watched domains that are listed
	Fork     bool           `json:"fork"`
}

// Round looks once. Errors wrap ErrUnreachable, ErrUndelivered, durable.ErrLocked, or are the state file's; alerts may
// have been delivered all the same.
func (m *Monitor) Round(ctx context.Context) (Round, error) {
	r := &round{Monitor: m, now: m.Now().UTC().Truncate(time.Second)}
	if m.State != "" {
		unlock, err := durable.Lock(m.State + lockSuffix)
		if err != nil {
			return Round{}, err
		}
		defer unlock()
	}
	if err := r.open(); err != nil {
		return Round{}, err
	}
	unread := r.look(ctx)
	r.stage("looked")
	if unread != nil && !errors.Is(unread, ErrUnreachable) {
		return r.out, unread
	}
	r.checkTimes()
	r.settle()
	if err := r.deliver(ctx); err != nil {
		return r.out, errors.Join(unread, err)
	}
	r.stage("delivered")
	return r.out, errors.Join(unread, r.save())
}

// round is the state of one round.
type round struct {
	*Monitor
	now   time.Time
	chain *transparency.TrustChain
	known int64   // newest trust version that was known before
	old   *cursor // nil: none
	next  *cursor // nil: old stays
	best  transparency.Cosigned
	out   Round
	all   []Alert
}

// open reads the state. A damaged one is told, and the monitor begins anew.
func (r *round) open() (err error) {
	if r.chain, err = transparency.NewTrustChain(r.Trust); err != nil {
		return err
	}
	if r.old = r.kept; r.State != "" {
		r.old, err = loadCursor(r.State)
	}
	switch {
	case errors.Is(err, ErrCursor):
		r.alert(newAlert(AlertUnseen, err.Error()))
	case err != nil:
		return err
	}
	if r.old != nil {
		r.old.extend(r.chain)
		c, err := mirror.OpenCheckpoint(r.chain, []byte(r.old.Checkpoint))
		if err != nil || c.Tree != r.old.rng.Tree() || c.Origin != r.old.release.Origin {
			// Whole, but not of this list: another --trust, or another list's file.
			return fmt.Errorf("%w: it is not about the list that the trust version given is for", ErrCursor)
		}
		r.best = c
		r.out.Origin, r.out.Release, r.out.Size = c.Origin, r.old.release.Release, c.Tree.N
	}
	r.known = r.chain.Newest().Version
	r.out.First = r.old == nil
	return nil
}

func (r *round) alert(a Alert) { r.all = append(r.all, a) }

// checkTimes adds what only the clock tells, of the newest release that is known.
func (r *round) checkTimes() {
	c := r.next
	if c == nil {
		c = r.old
	}
	if c == nil {
		return
	}
	stand := func(id, subject, detail string) {
		a := newAlert(id, detail)
		a.standing, a.subject, a.Release = true, subject, c.release.Release
		r.alert(a)
	}
	leaf, trust := c.release, r.chain.Newest()
	detail := fmt.Sprintf("release %d of %s expires %s", leaf.Release, leaf.Timestamp.Format(policy.TimeFormat), leaf.Expires.Format(policy.TimeFormat))
	quorum := r.best.QuorumTime
	switch {
	case !r.now.Before(leaf.Expires):
		stand(AlertExpired, "", detail)
	case r.now.Sub(leaf.Timestamp) > youngFor:
		stand(AlertStale, "", detail)
	case !quorum.IsZero() && r.now.Sub(quorum) > youngFor:
		stand(AlertStale, "quorum", fmt.Sprintf("its quorum of witnesses is of %s", quorum.Format(policy.TimeFormat)))
	}
	if r.now.After(trust.Expires) {
		stand(AlertTrustExpired, "", fmt.Sprintf("version %d, on %s", trust.Version, trust.Expires.Format(policy.TimeFormat)))
	}
	if trust.Witnesses.IsNone() {
		return
	}
	for _, w := range trust.Witnesses.Witnesses() {
		at, ok := r.best.Witnesses[w.Name]
		switch {
		case !ok:
			stand(AlertWitness, w.Name, fmt.Sprintf("%s did not cosign the newest checkpoint", w.Name))
		case r.now.Sub(at) > youngFor:
			stand(AlertWitness, w.Name, fmt.Sprintf("%s did so last at %s", w.Name, at.Format(policy.TimeFormat)))
		}
	}
}

// settle decides what is told now: what stays so is told once a day.
func (r *round) settle() {
	var told map[string]time.Time
	if r.old != nil {
		told = r.old.Standing
	}
	standing := map[string]time.Time{}
	for _, a := range r.all {
		a.identify(r.out.Origin)
		if !a.standing {
			r.out.Alerts = append(r.out.Alerts, a)
			continue
		}
		at, ok := told[a.key()]
		if since := r.now.Sub(at); ok && since < tellAgain && since > -maxLeadOff {
			standing[a.key()] = at
			r.out.Standing = append(r.out.Standing, a)
			continue
		}
		standing[a.key()] = r.now
		r.out.Alerts = append(r.out.Alerts, a)
	}
	if r.next == nil && r.old != nil { // nothing moves, but what was told is remembered
		c := *r.old
		r.next = &c
	}
	if r.next != nil {
		r.next.Standing = standing
	}
}

func (r *round) deliver(ctx context.Context) error {
	r.out.Mirror, r.out.Time = r.Name, r.now
	if len(r.out.Alerts) == 0 {
		return nil
	}
	var errs []error
	for _, d := range r.Delivers {
		if err := d.Deliver(ctx, r.out.Message); err != nil {
			errs = append(errs, fmt.Errorf("%w: %w", ErrUndelivered, err))
		}
	}
	return errors.Join(errs...)
}

// save moves the cursor: the list first, which the state names. A crash between them leaves the old state with a list
// that is not its own, which the next round notices and replays.
func (r *round) save() error {
	if r.next == nil {
		return nil
	}
	r.next.Trust = nil
	for _, t := range r.chain.Versions()[1:] {
		r.next.Trust = append(r.next.Trust, string(t.Note()))
	}
	if r.State == "" {
		r.kept = r.next
		return nil
	}
	if r.next.list != nil && (r.old == nil || r.old.list == nil || r.old.Leaf != r.next.Leaf) {
		if err := r.next.saveList(r.State); err != nil {
			return err
		}
	}
	r.stage("list")
	if err := r.next.save(r.State); err != nil {
		return err
	}
	r.stage("state")
	return nil
}

func (r *round) stage(name string) {
	if r.afterStage != nil {
		r.afterStage(name)
	}
}

// fork keeps the evidence, and tells where.
func (r *round) fork(f *mirror.ForkError) error {
	path, err := KeepEvidence(r.Evidence, f)
	if err != nil {
		return err
	}
	a := newAlert(AlertFork, "")
	a.standing, a.Evidence, a.subject = true, path, filepath.Base(path)
	r.alert(a)
	r.out.Fork = true
	return nil
}

// KeepEvidence writes the evidence of a fork into a folder, under a name made of its digest, and returns its path.
func KeepEvidence(folder string, f *mirror.ForkError) (string, error) {
	data := f.Evidence.Bytes()
	path := filepath.Join(folder, fmt.Sprintf("fork-%x.json", sha256.Sum256(data)))
	return path, durable.WriteFile(path, data, 0o644)
}

// watches reports whether d was named.
func (m *Monitor) watches(d policy.Domain) bool {
	return slices.ContainsFunc(m.Domains, func(w policy.Domain) bool { return w.String() == d.String() })
}
