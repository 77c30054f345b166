package pipeline

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/mod/sumdb/tlog"

	"github.com/starttls-everywhere/policylist/mirror"
)

// Recover rebuilds a state that was lost from what mirrors publish. Three dangers rule how:
//
//	a second history   a state that ends too early would sign another tree of a size that was signed before. So every
//	                   configured mirror has to be read or left out by name, the largest tree that the log has signed
//	                   anywhere decides, what was spread to a mirror and not signed yet is taken along, and the witnesses
//	                   are asked what they have cosigned
//	a hostile mirror   nothing is believed: the log is replayed from entry 0 by the rules of clients and auditors, its root
//	                   compared with the signed one, and every other file checked by what the log says of it
//	a state that lives it is replaced only when it is a beginning of what was found, or on demand, and never thrown away
//
// The new state is built aside. In a folder it takes the old one's place by renames, between which the file recovering
// keeps everybody else out; in a vault by one replacement of state.json. A crash before that has changed nothing; after
// one between the renames Recover is run again.

// recovering is the file in a state folder that says that Recover was interrupted there.
const recovering = "recovering"

// replacedPrefix begins the folder in the state that keeps what Recover replaced.
const replacedPrefix = "replaced-"

var (
	// ErrRecover means that an interrupted Recover left the state in between.
	ErrRecover = errors.New("recovering the state was interrupted")
	// ErrUnjudged means that a mirror gives no answer, so that nobody knows whether it is ahead of the others.
	ErrUnjudged = errors.New("it is unknown what a mirror holds")
	// ErrNothing means that no mirror holds anything of this list.
	ErrNothing = errors.New("no mirror holds this list's log")
	// ErrIncomplete means that a tree was signed whose entries no mirror has.
	ErrIncomplete = errors.New("the log was signed with entries that no mirror serves")
	// ErrTail means that the signed log ends in something that is no release of this list.
	ErrTail = errors.New("the signed log does not end in a valid release")
	// ErrTwoTails means that two releases were prepared for the same place in the log, and nobody knows which was signed.
	ErrTwoTails = errors.New("mirrors hold the entries of two different unpublished releases")
	// ErrKnown means that a witness has cosigned more than could be found.
	ErrKnown = errors.New("a witness has cosigned a larger tree than can be recovered")
	// ErrNotOlder means that there is a state, and that it is not known to be older than the mirrors.
	ErrNotOlder = errors.New("there is a state already")
	// ErrStateAhead means that the state has signed more than the mirrors show.
	ErrStateAhead = errors.New("the state is ahead of the mirrors")
	// ErrChanged means that somebody changed the state meanwhile.
	ErrChanged = errors.New("the state has changed since it was looked at")
	// ErrTrustOld means that the configured trust versions are not all that there are.
	ErrTrustOld = errors.New("the trust folder is incomplete")
)

// RecoverOptions say where to look, and what may be done.
type RecoverOptions struct {
	From     []mirror.Source // mirrors to look at beside the configured ones
	Without  []string        // names of mirrors that do not count
	Replace  bool            // an existing state, also one that is damaged or as new as the mirrors
	Evidence string          // folder for what proves two histories

	// Open opens a log folder of the embedded engine, which is what every state has.
	Open func(dir string) (Log, error)
	// Engine lets an engine elsewhere bring the log in dir, which contains known, up to what it has itself. note is for
	// the report. nil where the embedded engine is configured.
	Engine func(ctx context.Context, dir string, known tlog.Tree) (note string, err error)
	// Confirm is shown what was found and decides whether to write. Its error is returned.
	Confirm func(*Recovery) error
	// DryRun keeps Recover from writing anywhere but into a temporary folder.
	DryRun bool
	// Progress is called now and then with what is done of the log, and what there is to do; nil for never.
	Progress func(stage string, done, total int)
}

// Recovery is what Recover found.
type Recovery struct {
	Mirrors []MirrorSeen
	Chosen  string // the mirror whose signed tree is recovered
	Why     string

	Origin      string
	Tree        tlog.Tree // as the log signed it
	Release     int64     // which that tree ends in
	Timestamp   time.Time
	Expires     time.Time
	Releases    int           // valid ones in the log
	Count       int64         // domains on the list
	Unpublished []int64       // releases behind the signed tree, which the next run of Release completes
	Earlier     bool          // the log has ended by a trust version: the next release begins another
	NoEffect    []string      // entries without effect
	State       StateSeen     // what there is
	Witnesses   []WitnessSeen // in the policy's order
	Lost        []string      // what cannot be recovered
	Warnings    []string
	Replaced    string // where the state before went; "" when there was none
}

