package mirror

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"
)

// shelf is a mirror in memory that counts what is asked of it and lies where it is told to. Safe for concurrent use.
type shelf struct {
	objects map[string][]byte // shared with the world, which goes on
	lies    map[string][]byte // served instead; nil is absent
	before  func(ctx context.Context, path string) error

	mu    sync.Mutex
	asked []string
	bytes int64
}

func (w *world) mirror() *shelf { return &shelf{objects: w.objects, lies: map[string][]byte{}} }

// at is a mirror that stopped copying after the given release: its pointer is old, the rest is not missed.
func (w *world) at(release int64) *shelf {
	s := w.mirror()
	s.lies[PointerPath] = w.pointers[release]
	return s
}

// Get implements Reader.
func (s *shelf) Get(ctx context.Context, path string, limit int64) ([]byte, error) {
	s.mu.Lock()
	s.asked = append(s.asked, path)
	data, ok := s.lies[path]
	if !ok {
		data = s.objects[path]
	}
	s.bytes += int64(len(data))
	s.mu.Unlock()
	if s.before != nil {
		if err := s.before(ctx, path); err != nil {
			return nil, err
		}
	}
	switch {
	case ctx.Err() != nil:
		return nil, ctx.Err()
	case data == nil:
		return nil, fmt.Errorf("%s: %w", path, fs.ErrNotExist)
	case int64(len(data)) > limit:
		return nil, fmt.Errorf("%s: %w of %d bytes", path, ErrTooLarge, limit)
	}
	return append([]byte(nil), data...), nil
}

func (s *shelf) forget() { s.asked, s.bytes = nil, 0 }

// reader is a client under test together with what its mail server reads.
type reader struct {
	t testing.TB
	*Client
	served View // what the sink was last called with
	sunk   int
}

// join starts a client at the world's first trust version. Its clock is the world's.
func (w *world) join(mirrors ...Reader) *reader {
	w.t.Helper()
	dir := w.t.TempDir()
	_, err := Join(context.Background(), dir, mirrors[0], w.fingerprint())
	w.must(err)
	r := &reader{t: w.t, Client: &Client{Dir: dir, Now: func() time.Time { return w.now }, Log: slog.New(slog.DiscardHandler)}}
	r.ask(mirrors...)
	r.Sinks = []Sink{func(v View) error {
		r.served, r.sunk = v, r.sunk+1
		return nil
	}}
	return r
}

func (r *reader) ask(mirrors ...Reader) {
	r.Sources = nil
	for i, m := range mirrors {
		r.Sources = append(r.Sources, Source{fmt.Sprintf("mirror %d", i), m})
	}
}

// update must succeed.
func (r *reader) update() Outcome {
	r.t.Helper()
	out, err := r.Update(context.Background())
	if err != nil {
		r.t.Fatalf("update: %v; %v", err, out.Problems)
	}
	return out
}

// refuse must find nothing usable, and change neither the state nor what the mail server reads.
func (r *reader) refuse(why string) Outcome {
	r.t.Helper()
	before, sunk := r.files(), r.sunk
	out, err := r.Update(context.Background())
	if !errors.Is(err, ErrNoMirror) || errors.Is(err, ErrSecurity) {
		r.t.Fatalf("%s: got release %v, error %v; want ErrNoMirror", why, out.Release, err)
	}
	r.unchanged(why, before)
	if out.Freshness != Expired && r.sunk != sunk {
		r.t.Errorf("%s: the mail server was given something", why)
	}
	return out
}

func (r *reader) unchanged(why string, before map[string]string) {
	r.t.Helper()
	after := r.files()
	for _, name := range []string{stateFile, stateOldFile, ListPath} {
		if before[name] != after[name] {
			r.t.Errorf("%s: %s changed", why, name)
		}
	}
}

// files reads the client's folder.
func (r *reader) files() map[string]string {
	r.t.Helper()
	files := map[string]string{}
	err := filepath.WalkDir(r.Dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		data, err := os.ReadFile(path)
		rel, _ := filepath.Rel(r.Dir, path)
		files[rel] = string(data)
		return err
	})
	if err != nil {
		r.t.Fatal(err)
	}
	return files
}

// holds checks that the client is exactly at a release of the world: state, list file, and what the mail server reads.
func (r *reader) holds(want *Release) {
	r.t.Helper()
	data, err := want.List.Bytes(want.Leaf.Header())
	if err != nil {
		r.t.Fatal(err)
	}
	out, err := r.Load()
	switch {
	case err != nil || out.Damaged != nil:
		r.t.Fatalf("load: %v, %v", err, out.Damaged)
	case out.Release == nil || out.Release.Release != want.Leaf.Release || out.Release.ListDigest != sum(data):
		r.t.Fatalf("the client holds %+v, want release %d", out.Release, want.Leaf.Release)
	case r.served.Release.Release != want.Leaf.Release:
		r.t.Fatalf("the mail server has release %d, want %d", r.served.Release.Release, want.Leaf.Release)
	}
	for name, list := range map[string]View{"the client": out.View, "the mail server": r.served} {
		got, err := list.List.Bytes(want.Leaf.Header())
		if err != nil || sum(got) != sum(data) && list.Freshness != Expired {
			r.t.Fatalf("%s has another list than release %d: %v\n%s", name, want.Leaf.Release, err, got)
		}
	}
	chain, err := r.Chain()
	if err != nil {
		r.t.Fatal(err)
	}
	if beside, err := OpenProof([]byte(r.files()[PointerPath]), chain); err != nil || string(beside.Raw) != string(want.Raw) ||
		beside.Checkpoint.QuorumTime.Before(out.QuorumTime) && !beside.Checkpoint.QuorumTime.IsZero() {
		r.t.Fatalf("the proof beside the list is not release %d's: %v, %v", want.Leaf.Release, beside, err)
	}
	if got := r.files()[ListPath]; got != string(data) {
		r.t.Fatalf("%s is not release %d's list", ListPath, want.Leaf.Release)
	}
}

func writeFile(t testing.TB, dir, name, data string) {
	t.Helper()
	path := filepath.Join(dir, name)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(data), 0o644); err != nil {
		t.Fatal(err)
	}
}
