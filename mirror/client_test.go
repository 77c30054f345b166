package mirror

import (
	"context"
	"errors"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/starttls-everywhere/policylist/mirror/durable"
	"github.com/starttls-everywhere/policylist/policy"
)

func TestJoinThenDeltaThenNothingNew(t *testing.T) {
	w := newWorld(t, 3)
	first := w.release(many(40, policy.Testing)...)
	m := w.mirror()
	r := w.join(m)

	out := r.update()
	r.holds(first)
	if out.Method != "snapshot" || out.Previous != 0 || out.Freshness != Fresh || !out.Witnessed || out.TrustVersion != 1 || out.List.Len() != 40 {
		t.Errorf("first update: %+v", out)
	}

	second := w.release(set("new.example", policy.Enforce), del("d007.example"))
	m.forget()
	out = r.update()
	r.holds(second)
	if out.Method != "delta" || out.Previous != 1 || len(out.Alarms) > 0 || out.List.Len() != 40 {
		t.Errorf("second update: %+v", out)
	}
	for _, p := range m.asked {
		if strings.HasPrefix(p, "list/") {
			t.Errorf("a delta of three leaves asked for %s", p)
		}
	}

	w.now = w.now.Add(6 * time.Hour)
	m.forget()
	out = r.update()
	r.holds(second)
	if out.Method != "none" || out.List.Len() != 40 {
		t.Errorf("third update: %+v", out)
	}
	if len(m.asked) > 3 || m.bytes > 4096 {
		t.Errorf("nothing new took %d requests and %d bytes: %q", len(m.asked), m.bytes, m.asked)
	}
}

func TestJoinNeedsTheFingerprint(t *testing.T) {
	w := newWorld(t, 0)
	w.rotate(func(k *keyring) { k.releases = []testReleaseKey{newReleaseKey(t, "release.b")} })
	want := w.release(set("a.example", policy.Testing))
	for version, trust := range w.chain.Versions() {
		dir := t.TempDir()
		got, err := Join(context.Background(), dir, w.mirror(), trust.Digest())
		if err != nil || got.Version != int64(version+1) {
			t.Fatalf("version %d: got %v, %v", version+1, got, err)
		}
		r := w.join(w.mirror())
		r.Dir = dir
		r.update()
		r.holds(want)
	}
	dir := t.TempDir()
	if _, err := Join(context.Background(), dir, w.mirror(), sum([]byte("another list"))); err == nil {
		t.Error("joined a list by a fingerprint that it does not have")
	}
	if files := (&reader{t: t, Client: &Client{Dir: dir}}).files(); len(files) > 0 {
		t.Errorf("a failed join left %v", files)
	}
}

func TestUpdateWithoutJoin(t *testing.T) {
	w := newWorld(t, 0)
	w.release()
	r := w.join(w.mirror())
	r.Dir = t.TempDir()
	if _, err := r.Update(context.Background()); err == nil || errors.Is(err, ErrNoMirror) || errors.Is(err, ErrSecurity) {
		t.Errorf("got %v", err)
	}
}

// A mirror that has not copied the newest release is passed over; when no other is there, the client keeps what it has.
func TestLaggingMirror(t *testing.T) {
	w := newWorld(t, 1)
	w.release(many(5, policy.Testing)...)
	w.release(set("x.example", policy.Testing))
	want := w.release(set("y.example", policy.Testing))
	r := w.join(w.mirror())
	r.update()
	r.ask(w.at(1), w.at(2))
	out := r.refuse("both mirrors lag")
	if len(out.Problems) != 2 || !strings.Contains(out.Problems[0], errLagging.Error()) || out.Release.Release != 3 || out.Freshness != Fresh {
		t.Errorf("got %+v", out)
	}
	r.ask(w.at(2), w.mirror())
	if out := r.update(); out.Mirror != "mirror 1" || len(out.Problems) != 1 {
		t.Errorf("got %+v", out)
	}
	r.holds(want)
}

