// Package logtest holds one test of everything that a log engine promises, for every engine, so that nobody can tell from
// what is published which one made it. Only tests import it.
//
//	func TestConformance(t *testing.T) {
//		logtest.Run(t, func(t *testing.T) logtest.Open {
//			return func(dir string) (logtest.Log, error) { return tilelog.Open(dir) }
//		})
//	}
package logtest

import (
	"context"
	"path/filepath"
	"testing"
	"time"

	"golang.org/x/mod/sumdb/tlog"
)

// Log is what an engine offers (pipeline.Log). The errors are tilelog's.
type Log interface {
	Tree() tlog.Tree
	Append(ctx context.Context, start int64, leaves [][]byte) (tlog.Tree, error)
	ReadFile(path string) ([]byte, error)
	tlog.HashReader
	Close() error
}

// Open opens the log in a folder; each time it is called with the same folder, the same log.
type Open func(dir string) (Log, error)

// patience bounds one append.
const patience = 2 * time.Minute

// Run tests an engine. fresh begins a log that no folder has opened yet.
func Run(t *testing.T, fresh func(t *testing.T) Open) {
	for _, c := range []struct {
		name string
		test func(*testing.T, Open)
	}{
		{"every size has the bytes that x/mod makes", sameBytes},
		{"large leaves", largeLeaves},
		{"the same leaf twice", repeatedLeaf},
		{"leaves are submitted again", submittedAgain},
		{"refused leaves change nothing", refused},
		{"a canceled append changes nothing", canceled},
		{"files of the tree and no others", noOtherFiles},
		{"one opens the log", oneOpener},
	} {
		t.Run(c.name, func(t *testing.T) { c.test(t, fresh(t)) })
	}
}

func mustOpen(t *testing.T, open Open, dir string) Log {
	t.Helper()
	l, err := open(dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return l
}

func newLog(t *testing.T, open Open) Log {
	t.Helper()
	return mustOpen(t, open, filepath.Join(t.TempDir(), "log"))
}

func mustAppend(t *testing.T, l Log, start int64, leaves [][]byte) {
	t.Helper()
	tree, err := l.Append(within(t), start, leaves)
	if err != nil {
		t.Fatal(err)
	}
	if want := start + int64(len(leaves)); tree.N != want || l.Tree() != tree {
		t.Fatalf("after appending up to %d: returned %v, kept %v", want, tree, l.Tree())
	}
}

func within(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	t.Cleanup(cancel)
	return ctx
}
