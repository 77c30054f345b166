package mirror

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"github.com/starttls-everywhere/policylist/mirror/durable"
	"github.com/starttls-everywhere/policylist/policy"
	"github.com/starttls-everywhere/policylist/transparency"
)

const (
	// freshFor is how old quorum time and release may be: the publisher renews at least daily, the client asks four
	// times a day, and one of each may be lost.
	freshFor = 48 * time.Hour
	// askAllAfter is the age of a release from which one mirror's word is not enough.
	askAllAfter = 25 * time.Hour
	// maxAhead bounds how far the known quorum time may run ahead of the local clock and still be believed.
	maxAhead = 24 * time.Hour
	// mirrorDeadline bounds one mirror, so that a slow one leaves time for the next.
	mirrorDeadline = 15 * time.Minute
	// finalInterval is how seldom mirrors are asked for a list that has ended.
	finalInterval = 7 * 24 * time.Hour
)

// Method is how an update gets a new list.
type Method string

const (
	Auto     Method = ""         // delta when it is cheaper, else snapshot
	Delta    Method = "delta"    // entries since the held tree, replayed
	Snapshot Method = "snapshot" // the whole list by its digest
)

var (
	// ErrNoMirror means that no mirror gave a usable state; what is held stays in force until it expires.
	ErrNoMirror = errors.New("no usable mirror")
	// ErrTrustExpired means that the newest trust version has expired: the list stays, and no release made under that
	// version after its end counts.
	ErrTrustExpired = errors.New("the newest trust version has expired")
	// ErrSecurity means that two signed, provably inconsistent statements exist; Outcome.EvidenceFile holds them.
	ErrSecurity = errors.New("the log has two histories")
)

// Source is one mirror to ask.
type Source struct {
	Name   string
	Reader Reader
}

// Client keeps one list up to date in a folder. Update takes the folder's lock; the other methods only read.
type Client struct {
	Dir        string           // state folder: list, trust, state, evidence; Join makes it
	Sources    []Source         // asked in this order, from First on, until one has a young release
	First      int              // index of the source to begin with; spread over clients at random
	Now        func() time.Time // the local clock; must be set
	Log        *slog.Logger     // must be set; slog.DiscardHandler is silent
	Method     Method           // Auto, unless somebody wants to know
	Accept     int64            // a release that the diff guard may let pass, 0 for none
	KeepStale  bool             // expired = "keep": an expired list stays in force
	Sinks      []Sink           // given each list that comes into force before the state is written; an error ends the update
	afterStage func(string)     // tests kill the process here; nil otherwise
}

// Update brings the list up to date. On an error the list that is held stays in force, and Outcome tells everything
// but its entries: View.List is then empty. Errors wrap ErrNoMirror (and ErrTrustExpired where that is why), ErrSecurity,
// durable.ErrLocked, or are local.
func (c *Client) Update(ctx context.Context) (Outcome, error) {
	unlock, err := durable.Lock(filepath.Join(c.Dir, "lock"))
	if err != nil {
		return Outcome{View: View{Freshness: None}}, err
	}
	defer unlock()
	h, out, err := c.load()
	if err != nil {
		return out, err
	}
	if err := sweep(c.Dir, h.chain); err != nil {
		c.Log.Warn("temporary files of an earlier update stay", "err", err) // they cost their space, nothing else
	}
	// What needs no network comes first: an expired list must go even when every mirror is gone.
	if out.Freshness == Expired && !c.KeepStale {
		if err := c.sink(out.View); err != nil {
			return out, err
		}
	}
	for _, t := range h.chain.Versions() {
		if err := storeTrust(c.Dir, t); err != nil {
			return out, err
		}
	}
	if c.rests(h) {
		if out.List, err = h.inForce(); err != nil {
			return out, err
		}
		out.Method = "none"
		return out, c.sink(out.View)
	}
	best, name, err := c.ask(ctx, h, &out)
	c.describeTrust(h.chain, &out)
	if err != nil {
		return out, err
	}
	out.Method, out.Mirror, out.Alarms, out.MoreAlarms = best.method, name, best.alarms, best.more
	return out, c.apply(h, best, &out)
}

// Load returns the view as it stands, without asking anybody or waiting for an update that runs.
func (c *Client) Load() (Outcome, error) {
	h, out, err := c.load()
	if err != nil || !h.any() || out.Freshness == Expired && !c.KeepStale {
		return out, err
	}
	out.List, err = h.inForce()
	return out, err
}

// Chain returns the verified trust versions of the folder.
func (c *Client) Chain() (*transparency.TrustChain, error) {
	chain, err := loadTrust(c.Dir)
	if chain == nil {
		return nil, err
	}
	return chain, nil
}

