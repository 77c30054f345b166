package dir_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/starttls-everywhere/policylist/mirror"
	"github.com/starttls-everywhere/policylist/mirror/dir"
	"github.com/starttls-everywhere/policylist/mirror/storetest"
)

func open(t *testing.T, folder string) *dir.Store {
	t.Helper()
	s, err := dir.Open(folder)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

func TestConformance(t *testing.T) {
	storetest.Run(t, func(t *testing.T) mirror.Store { return open(t, filepath.Join(t.TempDir(), "made", "anew")) })
}

func TestReaderConformance(t *testing.T) {
	storetest.RunReader(t, func(t *testing.T, objects []mirror.Object) mirror.Reader {
		folder := t.TempDir()
		for _, o := range objects {
			if err := open(t, folder).Put(t.Context(), o); err != nil {
				t.Fatal(err)
			}
		}
		r, err := dir.OpenReader(folder)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { r.Close() })
		return r
	})
}

func TestReaderChangesNothing(t *testing.T) {
	folder := filepath.Join(t.TempDir(), "absent")
	if r, err := dir.OpenReader(folder); !mirror.IsAbsent(err) {
		t.Fatalf("opened an absent folder: %v, %v", r, err)
	}
	if _, err := os.Stat(folder); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the folder is there now: %v", err)
	}
}

// A writer was killed between writing and naming: nobody sees its file, and the next writer removes it. A writer that
// lives is not disturbed by one that comes later.
func TestUnfinishedFilesAreInvisibleAndSwept(t *testing.T) {
	folder := t.TempDir()
	alive := open(t, folder)
	unfinished := filepath.Join(folder, ".tmp", "unfinished")
	write(t, unfinished, "ha")
	for path, err := range alive.List(t.Context(), "") {
		t.Errorf("listed %q, %v", path, err)
	}
	later := open(t, folder)
	if _, err := os.Stat(unfinished); err != nil {
		t.Errorf("swept while its writer lives: %v", err)
	}
	for _, s := range []*dir.Store{alive, later} {
		if err := s.Close(); err != nil { // what the kernel does for a process that was killed
			t.Fatal(err)
		}
	}
	s := open(t, folder)
	if _, err := os.Stat(unfinished); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the unfinished file is still there: %v", err)
	}
	for _, write := range []func(context.Context, mirror.Object) error{s.Put, s.Create, s.Create} {
		if err := write(t.Context(), mirror.Object{Path: "checkpoint", Data: []byte("note")}); err != nil {
			t.Fatal(err)
		}
	}
	left, err := os.ReadDir(filepath.Join(folder, ".tmp"))
	if err != nil || len(left) > 0 {
		t.Errorf("after three writes the folder of unfinished files holds %v, %v", left, err)
	}
}

func TestSymbolicLinksCannotLeaveTheFolder(t *testing.T) {
	parent := t.TempDir()
	folder, outside := filepath.Join(parent, "mirror"), filepath.Join(parent, "outside")
	s := open(t, folder)
	write(t, filepath.Join(outside, "secret"), "secret")
	for link, target := range map[string]string{"out": outside, "up": "../outside", "file": "../outside/secret"} {
		if err := os.Symlink(target, filepath.Join(folder, link)); err != nil {
			t.Fatal(err)
		}
	}
	for _, path := range []string{"out/secret", "up/secret", "file"} {
		if data, err := s.Get(t.Context(), path, 100); err == nil {
			t.Errorf("read %q through %s", data, path)
		}
	}
	for _, path := range []string{"out/new", "up/new", "out/secret", "up/secret"} {
		o := mirror.Object{Path: path, Data: []byte("written")}
		if s.Put(t.Context(), o) == nil || s.Create(t.Context(), o) == nil || s.Delete(t.Context(), path) == nil {
			t.Errorf("wrote or deleted through %s", path)
		}
	}
	entries, err := os.ReadDir(outside)
	if err != nil || len(entries) != 1 {
		t.Errorf("outside holds %v, %v", entries, err)
	}
	if data, err := os.ReadFile(filepath.Join(outside, "secret")); err != nil || string(data) != "secret" {
		t.Errorf("the file outside holds %q, %v", data, err)
	}
}

// Someone's editor, backup or half-done rsync may leave its files in the folder.
func TestForeignFilesAreNotListed(t *testing.T) {
	folder := t.TempDir()
	s := open(t, folder)
	for _, name := range []string{"checkpoint", "checkpoint copy", "a:b", "tile/0/000", "tile/0/.tmp-000"} {
		write(t, filepath.Join(folder, name), "x")
	}
	if err := os.Symlink("tile", filepath.Join(folder, "again")); err != nil {
		t.Fatal(err)
	}
	var got []string
	for path, err := range s.List(t.Context(), "") {
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, path)
	}
	if len(got) != 2 || got[0] != "checkpoint" || got[1] != "tile/0/000" {
		t.Errorf("listed %q", got)
	}
}

// A folder stands where an object should go, or a file where its folder should: an error, and nothing is lost.
func TestPathTakenByAnotherKindOfThing(t *testing.T) {
	folder := t.TempDir()
	s := open(t, folder)
	write(t, filepath.Join(folder, "trust", "1"), "one")
	for _, path := range []string{"trust", "trust/1/2"} {
		o := mirror.Object{Path: path, Data: []byte("x")}
		if err := s.Put(t.Context(), o); err == nil || mirror.IsAbsent(err) {
			t.Errorf("put %s: %v", path, err)
		}
		if err := s.Create(t.Context(), o); err == nil || mirror.IsAbsent(err) || errors.Is(err, mirror.ErrConflict) {
			t.Errorf("create %s: %v", path, err)
		}
	}
	if data, err := s.Get(t.Context(), "trust/1", 100); err != nil || string(data) != "one" {
		t.Errorf("got %q, %v", data, err)
	}
}

func TestFilesAreReadableByAWebServer(t *testing.T) {
	folder := t.TempDir()
	if err := open(t, folder).Create(t.Context(), mirror.Object{Path: "trust/1", Data: []byte("x")}); err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]os.FileMode{"trust": 0o055, "trust/1": 0o044} {
		info, err := os.Stat(filepath.Join(folder, path))
		if err != nil {
			t.Fatal(err)
		}
		if got := info.Mode().Perm() & want; got != want {
			t.Skipf("%s has mode %v: this process's umask forbids what is tested here", path, info.Mode())
		}
	}
}

func write(t *testing.T, path, data string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(data), 0o644); err != nil {
		t.Fatal(err)
	}
}
