package pipeline

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"golang.org/x/mod/sumdb/tlog"

	"github.com/starttls-everywhere/policylist/mirror/durable"
	"github.com/starttls-everywhere/policylist/transparency/witness"
)

// WitnessSeen is what a witness of the trust says of the log.
type WitnessSeen struct {
	Name string
	Size int64 // of the tree that it has cosigned now, 0 when it did not say
	Err  error // why it did not say; it contradicts nothing
}

// askWitnesses asks every witness for a cosignature under the signed tree, which is public. One that knows a larger tree
// says so: then the publisher that lost its state had got further than any mirror shows.
func (r *recovery) askWitnesses(ctx context.Context) error {
	trust := r.Trust.Newest()
	if r.out.Earlier || trust.Witnesses.IsNone() {
		return nil
	}
	if r.Witnesses == nil {
		return fmt.Errorf("%w: version %d has a quorum", ErrWitnesses, trust.Version)
	}
	answers := r.askAll(ctx, trust.Witnesses.Witnesses(), witness.Tree{
		Note: logLine(r.target.Note), Size: r.target.Tree.N,
		Prove: func(old int64) (tlog.TreeProof, error) { return tlog.ProveTree(r.target.Tree.N, old, r.log) },
	}, nil)
	if err := ctx.Err(); err != nil {
		return err
	}
	var errs []error
	for i, w := range trust.Witnesses.Witnesses() {
		seen := WitnessSeen{Name: w.Name, Size: r.target.Tree.N, Err: answers[i].err}
		var refusal *witness.Refusal
		if errors.As(answers[i].err, &refusal) {
			seen.Size, seen.Err = max(refusal.Size, 0), nil
			if err := r.judgeRefusal(refusal); err != nil {
				seen.Err = err
				errs = append(errs, err)
			}
		} else if seen.Err != nil {
			seen.Size = 0
		}
		r.out.Witnesses = append(r.out.Witnesses, seen)
	}
	return errors.Join(errs...)
}

// judgeRefusal is nil for a witness that knows no more than what was found behind the signed tree.
func (r *recovery) judgeRefusal(refusal *witness.Refusal) error {
	size := r.log.Tree().N
	if theirs, err := r.openLogged(refusal.Theirs); err == nil && theirs.Origin == r.target.Origin {
		n := signedNote{theirs, "witness " + refusal.Witness.Name}
		switch {
		case theirs.Tree.N > size:
		case theirs.Tree.N <= r.target.Tree.N:
			if err := r.contradiction(n, r.log); err != nil {
				return err
			}
		default:
			root, err := tlog.TreeHash(theirs.Tree.N, r.log)
			if err != nil {
				return fmt.Errorf("log: %w", err)
			}
			if root != theirs.Tree.Hash {
				return r.unknownTree(refusal, theirs.Tree.N)
			}
			return nil
		}
	}
	if refusal.Size > size || refusal.Size < 0 {
		return r.unknownTree(refusal, refusal.Size)
	}
	return nil
}

// unknownTree keeps what shows that a witness knows a tree that nobody has.
func (r *recovery) unknownTree(refusal *witness.Refusal, size int64) error {
	err := fmt.Errorf("%w: witness %s", ErrKnown, refusal.Witness.Name)
	if size > 0 {
		err = fmt.Errorf("%w has one of %d entries, the mirrors and what was spread to them %d", err, size, r.log.Tree().N)
	}
	if r.o.Evidence == "" {
		return err
	}
	data, failed := r.evidence(refusal, r.target.Tree)
	if failed != nil {
		return errors.Join(err, failed)
	}
	path := filepath.Join(r.o.Evidence, "refusal-"+digest(data)+".json")
	if failed := os.MkdirAll(r.o.Evidence, 0o755); failed != nil {
		return errors.Join(err, failed)
	}
	return errors.Join(fmt.Errorf("%w; evidence: %s", err, path), durable.WriteFile(path, data, 0o644))
}
