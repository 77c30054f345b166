package pipeline

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"

	"github.com/starttls-everywhere/policylist/mirror"
	"github.com/starttls-everywhere/policylist/mirror/durable"
	"github.com/starttls-everywhere/policylist/pipeline/signing"
	"github.com/starttls-everywhere/policylist/policy"
	"github.com/starttls-everywhere/policylist/transparency"
	"github.com/starttls-everywhere/policylist/transparency/witness"
)

// NoCommit stands for the commit of a source that is not in Git.
const NoCommit = "git:0000000000000000000000000000000000000000"

// resumedRecently is how old a release that a crash interrupted may be for its completion to count as this run's.
const resumedRecently = 12 * time.Hour

// Keys sign releases, checkpoints and, for other people's tools, the list itself.
type Keys struct {
	Release []signing.Signer
	Log     note.Signer
	OpenPGP *signing.OpenPGPKey // nil: no .asc
}

// Publisher makes releases. Its fields are set once, before the first call.
type Publisher struct {
	Source    string // directory or 0.1 file
	Commit    string // what the source is, "git:<commit>"
	State     string // folder; "" with a Vault: a temporary one
	Vault     *Vault // what keeps the state; nil: the folder State does
	Trust     *transparency.TrustChain
	Keys      Keys
	OpenLog   func(dir string) (Log, error)
	Mirrors   []Target
	Witnesses *witness.Client // asks for cosignatures where the trust wants them
	Observer  Observer        // nil without Evidence: nothing is probed, and the release says so
	Evidence  EvidenceSource  // what vantages saw, instead of Observer; nil: none
	ScanAll   bool            // probe every entry, not only those that change
	Gate      *Gate           // decides by the change table; nil: what passes its probe goes out
	Feedback  FeedbackSource  // what mail servers report; nil: nobody is asked
	// Registrations are when domains were registered; nil: nobody is asked.
	Registrations RegistrationSource
	Keyless       Keyless // makes an extra bundle; nil: none
	Site          *Site   // brings pages along; nil: none
	SkipVerify    bool    // do not fetch the release back as a client
	Now           func() time.Time
	Log           *slog.Logger

	log    Log
	outbox outbox
	sizes  map[string]int64 // log size that each mirror has published
	away   map[string]error // why a mirror is left alone in this run
}

// Release makes the next release from the source, or a renewal when nothing changed or the source has errors. A
// release that an earlier run began is completed first. With ErrMirrors the release is logged and goes out later.
func (p *Publisher) Release(ctx context.Context) (*Published, error) {
	return p.release(ctx, func() (Checked, error) { return Check(ctx, p.Source) })
}

// release is Release of what check returns.
func (p *Publisher) release(ctx context.Context, check func() (Checked, error)) (*Published, error) {
	var out *Published
	err := p.session(ctx, func(last *Published) error {
		if last != nil && last.Resumed {
			out = last
		}
		if err := last.ended(); err != nil {
			return err
		}
		checked, err := check()
		if err != nil {
			return err
		}
		plan, err := p.plan(ctx, checked, last)
		if err != nil {
			return err
		}
		if out != nil && len(plan.changes) == 0 && p.Now().Sub(last.leaf.Timestamp) < resumedRecently {
			out.Unchanged, out.Held, out.Findings = true, plan.held, append(plan.Told(checked), out.siteFindings()...)
			return out.waiting
		}
		out, err = p.make(ctx, plan, last)
		if out != nil {
			out.Held, out.Findings = plan.held, append(plan.Told(checked), out.siteFindings()...)
		}
		return err
	})
	return out, err
}

// plan decides, and makes durable what the gate remembers before a release rests on it.
func (p *Publisher) plan(ctx context.Context, c Checked, last *Published) (Probed, error) {
	if p.Gate == nil {
		return p.probe(ctx, c, last, nil)
	}
	t, err := p.loadTracks(last)
	if err != nil {
		return Probed{}, err
	}
	out, err := p.probe(ctx, c, last, t)
	if err == nil {
		err = p.keepTracks(t)
	}
	return out, err
}

// Plan says what Release would do, and changes nothing but completing nothing either: an interrupted release is only
// reported, as an error that wraps ErrPending.
func (p *Publisher) Plan(ctx context.Context) (Probed, Checked, error) {
	var plan Probed
	checked, err := Check(ctx, p.Source)
	if err != nil {
		return plan, checked, err
	}
	last, t, err := p.peek(ctx)
	if err != nil {
		return plan, checked, err
	}
	if err := last.ended(); err != nil {
		return plan, checked, err
	}
	if plan, err = p.probe(ctx, checked, last, t); err == nil {
		_, err = p.draft(plan, last)
	}
	return plan, checked, err
}