// recovery is one run.
type recovery struct {
	*Publisher
	o       RecoverOptions
	out     Recovery
	staging string // folder that becomes the state
	group   []*MirrorSeen
	target  signedNote
	quorum  bool                // its note has the cosignatures that the trust asks for
	last    *mirror.Release     // newest release, unpublished ones among them
	made    []*recovered        // oldest first
	ends    map[int64]tlog.Tree // the trees that releases end
	young   time.Time           // of the newest release: what mirrors keep is counted back from there
}

// Recover finds, shows and, if o.Confirm agrees, writes. The report is usable next to an error.
func (p *Publisher) Recover(ctx context.Context, o RecoverOptions) (*Recovery, error) {
	r := &recovery{Publisher: p, o: o, ends: map[int64]tlog.Tree{}}
	leave, err := r.enter(ctx)
	if err != nil {
		return &r.out, err
	}
	defer leave()
	if err := r.find(ctx); err != nil {
		return &r.out, err
	}
	if err := o.Confirm(&r.out); err != nil || o.DryRun {
		return &r.out, err
	}
	return &r.out, r.install(ctx)
}

// enter locks the state, or copies what a vault has of it, and makes the staging folder. A dry run looks only.
func (r *recovery) enter(ctx context.Context) (leave func(), err error) {
	leave = func() {}
	if r.Vault != nil || !r.o.DryRun {
		if leave, err = r.lock(); err != nil {
			return nil, err
		}
	}
	if r.Vault != nil {
		if r.out.State.Damage, err = r.Vault.copyDamaged(ctx, r.State, r.Now); err != nil {
			leave()
			return nil, err
		}
	}
	within := r.State
	if r.o.DryRun {
		within = ""
	} else if err := sweep(r.State); err != nil {
		leave()
		return nil, err
	}
	if r.staging, err = os.MkdirTemp(within, tempPrefix+"recover-"); err != nil {
		leave()
		return nil, err
	}
	unlock := leave
	return func() {
		os.RemoveAll(r.staging)
		unlock()
	}, nil
}

// find does everything but writing.
func (r *recovery) find(ctx context.Context) error {
	if err := r.checkLogKey(); err != nil {
		return err
	}
	if err := r.survey(ctx); err != nil {
		return err
	}
	if err := r.replay(ctx); err != nil {
		return err
	}
	if err := r.takeTails(ctx); err != nil {
		return err
	}
	log, err := r.o.Open(r.logPath())
	if err != nil {
		return fmt.Errorf("log: %w", err)
	}
	defer log.Close()
	r.log = log
	if err := r.findForks(ctx); err != nil {
		return err
	}
	if err := r.askWitnesses(ctx); err != nil {
		return err
	}
	if err := r.collect(ctx); err != nil {
		return err
	}
	if err := r.findLeft(ctx); err != nil {
		return err
	}
	r.warn()
	return r.examine()
}

// logPath is the folder of the log in the staging folder.
func (r *recovery) logPath() string {
	return filepath.Join(r.staging, filepath.Base(r.logName()))
}

// logName is the folder, below the state, of the log that is recovered.
func (r *recovery) logName() string {
	versions := r.Trust.Versions()
	i := 0
	for versions[i].Origin != r.target.Origin {
		i++
	}
	if i == 0 {
		return "log"
	}
	return fmt.Sprintf("log-%d", versions[i].Version)
}

// stale is how old a newest release may be before it is doubtful that it is the newest: clients call it stale then.
const stale = 48 * time.Hour

// warn says what nobody but the operator can know.
func (r *recovery) warn() {
	add := func(format string, args ...any) {
		r.out.Warnings = append(r.out.Warnings, fmt.Sprintf(format, args...))
	}
	if age := r.Now().Sub(r.out.Timestamp); age > stale && r.last.Leaf.Source != "" && !r.last.Leaf.IsImport() {
		add("the newest release is %d hours old. If you have released since, these mirrors were set back: find a newer one before you go on", int(age.Hours()))
	}
	asked := 0
	for _, w := range r.out.Witnesses {
		if w.Err == nil {
			asked++
		}
	}
	if len(r.group) == 1 && asked == 0 {
		add("only %s says that release %d is the newest, and no witness confirms it: if you know a copy of the list elsewhere, name it with --from", r.out.Chosen, r.out.Release)
	}
}
