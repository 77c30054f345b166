package pipeline

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"

	"golang.org/x/mod/sumdb/tlog"

	"github.com/starttls-everywhere/policylist/mirror"
	"github.com/starttls-everywhere/policylist/transparency"
)

// Log is a transparency log engine: append-only, durable, the same bytes whichever engine makes them.
type Log interface {
	// Tree is the durable tree.
	Tree() tlog.Tree
	// Append puts leaves at start, start+1, …; leaves that stand there already must be the same. Durable on return.
	Append(ctx context.Context, start int64, leaves [][]byte) (tlog.Tree, error)
	// ReadFile returns a tile or entry bundle by its C2SP path, checked against the root.
	ReadFile(path string) ([]byte, error)
	tlog.HashReader
	Close() error
}

// Logged is the fourth stage: the release is in the log, whose tree is durable, and the log has signed it.
type Logged struct {
	Signed
	tree       tlog.Tree // of the signed checkpoint, which ends in the release leaf
	checkpoint []byte
	proof      []byte
	witnesses  []WitnessResult // in the policy's order
}

// ErrKeys means that the configured keys are not those that the trust names.
var ErrKeys = errors.New("these are not the keys of the trust")

// checkLogKey lets the log key sign the empty tree, of which nobody learns, and looks whether clients would believe
// it. It comes before anything is written: a release that is logged cannot be taken back.
func (p *Publisher) checkLogKey() error {
	trust := p.Trust.Newest()
	root, err := tlog.TreeHash(0, nil)
	if err != nil {
		return err
	}
	note, err := transparency.SignCheckpoint(transparency.Checkpoint{Origin: trust.Origin, Tree: tlog.Tree{Hash: root}}, p.Keys.Log)
	if err != nil {
		return err
	}
	if _, _, err := trust.OpenSigned(note); err != nil {
		return fmt.Errorf("%w: the log key: %w", ErrKeys, err)
	}
	return nil
}

// append puts the release into the log. Its tiles go to a mirror before the log signs: losing this disk must not
// lose a tree that somebody has seen signed.
func (p *Publisher) append(ctx context.Context, s Signed) (Logged, error) {
	end := s.meta.Start + int64(s.meta.Count)
	tree, err := p.logEntries(ctx, &s)
	if err != nil {
		return Logged{}, err
	}
	if tree.N < end {
		return Logged{}, fmt.Errorf("%w: the log has %d entries after appending up to %d", ErrState, tree.N, end)
	}
	if tree.N > end {
		// A later release is in the log already; this one's own tree is what its checkpoint is about.
		h, err := tlog.TreeHash(end, p.log)
		if err != nil {
			return Logged{}, err
		}
		tree = tlog.Tree{N: end, Hash: h}
	}
	p.step(s.meta.Release, "logged")
	if err := p.spread(ctx, s); err != nil {
		return Logged{}, err
	}
	p.step(s.meta.Release, "spread")
	if err := p.fence(ctx); err != nil {
		return Logged{}, err
	}
	l := Logged{Signed: s, tree: tree}
	if l.checkpoint, l.witnesses, err = p.signTree(ctx, s, tree); err != nil {
		return l, err
	}
	p.step(s.meta.Release, "signed")
	if err := p.prove(&l); err != nil {
		return l, err
	}
	return l, p.proveSkipped(l)
}

// logEntries appends a release's entries to the log, and leaves them in s.
func (p *Publisher) logEntries(ctx context.Context, s *Signed) (tree tlog.Tree, err error) {
	if s.entries, err = p.entriesOf(*s); err != nil {
		return tree, err
	}
	if tree, err = p.log.Append(ctx, s.meta.Start, s.entries); err != nil {
		err = fmt.Errorf("log: %w", err)
	}
	return tree, err
}

// signTree signs the checkpoint and has it cosigned where the trust asks for that, once: a second run finds the first
// one's note.
func (p *Publisher) signTree(ctx context.Context, s Signed, tree tlog.Tree) ([]byte, []WitnessResult, error) {
	trust := p.Trust.Newest()
	note, err := p.outbox.read(s.meta, outCheckpoint)
	if err != nil {
		return nil, nil, err
	}
	if note != nil {
		c, err := trust.OpenCheckpoint(note)
		if err == nil && c.Tree != tree {
			err = fmt.Errorf("it is for %d entries with another root", c.Tree.N)
		}
		if err != nil {
			return nil, nil, fmt.Errorf("%w: %s: %w", ErrState, p.outbox.path(s.meta.Release, outCheckpoint), err)
		}
		return note, witnessTimes(trust, c), nil
	}
	if !trust.Witnesses.IsNone() {
		return p.cosign(ctx, s, tree)
	}
	if note, err = transparency.SignCheckpoint(transparency.Checkpoint{Origin: trust.Origin, Tree: tree}, p.Keys.Log); err != nil {
		return nil, nil, err
	}
	return note, nil, p.outbox.add(s.meta.Release, outCheckpoint, note)
}

// prove writes the tlog-proof that a client starts from.
func (p *Publisher) prove(l *Logged) error {
	proof, err := p.outbox.read(l.meta, outProof)
	if err != nil {
		return err
	}
	if proof != nil {
		r, c, err := mirror.OpenPointer(proof, p.Trust)
		if err == nil && (c.Tree != l.tree || !bytes.Equal(r.Raw, l.raw)) {
			err = errors.New("it is for another release")
		}
		if err != nil {
			return fmt.Errorf("%w: %s: %w", ErrState, p.outbox.path(l.meta.Release, outProof), err)
		}
		l.proof = proof
		return nil
	}
	index := l.tree.N - 1
	path, err := tlog.ProveRecord(l.tree.N, index, p.log)
	if err != nil {
		return fmt.Errorf("log: %w", err)
	}
	l.proof = transparency.Proof{Extra: l.raw, Index: index, Path: path, Checkpoint: l.checkpoint}.Format()
	if _, _, err := mirror.OpenPointer(l.proof, p.Trust); err != nil {
		return fmt.Errorf("release %d would be refused by clients: %w", l.meta.Release, err)
	}
	return p.outbox.add(l.meta.Release, outProof, l.proof)
}

// proveSkipped gives the releases that nobody saw, because no quorum came about for them, their proofs in the tree of
// the release that takes them along: they are in the log and count, so that their lists can be looked up and proven.
func (p *Publisher) proveSkipped(l Logged) error {
	for n := l.meta.Release - 1; n > 0; n-- {
		m, err := p.outbox.meta(n)
		if _, gone := os.Lstat(p.outbox.path(n, "")); errors.Is(gone, fs.ErrNotExist) || err == nil && m.Done {
			return nil
		}
		if err != nil {
			return err
		}
		s, err := p.loadSigned(n)
		if err != nil || p.inEarlierLog(s) {
			return err
		}
		proof, err := p.outbox.read(s.meta, outProof)
		if err != nil {
			return err
		}
		if proof != nil {
			continue
		}
		index := s.meta.Start + int64(s.meta.Count) - 1
		path, err := tlog.ProveRecord(l.tree.N, index, p.log)
		if err != nil {
			return fmt.Errorf("log: %w", err)
		}
		if err := p.outbox.add(n, outProof, transparency.Proof{Extra: s.raw, Index: index, Path: path, Checkpoint: l.checkpoint}.Format()); err != nil {
			return err
		}
	}
	return nil
}
