//go:build unix

package trillianlog_test

import (
	"bytes"
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"testing"
	"time"

	"golang.org/x/mod/sumdb/tlog"

	"github.com/starttls-everywhere/policylist/mirror/storetest/trillianserver"
	"github.com/starttls-everywhere/policylist/transparency/logtest"
	"github.com/starttls-everywhere/policylist/transparency/tilelog"
	"github.com/starttls-everywhere/policylist/transparency/trillianlog"
)

// TestTrillian tells its stories to one real Trillian, each about a tree of its own.
func TestTrillian(t *testing.T) {
	s := trillianserver.Start(t)
	t.Run("conformance", func(t *testing.T) {
		logtest.Run(t, func(t *testing.T) logtest.Open {
			tree := s.NewTree(t)
			return func(dir string) (logtest.Log, error) { return open(t, dir, s.Address, tree) }
		})
	})
	for _, story := range []struct {
		name string
		tell func(*testing.T, *trillianserver.Servers)
	}{
		{"the folder is tilelog's", sameFolder},
		{"a lost folder is rebuilt", rebuilt},
		{"a folder that is behind catches up", caughtUp},
		{"a rebuilt log must have a known tree", known},
		{"two publishers, one tree", twoPublishers},
		{"the signer is down", signerDown},
		{"a log moves to Trillian", filled},
		{"a folder belongs to its tree", bound},
		{"liars", liars},
		{"no tree, no server", nobody},
		{"TLS", overTLS},
	} {
		t.Run(story.name, func(t *testing.T) { story.tell(t, s) })
	}
}

// open gives up early: everything is on this machine.
func open(t *testing.T, dir, address string, tree int64) (*trillianlog.Log, error) {
	t.Helper()
	return trillianlog.Open(t.Context(), dir, options(address, tree))
}

func options(address string, tree int64) trillianlog.Options {
	return trillianlog.Options{Address: address, Tree: tree, Timeout: 10 * time.Second, Patience: 10 * time.Second}
}

func mustOpen(t *testing.T, dir, address string, tree int64) *trillianlog.Log {
	t.Helper()
	l, err := open(t, dir, address, tree)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return l
}

type appender interface {
	Append(ctx context.Context, start int64, leaves [][]byte) (tlog.Tree, error)
}

func mustAppend(t *testing.T, l appender, start int64, leaves [][]byte) tlog.Tree {
	t.Helper()
	tree, err := l.Append(t.Context(), start, leaves)
	if err != nil {
		t.Fatal(err)
	}
	return tree
}

func folder(t *testing.T) string { return filepath.Join(t.TempDir(), "log") }

// embedded is the same log made by the embedded engine in the same steps, and the folder that it made.
func embedded(t *testing.T, sizes ...int64) (dir string, tree tlog.Tree) {
	t.Helper()
	dir = folder(t)
	l, err := tilelog.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	old := int64(0)
	for _, size := range sizes {
		tree = mustAppend(t, l, old, logtest.Leaves(old, size-old))
		old = size
	}
	return dir, tree
}

// sameFolder compares every file of the folder with what the embedded engine leaves there, root file included; and
// then the embedded engine goes on with Trillian's folder.
func sameFolder(t *testing.T, s *trillianserver.Servers) {
	sizes := []int64{1, 255, 256, 257, 1000, 1001}
	theirs, tree := embedded(t, sizes...)
	ours := folder(t)
	l := mustOpen(t, ours, s.Address, s.NewTree(t))
	old := int64(0)
	for _, size := range sizes {
		mustAppend(t, l, old, logtest.Leaves(old, size-old))
		old = size
	}
	l.Close()
	files := 0
	err := filepath.WalkDir(theirs, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		name, err := filepath.Rel(theirs, path)
		if err != nil {
			return err
		}
		want, err1 := os.ReadFile(path)
		got, err2 := os.ReadFile(filepath.Join(ours, name))
		if !bytes.Equal(got, want) {
			t.Errorf("%s differs", name)
		}
		files++
		return errors.Join(err1, err2)
	})
	if err != nil || files < 2+len(tilelog.Files(0, tree.N)) {
		t.Errorf("%d files compared, %v", files, err)
	}
	back, err := tilelog.Open(ours)
	if err != nil {
		t.Fatal(err)
	}
	defer back.Close()
	mustAppend(t, back, tree.N, logtest.Leaves(tree.N, 5))
}

