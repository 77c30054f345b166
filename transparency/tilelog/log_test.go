package tilelog

import (
	"context"
	"path/filepath"
	"testing"

	"golang.org/x/mod/sumdb/tlog"
)

func newLog(t testing.TB) *Log {
	t.Helper()
	return mustOpen(t, filepath.Join(t.TempDir(), "log"))
}

func mustOpen(t testing.TB, dir string) *Log {
	t.Helper()
	l, err := Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return l
}

func mustAppend(t testing.TB, l *Log, start int64, leaves [][]byte) tlog.Tree {
	t.Helper()
	tree, err := l.Append(context.Background(), start, leaves)
	if err != nil {
		t.Fatal(err)
	}
	if want := start + int64(len(leaves)); tree.N != want || l.Tree() != tree {
		t.Fatalf("tree after appending up to %d: returned %v, kept %v", want, tree, l.Tree())
	}
	return tree
}
