package pipeline

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"golang.org/x/mod/sumdb/tlog"

	"github.com/starttls-everywhere/policylist/mirror"
	"github.com/starttls-everywhere/policylist/mirror/audit"
	"github.com/starttls-everywhere/policylist/transparency"
)

// MirrorSeen is what Recover found on one mirror.
type MirrorSeen struct {
	Name       string
	Configured bool
	Verdict    string // one of the Mirror… values
	Err        error  // of one that could not be judged
	Origin     string
	Size       int64 // of the largest tree on it that the log has signed
	Release    int64 // in its pointer, 0 for none
	Timestamp  time.Time
	Tail       int64 // log entries behind the signed tree that belong to a signed release

	reader mirror.Reader
	notes  []signedNote // its checkpoint and its pointer's, where they are
	shown  bool         // its pointer names the release that ends its largest tree
	tail   [][]byte
}

// What a mirror is to Recover.
const (
	MirrorChosen      = "chosen"
	MirrorSame        = "same"          // as the chosen one
	MirrorBehind      = "behind"        // it shows a beginning of the log
	MirrorFork        = "fork"          // it shows another log under the same key
	MirrorEmpty       = "empty"         // nothing was published there
	MirrorEarlier     = "earlier log"   // it shows a log of this list that has ended
	MirrorForeign     = "not this list" // what it holds is not signed by this list's log
	MirrorUnreachable = "unreachable"
	MirrorWithout     = "left out"
)

// signedNote is a tree that the log has signed, whoever cosigned it.
type signedNote struct {
	transparency.Cosigned
	from string // the mirror
}

// survey reads every mirror's pointers and chooses the largest signed tree of the newest log.
func (r *recovery) survey(ctx context.Context) error {
	for _, m := range r.Mirrors {
		r.out.Mirrors = append(r.out.Mirrors, MirrorSeen{Name: m.Name, Configured: true, reader: m.Store})
	}
	for _, s := range r.o.From {
		r.out.Mirrors = append(r.out.Mirrors, MirrorSeen{Name: s.Name, reader: s.Reader})
	}
	var unjudged []error
	for i := range r.out.Mirrors {
		m := &r.out.Mirrors[i]
		if slices.Contains(r.o.Without, m.Name) {
			m.Verdict = MirrorWithout
			continue
		}
		if err := r.look(ctx, m); err != nil {
			return err
		}
		if m.Err != nil {
			unjudged = append(unjudged, fmt.Errorf("mirror %s: %w", m.Name, m.Err))
		}
	}
	unjudged = append(unjudged, r.suspectEmpty()...)
	if len(unjudged) > 0 {
		return errors.Join(unjudged...)
	}
	return r.choose()
}

// suspectEmpty doubts mirrors on which nothing was published although another has the list: a folder that is not mounted
// and a bucket that was emptied look like that, and what was there may have been the newest.
func (r *recovery) suspectEmpty() []error {
	if !slices.ContainsFunc(r.out.Mirrors, func(m MirrorSeen) bool { return len(m.notes) > 0 }) {
		return nil
	}
	var out []error
	for i := range r.Mirrors { // the configured ones come first; what --from names may well be empty
		m := &r.out.Mirrors[i]
		if m.Verdict == MirrorEmpty {
			m.Err = fmt.Errorf("%w: nothing is there, as if it were not mounted or had been emptied; if it never held anything, leave it out with --without", ErrUnjudged)
			out = append(out, fmt.Errorf("mirror %s: %w", m.Name, m.Err))
		}
	}
	return out
}