func rebuilt(t *testing.T, s *trillianserver.Servers) {
	id := s.NewTree(t)
	l := mustOpen(t, folder(t), s.Address, id)
	mustAppend(t, l, 0, logtest.Leaves(0, 700))
	want := mustAppend(t, l, 700, logtest.Leaves(700, 2500))
	l.Close()
	o := options(s.Address, id)
	o.Known = want
	again, err := trillianlog.Open(t.Context(), folder(t), o)
	if err != nil {
		t.Fatal(err)
	}
	defer again.Close()
	if again.Tree() != want {
		t.Errorf("rebuilt %v, want %v", again.Tree(), want)
	}
	// An older tree's tiles are there as well, although no append ended there now.
	for _, path := range tilelog.Files(0, 700) {
		if _, err := again.ReadFile(path); err != nil {
			t.Error(err)
		}
	}
}

// caughtUp is what a kill between Trillian's and our own storing leaves.
func caughtUp(t *testing.T, s *trillianserver.Servers) {
	id := s.NewTree(t)
	dir, copied := folder(t), folder(t)
	l := mustOpen(t, dir, s.Address, id)
	mustAppend(t, l, 0, logtest.Leaves(0, 300))
	l.Close()
	if err := os.CopyFS(copied, os.DirFS(dir)); err != nil {
		t.Fatal(err)
	}
	l = mustOpen(t, dir, s.Address, id)
	want := mustAppend(t, l, 300, logtest.Leaves(300, 400))
	late := mustOpen(t, copied, s.Address, id)
	if late.Tree() != want {
		t.Errorf("caught up to %v, want %v", late.Tree(), want)
	}
	if tree := mustAppend(t, late, 300, logtest.Leaves(300, 400)); tree != want {
		t.Errorf("submitting again: %v", tree)
	}
}

func known(t *testing.T, s *trillianserver.Servers) {
	id := s.NewTree(t)
	l := mustOpen(t, folder(t), s.Address, id)
	tree := mustAppend(t, l, 0, logtest.Leaves(0, 300))
	for story, c := range map[string]struct {
		known tlog.Tree
		want  error
	}{
		"another tree of the same size": {tlog.Tree{N: 300, Hash: tlog.Hash{1}}, trillianlog.ErrRoot},
		"another beginning":             {tlog.Tree{N: 200, Hash: tree.Hash}, trillianlog.ErrRoot},
		"a larger tree":                 {tlog.Tree{N: 301, Hash: tree.Hash}, trillianlog.ErrRewound},
	} {
		o := options(s.Address, id)
		o.Known = c.known
		if _, err := trillianlog.Open(t.Context(), folder(t), o); !errors.Is(err, c.want) {
			t.Errorf("%s, empty folder: %v", story, err)
		}
	}
}

// twoPublishers share a tree but not a folder, so no lock keeps them apart.
func twoPublishers(t *testing.T, s *trillianserver.Servers) {
	id := s.NewTree(t)
	a, b := mustOpen(t, folder(t), s.Address, id), mustOpen(t, folder(t), s.Address, id)
	want := mustAppend(t, a, 0, logtest.Leaves(0, 10))
	if _, err := b.Append(t.Context(), 0, logtest.Leaves(5, 10)); !errors.Is(err, tilelog.ErrConflict) {
		t.Errorf("other leaves at the same indexes: %v", err)
	}
	if b.Tree() != want {
		t.Errorf("the second has %v, the first %v", b.Tree(), want)
	}
	if tree := mustAppend(t, b, 10, logtest.Leaves(10, 5)); tree.N != 15 {
		t.Errorf("the second goes on to %v", tree)
	}
	mustAppend(t, a, 15, logtest.Leaves(15, 1))
}

