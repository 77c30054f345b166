// Package pipeline carries a list from its source to its mirrors:
//
//	Checked -> Probed -> Signed -> Logged -> Published
//
// Each stage is a type that only the stage before can make, so that publishing something unlogged, or logging
// something unsigned, does not compile. Publisher conducts them. Its state is a folder:
//
//	lock           one publisher at a time
//	log/           the transparency log; log-<v>/ the one that trust version v began
//	outbox/<n>/    every byte of release n that could come out differently next time
//	journal.json   the last step that was done, for people and for recovery
//	verify/        a client for each mirror, which follows it as real ones do
//	witnesses.json the size that each witness cosigned last: a hint
//	evidence/      what shows that this log has two histories, or that a witness says so
//	recovering     only while Recover puts a new state into the place of an old one, or when it died there
//	replaced-…/    what Recover replaced
//
// Killing the process after any step and starting again goes on with the bytes in the outbox.
//
// # What a crash leaves behind
//
// Step by step, what is there when the process dies before the next one, and what the next run does about it:
//
//	(before)   at most an outbox/.tmp-… folder: swept, and the release is made anew, with whatever the source has by then
//	prepared   outbox/<n>/ whole, by one rename, with every signature that people will see: these bytes go on, never others
//	logged     the log's old tree or its new one, since its root file is replaced last: the same entries are appended at the
//	           same index, which changes nothing where they stand already
//	spread     tiles and entries on one mirror, to which nothing refers yet: written again, the same bytes
//	signed     outbox/<n>/checkpoint (with witnesses first checkpoint.signed, with what cosignatures there are): read
//	           back, so that no second signature is made; then proof
//	published  some mirrors with the new pointer, some with the old, one perhaps in between: new policy.json, old
//	           pointer. Clients go by the pointer and what it names, which was there before it. All mirrors are brought
//	           up to the release, which is found unfinished in meta.json
//	done       nothing to do; a mirror that was down gets all it missed from the outbox
//
// An operation that was carried out but whose answer was lost is the same as a crash after it. The journal may be one
// step behind: nobody goes by it.
//
// # State on S3
//
// Where runs begin with an empty disk, the state is in a Vault: a private place in a bucket, of which the folder is a
// working copy. A run
//
//	takes the lease   lease.json: its epoch, one more than the last; the publisher's name, if one is configured; until
//	                  when, by the store's clock. Another run's lease is respected until its end, so that one that died
//	                  costs the list at most that term
//	claims            state.json with its epoch in it, on condition that it still is what was read
//	restores          the folder from state.json and the blobs that it names by their digests, and computes the log's
//	                  root anew from its leaves
//	saves             after each step above that leaves something behind, before the next relies on it: new files as
//	                  blobs, then state.json on condition that it still is what this run wrote last. Prepared, logged and
//	                  signed are in the bucket before anybody can see them
//	looks             at the lease before it signs and before it shows a release, and renews it when half of it is over
//	gives             the lease back
//
// A crash between two replacements of state.json means that the work since the first never happened, and the next run,
// from an empty folder, goes on from there. A run that slept through its lease finds at its next save that state.json is
// another's (ErrFenced); it has signed nothing that anybody sees. All that rests on the store's conditional writes, which
// race on some servers: every vault is probed, and where they do not hold nothing is released without a configured
// publisher's name, which then has to be the lease's. Nothing but the private files (locks, unfinished work, verify/) is
// left out of the vault.
//
// # When the state is lost
//
// Recover rebuilds it from mirrors: see there. It is also the one that replaces a state that is older than its mirrors,
// from which Release refuses to go on.
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
	Source     string // directory or 0.1 file
	Commit     string // what the source is, "git:<commit>"
	State      string // folder; "" with a Vault: a temporary one
	Vault      *Vault // what keeps the state; nil: the folder State does
	Trust      *transparency.TrustChain
	Keys       Keys
	OpenLog    func(dir string) (Log, error)
	Mirrors    []Target
	Witnesses  *witness.Client // asks for cosignatures where the trust wants them
	Observer   Observer        // nil without Evidence: nothing is probed, and the release says so
	Evidence   EvidenceSource  // what vantages saw, instead of Observer; nil: none
	ScanAll    bool            // probe every entry, not only those that change
	SkipVerify bool            // do not fetch the release back as a client
	Now        func() time.Time
	Log        *slog.Logger

	log    Log
	outbox outbox
	sizes  map[string]int64 // log size that each mirror has published
	away   map[string]error // why a mirror is left alone in this run
}

// Release makes the next release from the source, or a renewal when nothing changed or the source has errors. A
// release that an earlier run began is completed first. With ErrMirrors the release is logged and goes out later.
func (p *Publisher) Release(ctx context.Context) (*Published, error) {
	var out *Published
	err := p.session(ctx, func(last *Published) error {
		if last != nil && last.Resumed {
			out = last
		}
		if err := last.ended(); err != nil {
			return err
		}
		checked, err := Check(ctx, p.Source)
		if err != nil {
			return err
		}
		plan, err := p.probe(ctx, checked, last)
		if err != nil {
			return err
		}
		if out != nil && len(plan.changes) == 0 && p.Now().Sub(last.leaf.Timestamp) < resumedRecently {
			out.Unchanged, out.Held, out.Findings = true, plan.held, plan.Told(checked)
			return out.waiting
		}
		out, err = p.make(ctx, plan, last)
		if out != nil {
			out.Held, out.Findings = plan.held, plan.Told(checked)
		}
		return err
	})
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
	last, err := p.peek(ctx)
	if err != nil {
		return plan, checked, err
	}
	if err := last.ended(); err != nil {
		return plan, checked, err
	}
	if plan, err = p.probe(ctx, checked, last); err == nil {
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

func (p *Publisher) peek(ctx context.Context) (*Published, error) {
	leave, err := p.look(ctx)
	if err != nil {
		return nil, err
	}
	defer leave()
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
		out, err = p.make(ctx, plan, last)
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