// look judges one mirror by itself. The error is one that stops everything.
func (r *recovery) look(ctx context.Context, m *MirrorSeen) error {
	fail := func(verdict string, err error) error {
		m.Verdict, m.Err = verdict, err
		return nil
	}
	newest := r.Trust.Newest().Version
	data, err := m.reader.Get(ctx, mirror.TrustPath(newest+1), transparency.MaxTrustBytes)
	if err == nil {
		if t, err := transparency.ParseTrust(data); err == nil && r.Trust.Newest().VerifyNext(t) == nil {
			return fmt.Errorf("%w: mirror %s has version %d, signed by the root keys of version %d; put its %s into the trust folder", ErrTrustOld, m.Name, newest+1, newest, mirror.TrustPath(newest+1))
		}
	}
	note, err := m.reader.Get(ctx, mirror.CheckpointPath, transparency.MaxCheckpointBytes)
	if err == nil {
		c, err := r.openLogged(note)
		if err != nil {
			return fail(MirrorForeign, fmt.Errorf("%w: %s: %w", ErrForeign, mirror.CheckpointPath, err))
		}
		m.notes = append(m.notes, signedNote{c, m.Name})
	} else if !mirror.IsAbsent(err) {
		return fail(MirrorUnreachable, fmt.Errorf("%w: %w", ErrUnjudged, err))
	}
	data, err = m.reader.Get(ctx, mirror.PointerPath, transparency.MaxProofBytes)
	if err == nil {
		if err := r.lookAtPointer(m, data); err != nil {
			return fail(MirrorForeign, fmt.Errorf("%w: %s: %w", ErrForeign, mirror.PointerPath, err))
		}
	} else if !mirror.IsAbsent(err) {
		return fail(MirrorUnreachable, fmt.Errorf("%w: %w", ErrUnjudged, err))
	}
	if len(m.notes) == 0 {
		m.Verdict = MirrorEmpty
		return nil
	}
	largest := slices.MaxFunc(m.notes, r.compareNotes)
	m.Origin, m.Size = largest.Origin, largest.Tree.N
	m.shown = m.shown && m.notes[len(m.notes)-1].Tree == largest.Tree
	return nil
}

// lookAtPointer takes a pointer's checkpoint, and what it says of its release.
func (r *recovery) lookAtPointer(m *MirrorSeen, data []byte) error {
	proof, err := transparency.ParseProof(data)
	if err != nil {
		return err
	}
	c, err := r.openLogged(proof.Checkpoint)
	if err != nil {
		return err
	}
	if err := proof.Check(tlog.RecordHash(proof.Extra), c.Tree); err != nil {
		return err
	}
	leaf, err := mirror.ParseLeaf(proof.Extra)
	if err == nil && leaf.Release == nil {
		err = errors.New("it is not about a release")
	}
	if err != nil {
		return err
	}
	m.notes = append(m.notes, signedNote{c, m.Name})
	m.Release, m.Timestamp, m.shown = leaf.Release.Release, leaf.Release.Timestamp, true
	return nil
}

// compareNotes orders by log, later ones last, then by size.
func (r *recovery) compareNotes(a, b signedNote) int {
	return cmp.Or(cmp.Compare(r.began(a.Origin), r.began(b.Origin)), cmp.Compare(a.Tree.N, b.Tree.N))
}

// began is the trust version that began a log.
func (r *recovery) began(origin string) int64 {
	for _, t := range r.Trust.Versions() {
		if t.Origin == origin {
			return t.Version
		}
	}
	return 0
}

