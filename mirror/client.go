package mirror

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
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
)

// Method is how an update gets a new list.
type Method string

const (
	Auto     Method = ""         // delta when it is cheaper, else snapshot
	Delta    Method = "delta"    // entries since the held tree, replayed
	Snapshot Method = "snapshot" // the whole list by its digest
)

// Freshness is what a client may still believe of its list.
type Freshness string

const (
	Fresh   Freshness = "fresh"
	Stale   Freshness = "stale"   // warn; the list stays in force
	Expired Freshness = "expired" // every domain is answered as not listed
	None    Freshness = "none"    // no list yet
)

var (
	// ErrNoMirror means that no mirror gave a usable state; what is held stays in force until it expires.
	ErrNoMirror = errors.New("no usable mirror")
	// ErrSecurity means that two signed, provably inconsistent statements exist; Outcome.EvidenceFile holds them.
	ErrSecurity = errors.New("the log has two histories")
)

// Source is one mirror to ask.
type Source struct {
	Name   string
	Reader Reader
}

// View is the verified list that a client holds.
type View struct {
	List      policy.List // empty when expired: Header and Release still say which list that was
	Release   *ReleaseLeaf
	Freshness Freshness
}

// Sink writes what a mail server reads. It is called with the new view before the state is written, and again with
// the same view after a crash, so it must be idempotent and atomic.
type Sink func(View) error

// Client keeps one list up to date in a folder. All its methods take the folder's lock.
type Client struct {
	Dir        string // state folder: list, trust, state, evidence
	Sources    []Source
	First      int // index of the source to begin with; spread over clients at random
	Now        func() time.Time
	Log        *slog.Logger
	Method     Method
	Accept     int64 // a release that the diff guard may let pass, 0 for none
	KeepStale  bool  // expired = "keep": an expired list stays in force
	Sinks      []Sink
	afterStage func(string) // tests kill the process here; nil otherwise
}

// Outcome is what an update found and did.
type Outcome struct {
	View
	Previous     int64  // release held before, 0 if none
	Method       string // "none", "delta", "snapshot"; "" when no mirror gave anything
	Mirror       string // the source that gave it
	QuorumTime   time.Time
	Witnessed    bool // false: the trust asks for no witness
	TrustVersion int64
	TrustExpired bool // "stale trust": warn, keep the list
	Alarms       []Alarm
	MoreAlarms   int
	Held         string   // why the diff guard kept a release back, "" if none
	HeldRelease  int64    // that release
	Damaged      error    // what was wrong with the local state, which is repaired now
	Problems     []string // what each unusable mirror did, "name: …"
	EvidenceFile string
}

// Join starts a client folder: it looks for the trust version whose text has the given SHA-256, by asking for
// version 1, 2, 3 and so on, and trusts that one. Nothing is written unless it is found and signed by its own roots.
func Join(ctx context.Context, dir string, r Reader, fingerprint [32]byte) (*transparency.Trust, error) {
	for v := int64(1); ; v++ {
		data, err := r.Get(ctx, TrustPath(v), transparency.MaxTrustBytes)
		if IsAbsent(err) {
			return nil, fmt.Errorf("none of the %d trust versions of this mirror has the fingerprint %x: it is another list, or not the fingerprint you were given", v-1, fingerprint)
		}
		if err != nil {
			return nil, err
		}
		t, err := transparency.ParseTrust(data)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", TrustPath(v), err)
		}
		if t.Digest() != fingerprint {
			continue
		}
		if err := t.VerifySelf(); err != nil {
			return nil, fmt.Errorf("%s: %w", TrustPath(v), err)
		}
		return t, storeTrust(dir, t)
	}
}

func storeTrust(dir string, t *transparency.Trust) error {
	if err := os.MkdirAll(filepath.Join(dir, trustDir), 0o755); err != nil {
		return err
	}
	return durable.WriteFile(filepath.Join(dir, TrustPath(t.Version)), t.Note(), 0o644)
}

// Update brings the list up to date. On an error the list that is held stays in force, and Outcome still tells its
// freshness. Errors wrap ErrNoMirror, ErrSecurity, durable.ErrLocked, or are local.
func (c *Client) Update(ctx context.Context) (Outcome, error) {
	unlock, err := durable.Lock(filepath.Join(c.Dir, "lock"))
	if err != nil {
		return Outcome{}, err
	}
	defer unlock()
	h, out, err := c.load()
	if err != nil {
		return out, err
	}
	// What needs no network comes first: an expired list must go even when every mirror is gone.
	if err := c.expire(h, &out); err != nil {
		return out, err
	}
	best, name, err := c.ask(ctx, h, &out)
	c.describeTrust(h.chain, &out)
	if err != nil {
		return out, err
	}
	out.Method, out.Mirror, out.Alarms, out.MoreAlarms = best.method, name, best.alarms, best.more
	return out, c.apply(h, best, &out)
}

// Load returns the view as it stands, without asking anybody.
func (c *Client) Load() (Outcome, error) {
	h, out, err := c.load()
	if err != nil || h.release == nil {
		return out, err
	}
	c.describeTrust(h.chain, &out)
	if out.Freshness == Expired && !c.KeepStale {
		return out, nil
	}
	out.List, err = h.list()
	return out, err
}

// Chain returns the verified trust versions of the folder.
func (c *Client) Chain() (*transparency.TrustChain, error) { return loadTrust(c.Dir) }