// ErrEnded means that the list was ended with Final. A timer that nobody switched off must not bring back what clients
// were told to drop.
var ErrEnded = errors.New("the list has ended")

func (p *Published) ended() error {
	if p == nil || p.leaf.Override != mirror.OverrideFinal {
		return nil
	}
	return fmt.Errorf("%w with release %d of %s", ErrEnded, p.leaf.Release, p.leaf.Timestamp.Format(policy.TimeFormat))
}

// ErrPending means that a release was begun and not completed.
var ErrPending = errors.New("a release is not completed yet; run release")

// peek returns the newest release, and what the gate remembers.
func (p *Publisher) peek(ctx context.Context) (*Published, *tracks, error) {
	leave, err := p.look(ctx)
	if err != nil {
		return nil, nil, err
	}
	defer leave()
	last, err := p.newest()
	if err != nil || p.Gate == nil {
		return last, nil, err
	}
	t, err := p.loadTracks(last)
	return last, t, err
}

// newest reads the newest release of the state folder, nil before the first.
func (p *Publisher) newest() (*Published, error) {
	if err := p.checkRecovered(); err != nil {
		return nil, err
	}
	p.outbox = outbox{dir: filepath.Join(p.State, "outbox")}
	if _, err := os.Stat(p.outbox.dir); errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	n, err := p.outbox.newest()
	if err != nil || n == 0 {
		return nil, err
	}
	s, err := p.loadSigned(n)
	if err == nil && !s.meta.Done {
		err = ErrPending
	}
	if err != nil {
		return nil, err
	}
	return p.revive(Logged{Signed: s})
}

// Final publishes an empty list that ends the list: clients drop everything. Once more, it renews that statement.
func (p *Publisher) Final(ctx context.Context) (*Published, error) {
	var out *Published
	err := p.session(ctx, func(last *Published) error {
		if last == nil {
			return errors.New("there is no list to end: nothing was released yet")
		}
		plan := Probed{author: last.leaf.Author, lifetime: mirror.MaxLifetime, source: "renew", override: mirror.OverrideFinal}
		for d := range last.list().All() {
			plan.changes = append(plan.changes, mirror.ChangeLeaf{Domain: d, Reason: mirror.OverrideFinal})
		}
		var err error
		if out, err = p.make(ctx, plan, last); out != nil {
			out.Findings = out.siteFindings()
		}
		return err
	})
	return out, err
}

// session locks and opens the state, compares it with the mirrors, completes what was interrupted, and calls f with
// the last release, nil before the first.
func (p *Publisher) session(ctx context.Context, f func(last *Published) error) error {
	leave, err := p.enter(ctx)
	if err != nil {
		return err
	}
	defer leave()
	if err := p.checkRecovered(); err != nil {
		return err
	}
	if err := p.openLog(ctx); err != nil {
		return err
	}
	defer p.log.Close()
	if err := errors.Join(sweep(p.State), sweep(p.outbox.dir), p.checkLogKey()); err != nil {
		return err
	}
	if err := p.compare(ctx); err != nil {
		return err
	}
	if err := p.checkPlaces(); err != nil {
		return err
	}
	last, err := p.resume(ctx)
	if err != nil && (last == nil || !last.Waiting()) {
		return err
	}
	return f(last)
}

// resume returns the newest release, completed if it was not.
func (p *Publisher) resume(ctx context.Context) (*Published, error) {
	n, err := p.outbox.newest()
	if err != nil || n == 0 {
		if err == nil && p.log.Tree().N > 0 {
			err = fmt.Errorf("%w: the log has %d entries but the outbox is empty", ErrState, p.log.Tree().N)
		}
		return nil, err
	}
	s, err := p.loadSigned(n)
	if err != nil {
		return nil, err
	}
	if p.inEarlierLog(s) {
		return p.supersede(ctx, s)
	}
	if err := p.fits(ctx, s); err != nil {
		return nil, err
	}
	if p.superseded(s) {
		return p.supersede(ctx, s)
	}
	if s.meta.Done {
		return p.revive(Logged{Signed: s})
	}
	if err := p.outbox.check(s.meta); err != nil {
		return nil, err
	}
	p.Log.Info("completing an interrupted release", "release", n)
	out, err := p.complete(ctx, s)
	if out != nil {
		out.Resumed = true
	}
	return out, err
}

