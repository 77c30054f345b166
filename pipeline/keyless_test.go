package pipeline_test

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"errors"
	"log/slog"
	"os"
	"strings"
	"testing"

	"github.com/starttls-everywhere/policylist/mirror"
	"github.com/starttls-everywhere/policylist/mirror/storetest/bundle"
)

// byNobody makes keyless bundles without servers, or what else f says.
type byNobody struct {
	t     testing.TB
	asked int
	f     func(ctx context.Context, good []byte) ([]byte, error)
}

func (b *byNobody) Bundle(ctx context.Context, list []byte) ([]byte, error) {
	b.asked++
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		b.t.Fatal(err)
	}
	good := bundle.Keyless(b.t, list, key)
	if b.f == nil {
		return good, nil
	}
	return b.f(ctx, good)
}

// onMirror returns a mirror's keyless bundle, nil for none, and holds it against the list beside it.
func (o *operator) onMirror(name string) []byte {
	o.t.Helper()
	data, err := os.ReadFile(o.path(name + "/" + mirror.ListKeylessPath))
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	list, errList := os.ReadFile(o.path(name + "/policy.json"))
	if err := errors.Join(err, errList, mirror.VerifyKeyless(data, list)); err != nil {
		o.t.Errorf("%s: %v", name, err)
	}
	return data
}

// broken is a mirror that cannot be reached.
type broken struct{ mirror.Store }

var errBroken = errors.New("no route to the mirror")

func (broken) Get(context.Context, string, int64) ([]byte, error) { return nil, errBroken }

// stubborn is a mirror that removes nothing.
type stubborn struct{ mirror.Store }

func (stubborn) Delete(context.Context, string) error { return errors.New("may not be removed") }

// A keyless bundle is made once, goes out with its release to every mirror, also one that comes back late, and never
// stands beside another list.
func TestKeylessStaysWithItsRelease(t *testing.T) {
	o := newOperator(t, "public", "second")
	by := &byNobody{t: t}
	o.Keyless = by
	o.release()
	first := o.onMirror("public")
	if first == nil || !bytes.Equal(first, o.onMirror("second")) || by.asked != 1 {
		t.Fatalf("release 1: asked %d times", by.asked)
	}
	second := o.Mirrors[1].Store
	o.Mirrors[1].Store = broken{second}
	o.Keyless = nil
	o.release()
	if o.onMirror("public") != nil {
		t.Error("release 2 has the bundle of release 1")
	}
	o.release()
	o.Mirrors[1].Store = second
	o.release()
	if o.onMirror("second") != nil {
		t.Error("a mirror that was away keeps the bundle of release 1 beside release 4")
	}

	o.Keyless = by
	var said bytes.Buffer
	o.Log = slog.New(slog.NewTextHandler(&said, nil))
	o.release()
	o.Keyless = nil
	o.Mirrors[1].Store = stubborn{second}
	o.release()
	if !strings.Contains(said.String(), "may not be removed") {
		t.Errorf("said %s", said.String())
	}
}

// A release whose publishing was cut off goes out later with the bundle that it had.
func TestKeylessOfAnInterruptedRelease(t *testing.T) {
	o := newOperator(t, "public")
	by := &byNobody{t: t}
	o.Keyless = by
	good := o.Mirrors[0].Store
	o.release()
	o.write("public/"+mirror.CheckpointPath, "damaged") // nothing is written to such a mirror
	before, err := os.ReadFile(o.path("public/checkpoint"))
	if err != nil || len(before) == 0 {
		t.Fatal(err)
	}
	if _, err := o.Release(t.Context()); err == nil {
		t.Fatal("released to a damaged mirror")
	}
	if err := os.Remove(o.path("public/checkpoint")); err != nil {
		t.Fatal(err)
	}
	o.Publisher = o.publisher("public")
	o.Keyless, o.Mirrors[0].Store = by, good
	asked := by.asked
	if out := o.release(); !out.Resumed || out.Leaf().Release != 2 {
		t.Errorf("release %d", out.Leaf().Release)
	}
	kept, err := os.ReadFile(o.path("state/outbox/2/" + mirror.ListKeylessPath))
	if err != nil || !bytes.Equal(kept, o.onMirror("public")) || by.asked != asked {
		t.Errorf("asked again %d times, %v", by.asked-asked, err)
	}
}

// What is no bundle over this list is not kept; only the end of the run itself stops a release.
func TestKeylessNeverStopsARelease(t *testing.T) {
	o := newOperator(t, "public")
	for name, f := range map[string]func(context.Context, []byte) ([]byte, error){
		"an outage":       func(context.Context, []byte) ([]byte, error) { return nil, errors.New("the authority is down") },
		"garbage":         func(context.Context, []byte) ([]byte, error) { return []byte("<html>"), nil },
		"nothing":         func(context.Context, []byte) ([]byte, error) { return nil, nil },
		"another's bytes": func(_ context.Context, good []byte) ([]byte, error) { return append(good, good...), nil },
	} {
		var said bytes.Buffer
		o.Log = slog.New(slog.NewTextHandler(&said, nil))
		o.Keyless = &byNobody{t: t, f: f}
		if out := o.release(); out.Mirrors[0].Err != nil || o.onMirror("public") != nil || !strings.Contains(said.String(), "no keyless bundle") {
			t.Errorf("%s: %+v; said %s", name, out.Mirrors, said.String())
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	o.Keyless = &byNobody{t: t, f: func(context.Context, []byte) ([]byte, error) { cancel(); return nil, context.Canceled }}
	if _, err := o.Release(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("a run that was ended: %v", err)
	}
}