func (c *Client) load() (*held, Outcome, error) {
	out := Outcome{View: View{Freshness: None}}
	chain, err := loadTrust(c.Dir)
	if err != nil {
		return nil, out, err
	}
	st, err := loadState(c.Dir)
	if err != nil && !errors.Is(err, ErrDamaged) {
		return nil, out, err
	}
	out.Damaged = err
	h := &held{state: st, chain: chain}
	if st.release != nil {
		list, err := st.loadList(c.Dir)
		if err != nil {
			// The tree state is good, but without the list no delta is possible: start anew, keep the number.
			out.Damaged = err
			h.state = &state{Highest: st.Highest, Floor: st.Floor}
		}
		h.list = func() (policy.List, error) { return list, err }
	}
	if h.release != nil {
		out.Release, out.Previous, out.QuorumTime = h.release, h.release.Release, h.QuorumTime
		out.Held, out.HeldRelease = h.HeldWhy, h.Held
		out.Freshness = c.freshness(h.state)
	}
	return h, out, nil
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

// expire empties what the mail server reads when the held list has expired.
func (c *Client) expire(h *held, out *Outcome) error {
	if out.Freshness != Expired || c.KeepStale {
		return nil
	}
	return c.sink(out.View)
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
	for i := range c.Sources {
		src := c.Sources[(c.First+i)%len(c.Sources)]
		cand, err := c.askOne(ctx, src.Reader, h)
		var fork *ForkError
		switch {
		case errors.As(err, &fork):
			out.EvidenceFile, err = c.keepEvidence(fork)
			return nil, "", errors.Join(fmt.Errorf("%w: %w (mirror %s)", ErrSecurity, fork, src.Name), err)
		case err != nil:
			out.Problems = append(out.Problems, src.Name+": "+err.Error())
			c.Log.Warn("mirror not usable", "mirror", src.Name, "err", err)
			continue
		}
		if best == nil || cand.Leaf.Release > best.Leaf.Release {
			best, name = cand, src.Name
		}
		if c.now(h.state).Sub(best.Leaf.Timestamp) < askAllAfter {
			break
		}
	}
	if best == nil {
		return nil, "", fmt.Errorf("%w (%d asked)", ErrNoMirror, len(c.Sources))
	}
	return best, name, nil
}

func (c *Client) askOne(ctx context.Context, r Reader, h *held) (*candidate, error) {
	keep := func(t *transparency.Trust) error { return storeTrust(c.Dir, t) }
	if err := FollowTrust(ctx, r, h.chain, keep); err != nil {
		return nil, err
	}
	return fetch(ctx, r, h, c.Method)
}

func (c *Client) keepEvidence(f *ForkError) (string, error) {
	dir := filepath.Join(c.Dir, evidenceDir)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return "", err
	}
	path := filepath.Join(dir, fmt.Sprintf("fork-%x.json", sum(f.Evidence.Bytes())))
	return path, durable.WriteFile(path, f.Evidence.Bytes(), 0o644)
}

// apply puts the candidate in force: guard, list, what the mail server reads, state last. A crash before the state
// is written leaves the old state, whose list is still there under its second name.
func (c *Client) apply(h *held, cand *candidate, out *Outcome) error {
	next := *h.state
	next.QuorumTime, next.Checked = latest(h.QuorumTime, cand.quorum), c.Now().UTC().Truncate(time.Second)
	next.Floor = latest(h.Floor, cand.quorum)
	next.Checkpoint = string(cand.checkpoint.Note)
	list, err := c.choose(h, cand, &next)
	if err != nil {
		return err
	}
	if next.release == nil {
		return errors.New("the first list is held back") // choose never holds a first list
	}
	out.Release, out.QuorumTime, out.Held, out.HeldRelease = next.release, next.QuorumTime, next.HeldWhy, next.Held
	out.Freshness = c.freshness(&next)
	out.List = list
	if out.Freshness == Expired && !c.KeepStale {
		out.List = policy.List{}
	}
	c.stage("list")
	if err := c.sink(out.View); err != nil {
		return err
	}
	c.stage("sinks")
	return next.save(c.Dir)
}

// choose returns the list to be in force and fills in next: the candidate's, or the held one when nothing is new or
// the guard keeps the candidate back.
func (c *Client) choose(h *held, cand *candidate, next *state) (policy.List, error) {
	if cand.method == "none" {
		next.Held, next.HeldWhy = 0, ""
		return h.list()
	}
	before := policy.List{}
	if h.release != nil {
		var err error
		if before, err = h.list(); err != nil {
			return before, err
		}
	}
	if why := guard(before, cand.Release); why != "" && c.Accept != cand.Leaf.Release {
		next.Held, next.HeldWhy = cand.Leaf.Release, why
		next.QuorumTime, next.Checkpoint = h.QuorumTime, h.Checkpoint
		return before, nil
	}
	next.release, next.Leaf, next.Index, next.rng = cand.Leaf, string(cand.Raw), cand.Index, cand.rng
	next.Highest = max(h.Highest, cand.Leaf.Release)
	next.Held, next.HeldWhy = 0, ""
	data, err := cand.List.Bytes(cand.Leaf.Header())
	if err != nil {
		return before, err
	}
	return cand.List, replaceList(c.Dir, data)
}

func (c *Client) stage(name string) {
	if c.afterStage != nil {
		c.afterStage(name)
	}
}

func latest(times ...time.Time) time.Time {
	return slices.MaxFunc(times, time.Time.Compare)
}