// fits holds the newest release of the outbox against the log.
func (p *Publisher) fits(ctx context.Context, s Signed) error {
	size, end := p.log.Tree().N, s.meta.Start+int64(s.meta.Count)
	if size < s.meta.Start || s.meta.Done && size < end {
		return fmt.Errorf("%w: release %d, the newest in %s, has the log entries %d to %d, the log has %d entries", ErrState, s.meta.Release, p.outbox.dir, s.meta.Start, end-1, size)
	}
	if size < end {
		return nil
	}
	hashes, err := p.log.ReadHashes([]int64{tlog.StoredHashIndex(0, end-1)})
	if err != nil {
		return fmt.Errorf("log: %w", err)
	}
	if hashes[0] != tlog.RecordHash(s.raw) {
		return fmt.Errorf("%w: %s ends in another leaf than the log", ErrState, p.outbox.path(s.meta.Release, outEntries))
	}
	return p.checkTail(ctx, s.meta.Release, end)
}

// checkTail looks at what the log has behind the newest release of the outbox. Entries of an abandoned attempt have no
// effect and stay; but a release of which the outbox knows nothing has taken the next number already.
func (p *Publisher) checkTail(ctx context.Context, release, end int64) error {
	size := p.log.Tree().N
	entries, err := mirror.ReadEntries(ctx, logReader{p.log}, end, size)
	if err != nil {
		return fmt.Errorf("log: %w", err)
	}
	for i, e := range entries {
		if l, err := mirror.ParseLeaf(e); err == nil && l.Release != nil {
			return fmt.Errorf("%w: log entry %d is release %d, the newest in %s is %d", ErrState, end+int64(i), l.Release.Release, p.outbox.dir, release)
		}
	}
	if len(entries) > 0 {
		p.Log.Warn("the log has entries without effect", "from", end, "to", size)
	}
	return nil
}

// logReader reads the log's own files as if they were a mirror's.
type logReader struct{ log Log }

// Get implements mirror.Reader.
func (r logReader) Get(_ context.Context, path string, _ int64) ([]byte, error) {
	return r.log.ReadFile(path)
}

// revive makes a completed release the base of the next.
func (p *Publisher) revive(l Logged) (*Published, error) {
	list, err := p.listOf(l.Signed)
	if err != nil {
		return nil, err
	}
	return &Published{Logged: l, published: list}, nil
}

// make signs the plan as the next release and carries it through.
func (p *Publisher) make(ctx context.Context, plan Probed, last *Published) (*Published, error) {
	s, err := p.sign(ctx, plan, last, p.log.Tree().N)
	if err != nil {
		return nil, err
	}
	p.step(s.meta.Release, "prepared")
	return p.complete(ctx, s)
}

// complete carries a signed release through; every step may be repeated.
func (p *Publisher) complete(ctx context.Context, s Signed) (*Published, error) {
	l, err := p.append(ctx, s)
	if errors.Is(err, ErrQuorum) {
		return p.wait(l, err)
	}
	if err != nil {
		return nil, err
	}
	out, err := p.publish(ctx, l)
	if err == nil {
		p.step(s.meta.Release, "done")
	}
	return out, err
}

// wait makes a release that cannot be published the base of the next one: it is in the log, which cannot take it
// back, and only the newest checkpoint has to find a quorum.
func (p *Publisher) wait(l Logged, why error) (*Published, error) {
	out, err := p.revive(l)
	if err != nil {
		return nil, err
	}
	out.waiting, out.witnessed = why, true
	return out, why
}

// StepMessage is what the log says, for debugging, of each step of a release: of its attributes "release" and "step".
const StepMessage = "step done"

// step records the last step that was done. The outbox and the log decide what is true; the journal tells people.
func (p *Publisher) step(release int64, name string) {
	p.Log.Debug(StepMessage, "release", release, "step", name)
	data, err := json.Marshal(map[string]any{"release": release, "step": name, "time": p.Now().UTC().Format(policy.TimeFormat)})
	if err == nil {
		err = durable.WriteFile(filepath.Join(p.State, "journal.json"), append(data, '\n'), 0o644)
	}
	if err != nil {
		p.Log.Warn("journal not written", "step", name, "err", err)
	}
}
