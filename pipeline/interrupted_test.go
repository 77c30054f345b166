package pipeline_test

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"golang.org/x/mod/sumdb/tlog"

	"github.com/starttls-everywhere/policylist/mirror"
	"github.com/starttls-everywhere/policylist/pipeline"
)

var errCut = errors.New("the line was cut")

// fault lets the n-th writing operation fail, before it does anything or after it did everything.
type fault struct {
	n      int
	after  bool
	fired  bool
	counts int
}

func (f *fault) around(do func() error) error {
	f.counts++
	if f.counts != f.n {
		if f.fired {
			return errCut // a process that died does nothing more
		}
		return do()
	}
	f.fired = true
	if f.after {
		if err := do(); err != nil {
			return err
		}
	}
	return errCut
}

type faultyStore struct {
	mirror.Store
	*fault
}

func (s faultyStore) Put(ctx context.Context, o mirror.Object) error {
	return s.around(func() error { return s.Store.Put(ctx, o) })
}

func (s faultyStore) Create(ctx context.Context, o mirror.Object) error {
	return s.around(func() error { return s.Store.Create(ctx, o) })
}

type faultyLog struct {
	pipeline.Log
	*fault
}

func (l faultyLog) Append(ctx context.Context, start int64, leaves [][]byte) (tree tlog.Tree, err error) {
	err = l.around(func() error {
		tree, err = l.Log.Append(ctx, start, leaves)
		return err
	})
	return tree, err
}

// TestInterruptedReleaseIsCompleted fails the second release at each write in turn, before and after the write. Until
// the next run a client sees the first release or the second, whole; the next run completes the second with the same
// bytes, and there is one history.
func TestInterruptedReleaseIsCompleted(t *testing.T) {
	for _, after := range []bool{false, true} {
		fired := true
		for n := 1; fired; n++ {
			f := &fault{n: n, after: after}
			t.Run(fmt.Sprintf("write %d after=%v", n, after), func(t *testing.T) { interrupt(t, f) })
			if fired = f.fired; n > 200 {
				t.Fatal("the second release never comes to an end")
			}
		}
	}
}

