package trillianlog

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"sync"

	"golang.org/x/mod/sumdb/tlog"

	"github.com/starttls-everywhere/policylist/transparency/tilelog"
)

var (
	// ErrUnavailable means that the server does not answer in time. Whether it has taken leaves is unknown; submitting
	// them again is safe.
	ErrUnavailable = errors.New("no answer from Trillian")
	// ErrNotIntegrated means that the server has taken leaves that no signer integrates. They stay there; submit them again
	// when the signer runs.
	ErrNotIntegrated = errors.New("leaves are not integrated by Trillian's signer")
	// ErrLeaves means that the server returns other leaves than were added, or not those that its root stands on.
	ErrLeaves = errors.New("wrong leaves from Trillian")
	// ErrRoot means that the server states a root that its leaves do not have, or that does not continue the log.
	ErrRoot = errors.New("wrong root from Trillian")
	// ErrRewound means that the server's tree is smaller than the log is known to be.
	ErrRewound = errors.New("shrunken tree of Trillian")
)

// A Log is an open log: a folder, and the server that it follows. Its methods may be used by several goroutines.
type Log struct {
	server *server
	local  *tilelog.Log

	appending sync.Mutex // held during Append and Close, guards closed
	closed    bool
}

// Open opens the log whose folder is dir, creating it when needed, and brings the folder up to what the server has.
// Errors: ErrOptions, ErrTree, those of tilelog.Open, ErrUnavailable, ErrLeaves, ErrRoot, ErrRewound. After any of them the
// folder holds nothing that the server's root, or Options.Known, does not vouch for.
func Open(ctx context.Context, dir string, o Options) (*Log, error) {
	return open(dir, o, func(l *Log) error {
		if err := checkBinding(dir, o.Tree); err != nil {
			return err
		}
		return l.follow(ctx)
	})
}

// open opens both sides, lets start make them agree, and binds the folder to the tree.
func open(dir string, o Options, start func(*Log) error) (*Log, error) {
	o, err := o.complete()
	if err != nil {
		return nil, err
	}
	local, err := tilelog.Open(dir)
	if err != nil {
		return nil, err
	}
	server, err := dial(o)
	if err != nil {
		return nil, errors.Join(err, local.Close())
	}
	l := &Log{server: server, local: local}
	err = start(l)
	if err == nil {
		err = bind(dir, o.Tree)
	}
	if err != nil {
		return nil, errors.Join(err, l.Close())
	}
	return l, nil
}

// Close releases the folder and the connection. Appending to a closed log fails with fs.ErrClosed.
func (l *Log) Close() error {
	l.appending.Lock()
	defer l.appending.Unlock()
	if l.closed {
		return fs.ErrClosed
	}
	l.closed = true
	return errors.Join(l.server.conn.Close(), l.local.Close())
}

// Tree is the durable tree, whose root Trillian stated and the leaves have.
func (l *Log) Tree() tlog.Tree { return l.local.Tree() }

// ReadFile is tilelog's: a tile or entry bundle by its C2SP path, from the folder, checked against the root.
func (l *Log) ReadFile(path string) ([]byte, error) { return l.local.ReadFile(path) }

// ReadHashes makes Log a tlog.HashReader, as tilelog's does.
func (l *Log) ReadHashes(indexes []int64) ([]tlog.Hash, error) { return l.local.ReadHashes(indexes) }

// Append is tilelog's: leaves at start, start+1, … of which those that the log has must be the same; the tree, durable.
//
// Errors: tilelog's, and those of this package. After any of them the folder is what it was, or follows the server, which
// may have taken the leaves (see the package comment).
func (l *Log) Append(ctx context.Context, start int64, leaves [][]byte) (tlog.Tree, error) {
	l.appending.Lock()
	defer l.appending.Unlock()
	if l.closed {
		return tlog.Tree{}, fs.ErrClosed
	}
	if len(leaves) == 0 {
		return l.Tree(), nil
	}
	if err := tilelog.CheckLeaves(start, leaves); err != nil {
		return tlog.Tree{}, err
	}
	if err := l.follow(ctx); err != nil {
		return tlog.Tree{}, err
	}
	if err := l.append(ctx, start, leaves); err != nil {
		return tlog.Tree{}, fmt.Errorf("appending %d leaves at %d: %w", len(leaves), start, err)
	}
	return l.Tree(), nil
}