// choose takes the largest tree of the newest log as the target, and sorts the mirrors by it.
func (r *recovery) choose() error {
	for i := range r.out.Mirrors {
		for _, n := range r.out.Mirrors[i].notes {
			if n.Tree.N == 0 {
				continue
			}
			_, err := mirror.OpenCheckpoint(r.Trust, n.Note)
			if better := r.compareNotes(n, r.target); r.target.from == "" || better > 0 || better == 0 && n.Tree == r.target.Tree && !r.quorum && err == nil {
				r.target, r.quorum = n, err == nil
			}
		}
	}
	if r.target.from == "" {
		return ErrNothing
	}
	r.out.Chosen, r.out.Origin, r.out.Tree = r.target.from, r.target.Origin, r.target.Tree
	r.out.Earlier = r.target.Origin != r.Trust.Newest().Origin
	forks := 0
	for i := range r.out.Mirrors {
		m := &r.out.Mirrors[i]
		switch {
		case m.Verdict != "":
			continue
		case m.Origin != r.target.Origin:
			m.Verdict = MirrorEarlier
			continue
		case m.Name == r.target.from:
			m.Verdict = MirrorChosen
		case m.Size == r.target.Tree.N:
			m.Verdict = MirrorSame
		default:
			m.Verdict = MirrorBehind
		}
		r.group = append(r.group, m)
		for _, n := range m.notes {
			if n.Origin == r.target.Origin && n.Tree.N == r.target.Tree.N && n.Tree.Hash != r.target.Tree.Hash {
				m.Verdict = MirrorFork
				forks++
			}
		}
	}
	slices.SortStableFunc(r.group, func(a, b *MirrorSeen) int { return cmp.Compare(b.Size, a.Size) })
	r.out.Why = r.why()
	if forks > 0 {
		return r.reportForks(nil)
	}
	return nil
}

// why says what speaks for the chosen mirror.
func (r *recovery) why() string {
	same, behind := 0, 0
	for _, m := range r.group {
		switch m.Verdict {
		case MirrorSame:
			same++
		case MirrorBehind:
			behind++
		}
	}
	switch {
	case same == 0 && behind == 0:
		return "it is the only mirror that holds this log"
	case same == 0:
		return "its signed log is the longest"
	case behind == 0:
		return "all hold the same log; it is the first in the configuration"
	}
	return fmt.Sprintf("its signed log is the longest; %d more hold the same", same)
}

// findForks holds every signed tree of every mirror against the log that was rebuilt.
func (r *recovery) findForks(context.Context) error {
	return r.reportForks(r.log)
}

// reportForks keeps evidence of every note that contradicts the target. Without a log it compares trees of one size only.
func (r *recovery) reportForks(log Log) error {
	var errs []error
	for _, m := range r.group {
		for _, n := range m.notes {
			if n.Origin != r.target.Origin || n.Tree.N == 0 {
				continue
			}
			if err := r.contradiction(n, log); err != nil {
				m.Verdict = MirrorFork
				errs = append(errs, err)
			}
		}
	}
	return errors.Join(errs...)
}

// contradiction is nil for a tree that is a beginning of the target's. Else it wraps ErrFork and names the evidence.
func (r *recovery) contradiction(n signedNote, log Log) error {
	if n.Tree == r.target.Tree {
		return nil
	}
	if n.Tree.N < r.target.Tree.N {
		if log == nil {
			return nil
		}
		root, err := tlog.TreeHash(n.Tree.N, log)
		if err != nil {
			return fmt.Errorf("log: %w", err)
		}
		if root == n.Tree.Hash {
			return nil
		}
	}
	err := fmt.Errorf("%w: %s at size %d against %s at size %d", ErrFork, n.from, n.Tree.N, r.target.from, r.target.Tree.N)
	if r.o.Evidence == "" {
		return err
	}
	e := mirror.Evidence{Kind: mirror.KindFork, Origin: n.Origin, First: string(n.Note), Second: string(r.target.Note)}
	if n.Tree.N < r.target.Tree.N {
		proof, failed := tlog.ProveTree(r.target.Tree.N, n.Tree.N, log)
		if failed != nil {
			return errors.Join(err, failed)
		}
		root, failed := tlog.TreeHash(n.Tree.N, log)
		if failed != nil {
			return errors.Join(err, failed)
		}
		e.Proof, e.Root = proof, &root
	}
	path, failed := audit.KeepEvidence(r.o.Evidence, &mirror.ForkError{Evidence: e})
	if failed != nil {
		return errors.Join(err, failed)
	}
	return fmt.Errorf("%w\nevidence: %s", err, path)
}