func interrupt(t *testing.T, f *fault) {
	o := newOperator(t, "public")
	o.SkipVerify = true
	first := o.release()
	client := o.client("public", mirror.Auto)
	update := func() mirror.Outcome {
		t.Helper()
		got, err := client.Update(t.Context())
		if err != nil {
			t.Fatal(err, got.Problems)
		}
		return got
	}
	update()
	o.write("list/domains/new.json", `{"policies":{"new.example":{"mode":"testing","mxs":["mx.new.example"]}}}`)
	honest, open := o.Mirrors[0].Store, o.OpenLog
	o.Mirrors[0].Store = faultyStore{honest, f}
	o.OpenLog = func(dir string) (pipeline.Log, error) {
		l, err := open(dir)
		return faultyLog{l, f}, err
	}
	o.now = o.now.Add(1)
	_, err := o.Release(t.Context())
	if f.fired == (err == nil) {
		t.Fatalf("fault fired %v, release says %v", f.fired, err)
	}
	if got := update(); got.Release.Release > 2 || got.List.Len() != 4+int(got.Release.Release) {
		t.Fatalf("a client holds release %d with %d domains", got.Release.Release, got.List.Len())
	}
	o.Mirrors[0].Store, o.OpenLog = honest, open
	out, err := o.Release(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	got := update()
	// A fault before the outbox was written leaves nothing; every later one leaves release 2, completed by this run.
	if want := out.Leaf().Release; got.Release.Release != want || want < 2 || want > 3 || got.List.Len() != 6 {
		t.Errorf("in the end a client holds release %d of %d with %d domains", got.Release.Release, want, got.List.Len())
	}
	if f.fired && (out.Leaf().Release != 2 || !out.Unchanged || len(out.Changes()) != 1) {
		t.Errorf("the interrupted release was not completed as it was: %+v %v", out.Leaf(), out.Changes())
	}
	replayAll(t, honest, o, first.Leaf().Release, out.Leaf().Release)
}

// replayAll reads the mirror's log from leaf 0: releases count up without a gap and no leaf is without effect.
func replayAll(t *testing.T, r mirror.Reader, o *operator, first, last int64) {
	t.Helper()
	data, err := r.Get(t.Context(), mirror.PointerPath, 1<<20)
	if err != nil {
		t.Fatal(err)
	}
	release, cp, err := mirror.OpenPointer(data, o.Trust)
	if err != nil || release.Leaf.Release != last {
		t.Fatalf("pointer: %v", err)
	}
	entries, err := mirror.ReadEntries(t.Context(), r, 0, cp.Tree.N)
	if err != nil {
		t.Fatal(err)
	}
	replay := mirror.NewReplay(o.Trust, nil)
	next := first
	for _, e := range entries {
		if got := replay.Add(e); got != nil {
			if got.Leaf.Release != next {
				t.Errorf("release %d where %d should be", got.Leaf.Release, next)
			}
			next++
		}
	}
	if alarms, _ := replay.Alarms(); len(alarms) > 0 || next != last+1 {
		t.Errorf("%d releases in the log, want %d; alarms %v", next-1, last, alarms)
	}
}

// TestOneMirrorDown: it does not stop the others, and catches up with everything when it is back.
func TestOneMirrorDown(t *testing.T) {
	o := newOperator(t, "public", "second")
	o.release()
	honest := o.Mirrors[1].Store
	o.Mirrors[1].Store = deadStore{honest}
	for range 3 {
		o.write("list/domains/new.json", fmt.Sprintf(`{"policies":{"new.example":{"mode":"testing","mxs":["mx%d.new.example"]}}}`, o.now.Hour()))
		if out := o.release(); out.Mirrors[0].Err != nil || out.Mirrors[1].Err == nil {
			t.Fatalf("mirrors: %+v", out.Mirrors)
		}
	}
	o.Mirrors[1].Store = honest
	if out := o.release(); out.Mirrors[1].Err != nil || !out.Mirrors[1].Verified {
		t.Fatalf("the second mirror: %+v", out.Mirrors[1])
	}
	replayAll(t, honest, o, 1, 5)
	for n := int64(1); n <= 5; n++ {
		if _, err := honest.Get(t.Context(), mirror.ReleasePath(n), 1<<20); err != nil {
			t.Errorf("release %d: %v", n, err)
		}
	}
}

type deadStore struct{ mirror.Store }

func (deadStore) Get(context.Context, string, int64) ([]byte, error) { return nil, errCut }
func (deadStore) Put(context.Context, mirror.Object) error           { return errCut }
func (deadStore) Create(context.Context, mirror.Object) error        { return errCut }

// TestStateThatFellBehind: a mirror that knows more than the state stops the publisher before it writes anything.
func TestStateThatFellBehind(t *testing.T) {
	o := newOperator(t, "public")
	o.release()
	twin := newOperator(t, "public")
	twin.dir, twin.Trust, twin.Keys, twin.Mirrors = o.dir, o.Trust, o.Keys, o.Mirrors
	twin.now = o.now
	if _, err := twin.Release(t.Context()); !errors.Is(err, pipeline.ErrAhead) {
		t.Errorf("an empty state before a full mirror: %v", err)
	}
	twin.State = t.TempDir()
	twin.Mirrors = nil
	before := list(t, o.path("public"))
	twin.Mirrors = []pipeline.Target{{Name: "own", Store: newOperatorStore(t)}}
	twin.release()
	twin.release()
	twin.Mirrors = o.Mirrors
	if _, err := twin.Release(t.Context()); !errors.Is(err, pipeline.ErrFork) {
		t.Errorf("another history before a mirror: %v", err)
	}
	files := twin.evidence()
	if len(files) != 1 {
		t.Fatalf("%d files of evidence", len(files))
	}
	if e, err := mirror.ParseEvidence(files[0]); err != nil || e.Check(o.Trust) != nil {
		t.Errorf("the evidence: %v, %v", err, e.Check(o.Trust))
	}
	if string(list(t, o.path("public"))) != string(before) {
		t.Error("the mirror was written to")
	}
}