func (l *Log) append(ctx context.Context, start int64, leaves [][]byte) error {
	size := l.Tree().N
	if start > size {
		// Trillian would take them, and wait for ever for those between.
		return fmt.Errorf("%w: index %d, next is %d", tilelog.ErrGap, start, size)
	}
	known := min(size-start, int64(len(leaves)))
	if _, err := l.local.Extend(ctx, start, leaves[:known], nil); err != nil {
		return err
	}
	added := leaves[known:]
	if len(added) == 0 {
		return nil
	}
	taken, err := l.server.add(ctx, size, added)
	if err != nil {
		return err
	}
	root, err := l.server.wait(ctx, size, size+int64(len(added)))
	if err != nil {
		return err
	}
	stored, err := l.server.leaves(ctx, size, root.N)
	if err != nil {
		return err
	}
	for i, leaf := range added {
		if bytes.Equal(leaf, stored[i]) {
			continue
		}
		if index := size + int64(i); taken[index] {
			return fmt.Errorf("%w at index %d: somebody else appends to Trillian's tree %d", tilelog.ErrConflict, index, l.server.Tree)
		}
		return fmt.Errorf("%w: leaf %d is not what was added", ErrLeaves, size+int64(i))
	}
	return l.extend(ctx, stored, root)
}

// follow brings the folder up to the server's tree, by way of the known one if that is on the way.
func (l *Log) follow(ctx context.Context) error {
	root, err := l.server.root(ctx)
	if err != nil {
		return err
	}
	tree, known := l.Tree(), l.server.Known
	switch {
	case root.N < tree.N:
		return fmt.Errorf("%w: tree %d has size %d, this log %d; was its database restored from a backup, or is it another tree?",
			ErrRewound, l.server.Tree, root.N, tree.N)
	case root.N < known.N:
		return fmt.Errorf("%w: tree %d has size %d, a tree of size %d is known", ErrRewound, l.server.Tree, root.N, known.N)
	}
	if err := l.fetch(ctx, known); err != nil {
		return err
	}
	return l.fetch(ctx, root)
}

// contains checks that a tree which is not larger than the log is its beginning.
func contains(log *tilelog.Log, want tlog.Tree) error {
	if want.N == 0 || want.N > log.Tree().N {
		return nil
	}
	hash, err := tlog.TreeHash(want.N, log)
	if err == nil && hash != want.Hash {
		err = fmt.Errorf("%w: at size %d this log has the root %s, not %s", ErrRoot, want.N, hash, want.Hash)
	}
	return err
}

// fetch adds the server's leaves up to the tree want. A log that is there already must have that tree.
func (l *Log) fetch(ctx context.Context, want tlog.Tree) error {
	if err := contains(l.local, want); err != nil {
		return err
	}
	size := l.Tree().N
	if want.N <= size {
		return nil
	}
	leaves, err := l.server.leaves(ctx, size, want.N)
	if err != nil {
		return err
	}
	return l.extend(ctx, leaves, want)
}

// extend stores leaves at the end of the folder if their tree is want.
func (l *Log) extend(ctx context.Context, leaves [][]byte, want tlog.Tree) error {
	_, err := l.local.Extend(ctx, l.Tree().N, leaves, func(tree tlog.Tree) error {
		if tree != want {
			return fmt.Errorf("%w: tree %d should have at size %d the root %s, its leaves have %s",
				ErrRoot, l.server.Tree, want.N, want.Hash, tree.Hash)
		}
		return nil
	})
	return err
}