// load reads the folder. What is damaged in it is told in Outcome.Damaged; the rest is as good as it can be without it.
func (c *Client) load() (*held, Outcome, error) {
	out := Outcome{View: View{Freshness: None}}
	chain, errTrust := loadTrust(c.Dir)
	if chain == nil {
		return nil, out, errTrust
	}
	c.describeTrust(chain, &out)
	st, errState := loadState(c.Dir)
	if st == nil {
		return nil, out, errState
	}
	out.Damaged, out.ClockBehind = errors.Join(errTrust, errState), c.behind(st)
	h := &held{state: st, chain: chain, now: c.Now(), list: sync.OnceValues(func() (policy.List, error) { return st.loadList(c.Dir) })}
	if st.release == nil {
		return h, out, nil
	}
	freshness := c.freshness(st)
	if err := st.checkList(c.Dir); err != nil {
		out.Damaged = errors.Join(out.Damaged, err)
		// Without its list the tree state is of no use: start anew, keep the number. What the mail server reads may
		// still come from that list, so its end counts.
		h.state = &state{Highest: st.Highest, Floor: st.Floor}
		if freshness == Expired {
			out.Release, out.Freshness = st.release, Expired
		}
		c.pin(h, &out)
		return h, out, nil
	}
	out.Release, out.Previous, out.QuorumTime, out.Freshness = st.release, st.release.Release, st.QuorumTime, freshness
	out.Held, out.HeldRelease = st.HeldWhy, st.Held
	out.Checked, out.LogSize = st.Checked, st.rng.Size()
	out.Proof = PointerPath
	c.pin(h, &out)
	return h, out, nil
}

// pin lets an earlier list be the one in force where the machine was put back to it.
func (c *Client) pin(h *held, out *Outcome) {
	var err error
	if h.pin, err = c.findPin(h); h.pin != nil {
		h.pin.show(out)
	}
	out.Damaged = errors.Join(out.Damaged, err)
}

func (c *Client) describeTrust(chain *transparency.TrustChain, out *Outcome) {
	newest := chain.Newest()
	out.TrustVersion = newest.Version
	out.TrustExpired = c.Now().After(newest.Expires)
	out.Witnessed = !newest.Witnesses.IsNone()
}

// now is the local clock, or the highest quorum time ever verified when that is later, but never more than a day
// ahead: a clock that was set back must not make an old list young.
func (c *Client) now(s *state) time.Time {
	local := c.Now()
	if s.Floor.After(local) {
		if limit := local.Add(maxAhead); s.Floor.After(limit) {
			return limit
		}
		return s.Floor
	}
	return local
}

// behind is how far the local clock is behind the highest quorum time ever verified.
func (c *Client) behind(s *state) time.Duration {
	if s.Floor.IsZero() {
		return 0
	}
	return max(0, s.Floor.Sub(c.Now()))
}

func (c *Client) freshness(s *state) Freshness {
	now := c.now(s)
	switch {
	case !now.Before(s.release.Expires):
		return Expired
	case now.Sub(s.QuorumTime) > freshFor || now.Sub(s.release.Timestamp) > freshFor:
		return Stale
	}
	return Fresh
}

// rests reports whether the list has ended and a mirror said so not long ago. Whoever asks for more by hand gets it.
func (c *Client) rests(h *held) bool {
	if h.release == nil || !h.release.IsFinal() || c.Accept != 0 || c.Method != Auto {
		return false
	}
	since := c.Now().Sub(h.Checked)
	return since >= 0 && since < finalInterval
}

func (c *Client) sink(v View) error {
	for _, s := range c.Sinks {
		if err := s(v); err != nil {
			return err
		}
	}
	return nil
}

// ask goes through the mirrors, beginning at First, and returns the best verified candidate. A young release from
// one mirror ends the round.
func (c *Client) ask(ctx context.Context, h *held, out *Outcome) (best *candidate, name string, err error) {
	none := ErrNoMirror
	for i := range c.Sources {
		src := c.Sources[(c.First+i)%len(c.Sources)]
		cand, err := c.askOne(ctx, src, h, best)
		var fork *ForkError
		switch {
		case errors.As(err, &fork):
			out.EvidenceFile, err = c.keepEvidence(fork)
			return nil, "", errors.Join(fmt.Errorf("%w: %w (mirror %s)", ErrSecurity, fork, src.Name), err)
		case err != nil:
			out.Problems = append(out.Problems, src.Name+": "+err.Error())
			if errors.Is(err, ErrTrustExpired) {
				none = fmt.Errorf("%w: %w", ErrNoMirror, ErrTrustExpired)
			}
			c.Log.Warn("mirror not usable", "mirror", src.Name, "err", err)
			if ctx.Err() == nil {
				continue
			}
			if best == nil {
				return nil, "", fmt.Errorf("%w: %w", ErrNoMirror, context.Cause(ctx))
			}
			return best, name, nil // the time is up, but one mirror gave something
		}
		if best == nil || cand != nil && (cand.healed || cand.Leaf.Release > best.Leaf.Release) {
			best, name = cand, src.Name
		}
		if c.now(h.state).Sub(best.Leaf.Timestamp) < askAllAfter {
			break
		}
	}
	if best == nil {
		return nil, "", fmt.Errorf("%w (%d asked)", none, len(c.Sources))
	}
	return best, name, nil
}