// One mirror answers with an old release, which may be all there is or a freeze: the others are asked as well.
func TestOldReleaseMakesTheClientAskEveryMirror(t *testing.T) {
	w := newWorld(t, 0)
	w.release(many(5, policy.Testing)...)
	w.now = w.now.Add(30 * time.Hour)
	want := w.release(set("x.example", policy.Testing))
	frozen, good := w.at(1), w.mirror()
	r := w.join(frozen)
	r.ask(frozen, frozen, good)
	if out := r.update(); out.Mirror != "mirror 2" {
		t.Errorf("got %+v", out)
	}
	r.holds(want)
	if n := len(frozen.asked); n != 1+3+2 { // join, first time with its list, second time without
		t.Errorf("the frozen mirror was asked %d times: %q", n, frozen.asked)
	}
	r.First = 2
	good.forget()
	frozen.forget()
	r.update()
	if len(frozen.asked) > 0 {
		t.Errorf("a young release needs no second mirror, but %q", frozen.asked)
	}
}

func TestTwoUpdatesOfOneFolder(t *testing.T) {
	w := newWorld(t, 0)
	want := w.release(many(5, policy.Testing)...)
	m := w.mirror()
	r := w.join(m)
	inside, second := make(chan struct{}), make(chan error)
	var once bool
	m.before = func(context.Context, string) error {
		if !once {
			once = true
			close(inside)
			if err := <-second; !errors.Is(err, durable.ErrLocked) {
				t.Errorf("the second update: %v", err)
			}
		}
		return nil
	}
	go func() {
		<-inside
		other := *r.Client
		_, err := other.Update(context.Background())
		if _, errLoad := other.Load(); errLoad != nil {
			err = errors.Join(errLoad, errors.New("a reader was locked out"))
		}
		second <- err
	}()
	r.update()
	r.holds(want)
}

// The deadline of the whole update ends it; what one mirror gave before is used.
func TestDeadlineOfTheUpdate(t *testing.T) {
	w := newWorld(t, 0)
	want := w.release(set("x.example", policy.Testing))
	w.now = w.now.Add(26 * time.Hour) // so that all mirrors are asked
	hung := w.mirror()
	hung.before = func(ctx context.Context, _ string) error {
		if _, ok := ctx.Deadline(); !ok {
			t.Error("a mirror is asked without a deadline")
		}
		<-ctx.Done()
		return ctx.Err()
	}
	r := w.join(w.mirror())
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	r.ask(hung, w.mirror())
	if _, err := r.Update(ctx); !errors.Is(err, ErrNoMirror) || !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
	good := w.mirror()
	ctx, cancel = context.WithCancel(context.Background())
	defer cancel()
	hung.before = func(ctx context.Context, _ string) error {
		cancel()
		<-ctx.Done()
		return ctx.Err()
	}
	r.ask(good, hung, w.mirror())
	out, err := r.Update(ctx)
	if err != nil || out.Mirror != "mirror 0" {
		t.Fatalf("got %v, %v", out, err)
	}
	r.holds(want)
}

func TestFailingSinkKeepsTheOldState(t *testing.T) {
	w := newWorld(t, 0)
	first := w.release(set("x.example", policy.Testing))
	r := w.join(w.mirror())
	r.update()
	second := w.release(set("y.example", policy.Testing))
	good := r.Sinks
	full := errors.New("no space left on device")
	r.Sinks = append(r.Sinks, func(View) error { return full })
	if _, err := r.Update(context.Background()); !errors.Is(err, full) {
		t.Errorf("got %v", err)
	}
	if out, err := r.Load(); err != nil || out.Damaged != nil || out.Release.Release != first.Leaf.Release || out.List.Len() != 1 {
		t.Errorf("got %+v, %v", out, err)
	}
	r.Sinks = good
	r.update()
	r.holds(second)
}

func TestLockFileStays(t *testing.T) {
	w := newWorld(t, 0)
	w.release()
	r := w.join(w.mirror())
	r.update()
	r.update()
	if unlock, err := durable.Lock(filepath.Join(r.Dir, "lock")); err != nil {
		t.Errorf("an ended update holds the lock: %v", err)
	} else {
		unlock()
	}
}
