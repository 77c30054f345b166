package dir

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"

	"github.com/starttls-everywhere/policylist/mirror"
	"github.com/starttls-everywhere/policylist/mirror/durable"
)

func openStore(t *testing.T, folder string) *Store {
	t.Helper()
	s, err := Open(folder)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

func paths(t *testing.T, s *Store) []string {
	t.Helper()
	var all []string
	for path, err := range s.List(t.Context(), "") {
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, path)
	}
	return all
}

// What a batch holds is not there before Commit, and then all of it is; whichever way it is made durable.
func TestBatch(t *testing.T) {
	s := openStore(t, t.TempDir())
	ctx := t.Context()
	for _, name := range []string{"site/old.html", "site/stays.html"} {
		if err := s.Put(ctx, mirror.Object{Path: name, Data: []byte("old")}); err != nil {
			t.Fatal(err)
		}
	}
	b := s.Batch()
	var wg sync.WaitGroup
	for i := range 40 {
		wg.Go(func() {
			if err := b.Put(ctx, mirror.Object{Path: fmt.Sprintf("site/domain/d%d.example/index.html", i), Data: []byte("new")}); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	for _, data := range []string{"first", "second"} {
		if err := b.Put(ctx, mirror.Object{Path: "site/twice.html", Data: []byte(data)}); err != nil {
			t.Fatal(err)
		}
	}
	if err := errors.Join(b.Put(ctx, mirror.Object{Path: "site/gone.html"}), b.Delete(ctx, "site/gone.html"), b.Delete(ctx, "site/old.html"),
		b.Delete(ctx, "site/never/was.html"), b.Delete(ctx, "site/stays.html"), b.Put(ctx, mirror.Object{Path: "site/stays.html", Data: []byte("new")})); err != nil {
		t.Fatal(err)
	}
	if got := paths(t, s); !slices.Equal(got, []string{"site/old.html", "site/stays.html"}) {
		t.Errorf("before Commit: %q", got)
	}
	if err := b.Commit(ctx); err != nil {
		t.Fatal(err)
	}
	if got := paths(t, s); len(got) != 42 || slices.Contains(got, "site/old.html") || slices.Contains(got, "site/gone.html") {
		t.Errorf("after it: %q", got)
	}
	for path, want := range map[string]string{"site/twice.html": "second", "site/stays.html": "new", "site/domain/d7.example/index.html": "new"} {
		if data, err := s.Get(ctx, path, 100); err != nil || string(data) != want {
			t.Errorf("%s: %q, %v", path, data, err)
		}
	}
	if left, err := filepath.Glob(filepath.Join(s.root.Name(), tempDir, "*")); err != nil || len(left) > 0 {
		t.Errorf("left: %q, %v", left, err)
	}
	// Folders that are empty go, and can come again, however they are written to.
	const d7 = "site/domain/d7.example/index.html"
	if err := errors.Join(s.Put(ctx, mirror.Object{Path: "site/domain/d8.example/b"}), s.Put(ctx, mirror.Object{Path: "a/b/c"}), b.Delete(ctx, "a/b/c"), b.Delete(ctx, d7), b.Delete(ctx, "site/domain/d8.example/index.html"), b.Commit(ctx)); err != nil {
		t.Fatal(err)
	}
	for name, there := range map[string]bool{"a": false, "site/domain/d7.example": false, "site/domain/d8.example": true} {
		if _, err := s.root.Lstat(name); (err == nil) != there {
			t.Errorf("%s: %v", name, err)
		}
	}
	if err := errors.Join(s.Put(ctx, mirror.Object{Path: "file"}), b.Delete(ctx, "file/in/it"), b.Commit(ctx)); err != nil {
		t.Error(err)
	}
	if _, err := s.Get(ctx, "file", 1); err != nil {
		t.Errorf("a file went for a folder: %v", err)
	}
	if err := errors.Join(s.Put(ctx, mirror.Object{Path: "a/b/c"}), b.Put(ctx, mirror.Object{Path: d7}), b.Commit(ctx)); err != nil {
		t.Error(err)
	}
	if err := errors.Join(b.Commit(ctx), s.syncEach([]string{".", "site", "site/twice.html"})); err != nil {
		t.Error(err)
	}
	if err := s.syncEach([]string{"site/old.html"}); err == nil {
		t.Error("what is not there was made durable")
	}
}

// A batch that is not committed leaves nothing, and one that cannot be leaves the old.
func TestBatchThatIsNot(t *testing.T) {
	s := openStore(t, t.TempDir())
	b := s.Batch()
	if err := b.Put(t.Context(), mirror.Object{Path: "site/a.html"}); err != nil {
		t.Fatal(err)
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if err := b.Commit(ended); !errors.Is(err, context.Canceled) {
		t.Errorf("a commit whose time is up: %v", err)
	}
	for _, name := range []string{"../a", ".tmp/a", ""} {
		if b.Put(t.Context(), mirror.Object{Path: name}) == nil || b.Delete(t.Context(), name) == nil {
			t.Errorf("%q was taken", name)
		}
	}
	b.Discard()
	if left, err := filepath.Glob(filepath.Join(s.root.Name(), tempDir, "*")); err != nil || len(left)+len(paths(t, s)) > 0 {
		t.Errorf("left: %q, %q, %v", left, paths(t, s), err)
	}
	// A folder stands where a file is to go.
	if err := os.MkdirAll(filepath.Join(s.root.Name(), "site/b.html/c"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(b.Put(t.Context(), mirror.Object{Path: "site/b.html"}), b.Commit(t.Context())); err == nil {
		t.Error("a folder was replaced")
	}
	b.Discard()
}

// What a kill leaves of a batch, the next Open sweeps.
func TestBatchIsSwept(t *testing.T) {
	folder := t.TempDir()
	s := openStore(t, folder)
	if err := s.Batch().Put(t.Context(), mirror.Object{Path: "site/a.html"}); err != nil {
		t.Fatal(err)
	}
	s.Close()
	if left, _ := filepath.Glob(filepath.Join(folder, tempDir, "*")); len(left) != 1 {
		t.Errorf("before: %q", left)
	}
	openStore(t, folder)
	if left, _ := filepath.Glob(filepath.Join(folder, tempDir, "*")); len(left) != 0 {
		t.Errorf("left: %q", left)
	}
}

func TestLock(t *testing.T) {
	folder := t.TempDir()
	a, b := openStore(t, folder), openStore(t, folder)
	unlock, err := a.Lock("site")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := b.Lock("site"); !errors.Is(err, durable.ErrLocked) {
		t.Errorf("locked twice: %v", err)
	}
	free, err := b.Lock("other")
	if err != nil {
		t.Error(err)
	}
	free()
	unlock()
	if unlock, err = b.Lock("site"); err != nil {
		t.Fatal(err)
	}
	unlock()
	if err := os.Symlink(t.TempDir(), filepath.Join(folder, "out")); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"out", "../site", ""} {
		if _, err := a.Lock(name); err == nil {
			t.Errorf("%q was locked", name)
		}
	}
}
