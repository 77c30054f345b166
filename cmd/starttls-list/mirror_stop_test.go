package main

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/starttls-everywhere/policylist/mirror"
	"github.com/starttls-everywhere/policylist/mirror/dir"
)

var errStopped = errors.New("stopped")

// stopping is a store whose process dies before one of its writes.
type stopping struct {
	mirror.Store
	writes, last int
}

func (s *stopping) may() error {
	if s.writes == s.last {
		return errStopped
	}
	s.writes++
	return nil
}

func (s *stopping) Put(ctx context.Context, o mirror.Object) error {
	if err := s.may(); err != nil {
		return err
	}
	return s.Store.Put(ctx, o)
}

// A run stops before each of its writes of what has an order to keep; a new client of the destination gets a whole
// release every time, never older than before, and the next run ends where an undisturbed one does.
func TestMirrorStoppedMidway(t *testing.T) {
	op := newOperator(t)
	op.release(0)
	start := t.TempDir()
	list(t, 0, "mirror", op.public(), start)
	op.release(30)
	from, err := dir.OpenReader(op.public())
	if err != nil {
		t.Fatal(err)
	}
	defer from.Close()
	const mutable = 5 // policy.json and its two signatures, checkpoint, pointer
	for stop := range mutable + 1 {
		work := filepath.Join(t.TempDir(), "work")
		if err := os.CopyFS(work, os.DirFS(start)); err != nil {
			t.Fatal(err)
		}
		store, err := dir.Open(work)
		if err != nil {
			t.Fatal(err)
		}
		chain, err := mirror.FindTrust(t.Context(), store, nil)
		if err != nil {
			t.Fatal(err)
		}
		sync := mirror.Sync{From: from, To: &stopping{Store: store, last: stop}, Chain: chain}
		_, err = sync.Run(t.Context())
		if want := stop < mutable; errors.Is(err, errStopped) != want {
			t.Fatalf("stop %d: %v", stop, err)
		}
		want := int64(1)
		if stop == mutable {
			want = 2
		}
		if got := newClientGets(t, store, op); got != want {
			t.Errorf("stop %d: a new client gets release %d, want %d", stop, got, want)
		}
		list(t, 0, "mirror", op.public(), work)
		same(t, op.public(), work)
	}
}

// newClientGets is the release that a client without state ends with.
func newClientGets(t *testing.T, r mirror.Reader, op *operator) int64 {
	t.Helper()
	state := t.TempDir()
	if _, err := mirror.Join(t.Context(), state, r, op.p.Trust.Newest().Digest()); err != nil {
		t.Fatal(err)
	}
	now := func() time.Time { return op.now }
	c := mirror.Client{Dir: state, Sources: []mirror.Source{{Name: "copy", Reader: r}}, Now: now, Log: slog.New(slog.DiscardHandler), Method: mirror.Snapshot}
	out, err := c.Update(t.Context())
	if err != nil {
		t.Fatalf("%v %v", err, out.Problems)
	}
	return out.Release.Release
}
