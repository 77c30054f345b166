package tilelog

import (
	"bytes"
	"context"
	"fmt"

	"golang.org/x/mod/sumdb/tlog"
)

// checkCanceled is how many leaves are hashed between two looks at the context.
const checkCanceled = 4096

// Extend is Append for leaves that an engine elsewhere has sequenced (package trillianlog): the same promises and the same
// files, but the tree is computed by golang.org/x/mod/sumdb/tlog alone, without Trillian. When the tree grows, agree is
// asked about the new one before a byte is written; its error is returned, and the log is what it was. agree must not
// call back into the log.
func (l *Log) Extend(
	ctx context.Context, start int64, leaves [][]byte, agree func(tlog.Tree) error,
) (tlog.Tree, error) {
	return l.grow(ctx, start, leaves, func(ctx context.Context, a *attempt, start int64, leaves [][]byte) error {
		if err := a.hashLeaves(ctx, start, leaves); err != nil {
			return err
		}
		if a.tree == a.base.tree {
			return nil
		}
		return agree(a.tree)
	})
}

// hashLeaves compares the leaves that the log has and adds the others.
func (a *attempt) hashLeaves(ctx context.Context, start int64, leaves [][]byte) error {
	if start > a.end() {
		return fmt.Errorf("%w: index %d, next is %d", ErrGap, start, a.end())
	}
	for i, leaf := range leaves {
		if i%checkCanceled == 0 && ctx.Err() != nil {
			return ctx.Err()
		}
		index := start + int64(i)
		if index < a.end() {
			old, err := a.leaf(index)
			if err != nil {
				return err
			}
			if !bytes.Equal(old, leaf) {
				return fmt.Errorf("%w at index %d", ErrConflict, index)
			}
			continue
		}
		if err := a.hashLeaf(index, leaf); err != nil {
			return err
		}
	}
	var err error
	a.tree.N = a.end()
	a.tree.Hash, err = tlog.TreeHash(a.tree.N, a)
	return err
}

// hashLeaf adds the leaf at the end and every hash that it completes.
func (a *attempt) hashLeaf(index int64, leaf []byte) error {
	hashes, err := tlog.StoredHashes(index, leaf, a)
	if err != nil {
		return err
	}
	for level, hash := range hashes {
		if err := a.setHash(level, index>>level, hash[:]); err != nil {
			return err
		}
	}
	a.added = append(a.added, leaf)
	return nil
}

// ReadHashes is tlog.HashReader over the attempt, with what it adds.
func (a *attempt) ReadHashes(indexes []int64) ([]tlog.Hash, error) {
	hashes := make([]tlog.Hash, len(indexes))
	for i, index := range indexes {
		var err error
		if hashes[i], err = a.hash(index); err != nil {
			return nil, err
		}
	}
	return hashes, nil
}