// askOne reads the pointer first: a trust version that it names was there before it.
func (c *Client) askOne(ctx context.Context, s Source, h *held, best *candidate) (*candidate, error) {
	ctx, cancel := context.WithTimeout(ctx, mirrorDeadline)
	defer cancel()
	data, good, err := c.pointerOf(ctx, s, h)
	if err != nil {
		return nil, err
	}
	keep := func(t *transparency.Trust) error { return storeTrust(c.Dir, t) }
	if err := FollowTrust(ctx, s.Reader, h.chain, keep); err != nil {
		return nil, err
	}
	cand, err := fetch(ctx, s.Reader, data, h, best, c.Method)
	if err == nil {
		good()
	}
	return cand, err
}

// apply puts the candidate in force: guard, list, what the mail server reads, state last. A crash before the state
// is written leaves the old state, whose list is still there under its second name.
func (c *Client) apply(h *held, cand *candidate, out *Outcome) error {
	next := *h.state
	next.QuorumTime, next.Checked = latest(h.QuorumTime, cand.quorum), c.Now().UTC().Truncate(time.Second)
	if cand.healed || h.release != nil && h.release.Origin != cand.Leaf.Origin {
		next.QuorumTime = cand.quorum // what the held release says of the time counts no more
	}
	next.Floor = latest(h.Floor, cand.quorum)
	if cand.method != "none" || cand.quorum.After(h.QuorumTime) {
		next.Checkpoint = string(cand.checkpoint.Note) // else a mirror could take newer cosignatures away
	}
	list, err := c.choose(h, cand, &next)
	if err != nil {
		return err
	}
	if next.release == nil {
		return errors.New("the first list is held back") // choose never holds a first list
	}
	out.Release, out.QuorumTime, out.Held, out.HeldRelease = next.release, next.QuorumTime, next.HeldWhy, next.Held
	out.Checked, out.LogSize = next.Checked, next.rng.Size()
	out.Freshness, out.ClockBehind = c.freshness(&next), c.behind(&next)
	out.List = list
	if out.Freshness == Expired && !c.KeepStale {
		out.List = policy.List{}
	}
	if next.release.Release == cand.Leaf.Release && !cand.quorum.Before(next.QuorumTime) {
		// Beside the list, so that anybody can verify the two files later without asking a mirror.
		if err := durable.WriteFile(filepath.Join(c.Dir, PointerPath), cand.pointer, 0o644); err != nil {
			return err
		}
	}
	if err := c.settlePin(h, cand, out); err != nil {
		return err
	}
	c.stage("list")
	if err := c.sink(out.View); err != nil {
		return err
	}
	c.stage("sinks")
	if err := next.save(c.Dir); err != nil {
		return err
	}
	if err := c.prune(h); err != nil { // what stays costs its space, nothing else
		c.Log.Warn("earlier lists were not tidied up", "err", err)
	}
	return nil
}

// choose returns the list to be in force and fills in next: the candidate's, or the held one when nothing is new or
// the guard keeps the candidate back.
func (c *Client) choose(h *held, cand *candidate, next *state) (policy.List, error) {
	if cand.method == "none" {
		return h.list() // a release that was held back stays so: this mirror may just not have it yet
	}
	before := policy.List{}
	if h.release != nil {
		var err error
		if before, err = h.list(); err != nil {
			return before, err
		}
	}
	if why := guard(before, cand.Release); why != "" && c.Accept != cand.Leaf.Release && !cand.healed {
		next.Held, next.HeldWhy = cand.Leaf.Release, why
		next.QuorumTime, next.Checkpoint = h.QuorumTime, h.Checkpoint
		return before, nil
	}
	next.release, next.Leaf, next.Index, next.rng = cand.Leaf, string(cand.Raw), cand.Index, cand.rng
	if next.Highest = cand.Leaf.Release; !cand.healed {
		next.Highest = max(h.Highest, cand.Leaf.Release)
	}
	next.Held, next.HeldWhy = 0, ""
	if !cand.healed && !before.Equal(cand.List) {
		if err := h.keep(c.Dir); err != nil { // the update is worth more
			c.Log.Warn("no way back to the list before this one", "release", h.release.Release, "err", err)
		}
	}
	return cand.List, h.replaceList(c.Dir, cand.Release)
}

func (c *Client) stage(name string) {
	if c.afterStage != nil {
		c.afterStage(name)
	}
}

func latest(times ...time.Time) time.Time {
	return slices.MaxFunc(times, time.Time.Compare)
}
