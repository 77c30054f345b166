package pipeline

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"

	"golang.org/x/mod/sumdb/tlog"

	"github.com/starttls-everywhere/policylist/mirror"
	"github.com/starttls-everywhere/policylist/mirror/durable"
	"github.com/starttls-everywhere/policylist/transparency"
	"github.com/starttls-everywhere/policylist/transparency/witness"
)

// evidenceDir keeps, below the state, what shows that this log has two histories; a file's name is its digest.
const evidenceDir = "evidence"

// keepRefusals writes a file for every witness that refused the release. The error names them, and is nil when none did.
func (p *Publisher) keepRefusals(s Signed, tree tlog.Tree, answers []answer) error {
	var errs []error
	for _, a := range answers {
		var r *witness.Refusal
		if !errors.As(a.err, &r) {
			continue
		}
		e, err := p.evidence(r, tree)
		if err != nil {
			return err
		}
		path, err := p.keepEvidence(e)
		if err != nil {
			return err
		}
		errs = append(errs, fmt.Errorf("%w; evidence: %s", r, path))
	}
	if len(errs) == 0 {
		return nil
	}
	return fmt.Errorf("%w: release %d stays unpublished: %w", ErrRefused, s.meta.Release, errors.Join(errs...))
}

// evidence puts a refusal into a form that a stranger can check: a proven fork where the witness shows the checkpoint
// that it holds and that is no prefix of our tree, else our half of one.
func (p *Publisher) evidence(r *witness.Refusal, tree tlog.Tree) ([]byte, error) {
	ours := string(r.Request.Checkpoint)
	if c, err := p.openLogged(r.Theirs); err == nil {
		if e, err := p.forkOf(string(c.Note), c.Tree, ours, tree); err == nil && e.Check(p.Trust) == nil {
			return e.Bytes(), nil
		}
	}
	half := mirror.Refusal{
		Evidence: mirror.Evidence{Kind: mirror.KindRefusal, Origin: p.Trust.Newest().Origin, Second: ours, Proof: r.Request.Proof},
		Witness:  r.Witness.Name, VKey: r.Witness.VKey, URL: r.Witness.URL, Status: r.Response.Status, Old: r.Request.Old, Theirs: string(r.Theirs),
	}
	if r.Size > tree.N {
		half.First, half.Second, half.Proof, half.Size = ours, "", nil, r.Size
		return half.Bytes(), nil
	}
	if old := r.Request.Old; old > 0 && old < tree.N {
		root, err := tlog.TreeHash(old, p.log)
		if err != nil {
			return nil, fmt.Errorf("log: %w", err)
		}
		half.Root = &root
	}
	return half.Bytes(), nil
}

// forkOf makes the evidence of two signed notes, the second of which belongs to our log and is as large as it.
func (p *Publisher) forkOf(theirs string, a tlog.Tree, ours string, b tlog.Tree) (mirror.Evidence, error) {
	e := mirror.Evidence{Kind: mirror.KindFork, Origin: p.Trust.Newest().Origin, First: theirs, Second: ours}
	switch {
	case a.N == b.N:
		return e, nil
	case a.N > b.N || a.N == 0:
		return e, errors.New("no proof from a larger tree to a smaller one")
	}
	proof, err := tlog.ProveTree(b.N, a.N, p.log)
	if err != nil {
		return e, fmt.Errorf("log: %w", err)
	}
	root, err := tlog.TreeHash(a.N, p.log)
	if err != nil {
		return e, fmt.Errorf("log: %w", err)
	}
	e.Proof, e.Root = proof, &root
	return e, nil
}

// forked is the error of a mirror that holds another history. Its evidence is whole where we have signed a tree as large.
func (p *Publisher) forked(m Target, theirs transparency.Cosigned) error {
	err := fmt.Errorf("%w: %s at size %d:\n%s", ErrFork, m.Name, theirs.Tree.N, theirs.Note)
	ours, failed := p.newestSigned()
	if failed != nil || ours.Origin != theirs.Origin || ours.Tree.N < theirs.Tree.N {
		return errors.Join(err, failed)
	}
	e, failed := p.forkOf(string(theirs.Note), theirs.Tree, string(ours.Note), ours.Tree)
	if failed != nil {
		return errors.Join(err, failed)
	}
	path, failed := p.keepEvidence(e.Bytes())
	if failed != nil {
		return errors.Join(err, failed)
	}
	return fmt.Errorf("%w\nevidence: %s", err, path)
}

func (p *Publisher) keepEvidence(data []byte) (path string, err error) {
	path = filepath.Join(p.State, evidenceDir, digest(data)+".json")
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return path, err
	}
	return path, durable.WriteFile(path, data, 0o644)
}

// openLogged opens a note that this list's log signed, under any trust version, whoever cosigned it.
func (p *Publisher) openLogged(note []byte) (transparency.Cosigned, error) {
	err := errors.New("no checkpoint")
	for _, t := range slices.Backward(p.Trust.Versions()) {
		var c transparency.Cosigned
		if c, _, err = t.OpenSigned(note); err == nil {
			return c, nil
		}
	}
	return transparency.Cosigned{}, err
}
