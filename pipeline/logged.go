package pipeline

import (
	"bytes"
	"context"
	"errors"
	"fmt"

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
}

// ErrKeys means that the configured keys are not those that the trust names.
var ErrKeys = errors.New("these are not the keys of the trust")

// checkLogKey lets the log key sign the empty tree, of which nobody learns, and looks whether clients would believe
// it. It comes before anything is written: a release that is logged cannot be taken back.
func (p *Publisher) checkLogKey() error {
	trust := p.Trust.Newest()
	if !trust.Witnesses.IsNone() {
		return nil // without a quorum no checkpoint opens; signTree looks at it
	}
	root, err := tlog.TreeHash(0, nil)
	if err != nil {
		return err
	}
	note, err := transparency.SignCheckpoint(transparency.Checkpoint{Origin: trust.Origin, Tree: tlog.Tree{Hash: root}}, p.Keys.Log)
	if err != nil {
		return err
	}
	if _, err := trust.OpenCheckpoint(note); err != nil {
		return fmt.Errorf("%w: the log key: %w", ErrKeys, err)
	}
	return nil
}

// ErrWitnesses means that the trust asks for cosignatures and no witness client is configured.
var ErrWitnesses = errors.New("the trust asks for witnesses")

// append puts the release into the log. Its tiles go to a mirror before the log signs: losing this disk must not
// lose a tree that somebody has seen signed.
func (p *Publisher) append(ctx context.Context, s Signed) (Logged, error) {
	end := s.meta.Start + int64(s.meta.Count)
	tree, err := p.log.Append(ctx, s.meta.Start, s.entries)
	if err != nil {
		return Logged{}, fmt.Errorf("log: %w", err)
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
	l := Logged{Signed: s, tree: tree}
	if l.checkpoint, err = p.signTree(s, tree); err != nil {
		return l, err
	}
	p.step(s.meta.Release, "signed")
	return l, p.prove(&l)
}

// signTree signs the checkpoint, once: a second run finds the first one's note.
func (p *Publisher) signTree(s Signed, tree tlog.Tree) ([]byte, error) {
	trust := p.Trust.Newest()
	note, err := p.outbox.read(s.meta, outCheckpoint)
	if err != nil {
		return nil, err
	}
	if note != nil {
		c, err := trust.OpenCheckpoint(note)
		if err == nil && c.Tree != tree {
			err = fmt.Errorf("it is for %d entries with another root", c.Tree.N)
		}
		if err != nil {
			return nil, fmt.Errorf("%w: %s: %w", ErrState, p.outbox.path(s.meta.Release, outCheckpoint), err)
		}
		return note, nil
	}
	if !trust.Witnesses.IsNone() {
		return nil, fmt.Errorf("%w: version %d has a quorum", ErrWitnesses, trust.Version)
	}
	if note, err = transparency.SignCheckpoint(transparency.Checkpoint{Origin: trust.Origin, Tree: tree}, p.Keys.Log); err != nil {
		return nil, err
	}
	return note, p.outbox.add(s.meta.Release, outCheckpoint, note)
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
