package tilelog

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sync"

	"golang.org/x/mod/sumdb/tlog"

	"github.com/starttls-everywhere/policylist/transparency"
)

var (
	// ErrLocked means that another process, or another Log of this one, has the folder open.
	ErrLocked = errors.New("log is open elsewhere")
	// ErrGap means that leaves were to start beyond the end of the log.
	ErrGap = errors.New("leaves would leave a gap in the log")
	// ErrConflict means that the log holds another leaf at an index.
	ErrConflict = errors.New("log holds a different leaf")
	// ErrLeaf means that a leaf is empty or longer than transparency.MaxEntryBytes. Trillian takes no empty leaves.
	ErrLeaf = errors.New("leaf has no valid length")
	// ErrCorrupt means that files do not fit the root, or that the root file is unusable. The log is left as it is:
	// restore the folder from a copy, or rebuild it from a mirror.
	ErrCorrupt = errors.New("log files are damaged")
	// ErrUncertain means that an earlier Append of this Log failed where nobody can tell whether the new root will
	// survive a power failure. Open the log again to find out.
	ErrUncertain = errors.New("unknown whether the last root is durable")
	// ErrNotExist is for a file or leaf that the log does not have. It wraps fs.ErrNotExist.
	ErrNotExist = fmt.Errorf("not in the log: %w", fs.ErrNotExist)
)

// A Log is an open log. Its methods may be used by several goroutines; appends wait for each other, and reads see the
// tree as it was when they began.
type Log struct {
	disk disk
	lock *os.File

	appending sync.Mutex // held during Append and Close

	mu     sync.Mutex // guards the fields below
	tree   tlog.Tree
	broken error // what Append returns from now on
}

// Open opens the log in the folder dir, or creates an empty one there. It checks the root file and that the right edge
// of the tiles has its hash. Errors: ErrLocked, ErrCorrupt.
func Open(dir string) (*Log, error) {
	return open(dir, nil)
}

// open is Open with a step function, see disk.
func open(dir string, step stepFunc) (*Log, error) {
	silenceTrillian()
	if err := os.MkdirAll(dir, dirMode); err != nil {
		return nil, err
	}
	lock, err := lockFile(filepath.Join(dir, lockName))
	if err != nil {
		return nil, err
	}
	l := &Log{disk: disk{dir: dir, step: step}, lock: lock}
	if err := l.load(); err != nil {
		unlockFile(lock)
		return nil, err
	}
	return l, nil
}

// load reads the root and checks it, creating it when the folder is new.
func (l *Log) load() error {
	if err := l.disk.clearTemp(); err != nil {
		return err
	}
	tree, err := readRoot(&l.disk)
	if errors.Is(err, fs.ErrNotExist) {
		tree, err = l.create()
	}
	if err != nil {
		return err
	}
	if err := newReader(&l.disk, tree).checkEdge(); err != nil {
		return err
	}
	l.tree = tree
	return nil
}

// create stores the root of an empty log. A folder that has tiles but no root is not new: it lost its root, and starting
// again at size 0 would sign a second history.
func (l *Log) create() (tlog.Tree, error) {
	tiles := filepath.Join(l.disk.dir, "tile")
	if _, err := os.Lstat(tiles); !errors.Is(err, fs.ErrNotExist) {
		return tlog.Tree{}, fmt.Errorf("%w: %s is missing, but %s is there: "+
			"restore the root file, or rebuild the log from a mirror", ErrCorrupt, filepath.Join(l.disk.dir, rootName), tiles)
	}
	hash, err := tlog.TreeHash(0, nil)
	if err != nil {
		return tlog.Tree{}, err
	}
	tree := tlog.Tree{N: 0, Hash: hash}
	if _, err := writeRoot(&l.disk, tree); err != nil {
		return tlog.Tree{}, err
	}
	return tree, syncDir(filepath.Dir(l.disk.dir))
}

// Close releases the lock. Appending to a closed log fails with fs.ErrClosed.
func (l *Log) Close() error {
	l.appending.Lock()
	defer l.appending.Unlock()
	l.mu.Lock()
	defer l.mu.Unlock()
	l.broken = fs.ErrClosed
	return unlockFile(l.lock)
}

// Tree returns the size and root hash of the log as the root file has them.
func (l *Log) Tree() tlog.Tree {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.tree
}

// Append puts leaves at the indexes start, start+1, … and returns the new tree once it is durable. Indexes that the log
// already has must hold the identical leaf: submitting leaves again after a crash changes nothing. No leaves, no
// change. The leaves must not be modified while Append runs.
//
// Errors: ErrLeaf, ErrGap, ErrConflict, ErrCorrupt, ErrUncertain, or an I/O error. After any error but ErrUncertain the
// log is what it was before.
func (l *Log) Append(ctx context.Context, start int64, leaves [][]byte) (tlog.Tree, error) {
	return l.grow(ctx, start, leaves, sequence)
}

// grow is Append with the engine that decides the tree: it adds the leaves to the attempt, whose tree then has them.
func (l *Log) grow(ctx context.Context, start int64, leaves [][]byte,
	engine func(ctx context.Context, a *attempt, start int64, leaves [][]byte) error,
) (tlog.Tree, error) {
	l.appending.Lock()
	defer l.appending.Unlock()
	l.mu.Lock()
	tree, broken := l.tree, l.broken
	l.mu.Unlock()
	if broken != nil {
		return tlog.Tree{}, broken
	}
	if len(leaves) == 0 {
		return tree, nil
	}
	if err := CheckLeaves(start, leaves); err != nil {
		return tlog.Tree{}, err
	}
	a := newAttempt(newReader(&l.disk, tree))
	if err := engine(ctx, a, start, leaves); err != nil {
		return tlog.Tree{}, fmt.Errorf("appending %d leaves at %d: %w", len(leaves), start, err)
	}
	if a.tree == tree {
		return tree, nil
	}
	uncertain, err := a.commit(ctx)
	l.mu.Lock()
	defer l.mu.Unlock()
	if uncertain {
		l.broken = fmt.Errorf("%w: %w", ErrUncertain, err)
		return tlog.Tree{}, l.broken
	}
	if err != nil {
		return tlog.Tree{}, fmt.Errorf("storing the tree of size %d: %w", a.tree.N, err)
	}
	l.tree = a.tree
	return a.tree, nil
}

// CheckLeaves reports what no log takes whatever it holds: indexes out of range (ErrGap), empty or overlong leaves (ErrLeaf).
func CheckLeaves(start int64, leaves [][]byte) error {
	if start < 0 || start > maxSize-int64(len(leaves)) {
		return fmt.Errorf("%w: %d leaves cannot start at %d", ErrGap, len(leaves), start)
	}
	for i, leaf := range leaves {
		if len(leaf) == 0 || len(leaf) > transparency.MaxEntryBytes {
			return fmt.Errorf("%w: leaf %d has %d bytes, 1 to %d are possible",
				ErrLeaf, start+int64(i), len(leaf), transparency.MaxEntryBytes)
		}
	}
	return nil
}