// signerDown: leaves wait in Trillian, and the log here does not have them. When the signer is back they are taken up by
// the same call; another leaf at an index that waits is a conflict.
func signerDown(t *testing.T, s *trillianserver.Servers) {
	id, dir := s.NewTree(t), folder(t)
	l := mustOpen(t, dir, s.Address, id)
	tree := mustAppend(t, l, 0, logtest.Leaves(0, 10))
	l.Close()
	s.StopSigner()
	o := options(s.Address, id)
	o.Patience = 300 * time.Millisecond
	l, err := trillianlog.Open(t.Context(), dir, o)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	for range 2 {
		if _, err := l.Append(t.Context(), 10, logtest.Leaves(10, 20)); !errors.Is(err, trillianlog.ErrNotIntegrated) {
			t.Fatalf("without a signer: %v", err)
		}
		if l.Tree() != tree {
			t.Fatalf("the tree is %v", l.Tree())
		}
	}
	s.StartSigner()
	patient := mustOpen(t, folder(t), s.Address, id)
	if got := mustAppend(t, patient, 10, logtest.Leaves(10, 25)); got.N != 35 {
		t.Errorf("with a signer: %v", got)
	}
	s.StopSigner()
	if _, err := l.Append(t.Context(), 35, logtest.Leaves(35, 1)); !errors.Is(err, trillianlog.ErrNotIntegrated) {
		t.Fatalf("without a signer: %v", err)
	}
	s.StartSigner()
	if _, err := patient.Append(t.Context(), 35, logtest.Leaves(99, 1)); !errors.Is(err, tilelog.ErrConflict) {
		t.Errorf("another leaf where one waited: %v", err)
	}
}

func filled(t *testing.T, s *trillianserver.Servers) {
	id := s.NewTree(t)
	dir, want := embedded(t, 300, 1300)
	if _, err := open(t, dir, s.Address, id); !errors.Is(err, trillianlog.ErrRewound) {
		t.Fatalf("opening an empty tree as this log: %v", err)
	}
	// Half of it is there from an attempt that was interrupted.
	mustAppend(t, mustOpen(t, folder(t), s.Address, id), 0, logtest.Leaves(0, 500))
	for range 2 {
		if tree, err := trillianlog.Fill(t.Context(), dir, options(s.Address, id)); err != nil || tree != want {
			t.Fatalf("filled: %v, %v, want %v", tree, err, want)
		}
	}
	l := mustOpen(t, dir, s.Address, id)
	tree := mustAppend(t, l, want.N, logtest.Leaves(want.N, 10))
	l.Close()
	if _, same := embedded(t, tree.N); tree != same {
		t.Errorf("grew to %v, want %v", tree, same)
	}

	other := s.NewTree(t)
	mustAppend(t, mustOpen(t, folder(t), s.Address, other), 0, logtest.Leaves(1, 3))
	if _, err := trillianlog.Fill(t.Context(), dir, options(s.Address, other)); !errors.Is(err, trillianlog.ErrRoot) {
		t.Errorf("filling another log's tree: %v", err)
	}
}

func bound(t *testing.T, s *trillianserver.Servers) {
	dir, id := folder(t), s.NewTree(t)
	if tree, err := trillianlog.BoundTree(dir); tree != 0 || err != nil {
		t.Errorf("no folder: %d, %v", tree, err)
	}
	mustOpen(t, dir, s.Address, id).Close()
	if tree, err := trillianlog.BoundTree(dir); tree != id || err != nil {
		t.Errorf("bound to %d, %v", tree, err)
	}
	if _, err := open(t, dir, s.Address, s.NewTree(t)); !errors.Is(err, trillianlog.ErrTree) {
		t.Errorf("another tree: %v", err)
	}
	for _, text := range []string{"", "tree", "tree 0\n", "tree 7", "tree 07\n", "tree -7\n", "tree 7\n\n", "leaf 7\n"} {
		if err := os.WriteFile(filepath.Join(dir, "trillian"), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		if _, err := open(t, dir, s.Address, 7); !errors.Is(err, trillianlog.ErrTree) {
			t.Errorf("%q: %v", text, err)
		}
	}
}

func nobody(t *testing.T, s *trillianserver.Servers) {
	for story, c := range map[string]struct {
		change func(*trillianlog.Options)
		want   error
	}{
		"no address": {func(o *trillianlog.Options) { o.Address = "" }, trillianlog.ErrOptions},
		"no tree":    {func(o *trillianlog.Options) { o.Tree = 0 }, trillianlog.ErrOptions},
		"no server": {func(o *trillianlog.Options) { o.Address, o.Timeout = "127.0.0.1:1", 200*time.Millisecond },
			trillianlog.ErrUnavailable},
	} {
		o := options(s.Address, 1)
		c.change(&o)
		if _, err := trillianlog.Open(t.Context(), folder(t), o); !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %v", story, err, c.want)
		}
	}
	if _, err := open(t, folder(t), s.Address, 1); err == nil {
		t.Error("opened a tree that does not exist")
	} else {
		t.Log(err)
	}
}
