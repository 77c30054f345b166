package mirror

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"strings"
	"testing"

	"github.com/starttls-everywhere/policylist/policy"
)

// A client was off during many rotations, each of which replaced every key and some of which replaced the log, and
// comes back by itself: first to the list, then on both paths from release to release.
func TestNewLogsWhileOffline(t *testing.T) {
	for _, rotations := range []int{1, 10, 100} {
		w := newWorld(t, 1)
		w.release(many(3, policy.Testing)...)
		readers := map[Method]*reader{}
		for _, method := range bothMethods {
			readers[method] = w.join(w.mirror())
			readers[method].update()
		}
		for i := range rotations {
			w.rotate(func(k *keyring) {
				k.roots = []testKey{newTestKey(fmt.Sprintf("root.%d", i))}
				k.releases = []testReleaseKey{newReleaseKey(t, fmt.Sprintf("release.%d", i))}
				k.witnesses = []testKey{newTestKey(fmt.Sprintf("w%d.example", i))}
			})
			if i%4 == 0 {
				w.restart(fmt.Sprintf("policylist.example/log-%d", i))
			} else {
				w.release()
			}
		}
		for method, r := range readers {
			if out := r.update(); out.TrustVersion != w.chain.Newest().Version || len(out.Alarms) > 0 || out.Release.Origin != w.keys.log.name {
				t.Errorf("%d rotations: %+v", rotations, out)
			}
			r.holds(w.last)
			r.Method = method
		}
		want := w.release(set("x.example", policy.Testing))
		for method, r := range readers {
			if out := r.update(); out.Method != string(method) {
				t.Errorf("%d rotations: updated by %s, want %s", rotations, out.Method, method)
			}
			r.holds(want)
		}
	}
}

// The mirror of the old log is told of the version that ends it, and nothing more. A client there keeps its list and
// knows that the mirror lags, and goes on as soon as the same address shows the new log's mirror.
func TestOldMirrorAfterANewLog(t *testing.T) {
	for _, method := range bothMethods {
		w := newWorld(t, 0)
		held := w.release(many(3, policy.Testing)...)
		old := maps.Clone(w.objects)
		r := w.join(w.mirror())
		r.update()
		want := w.restart("policylist.example/second")
		old[TrustPath(2)] = w.objects[TrustPath(2)]
		r.ask(&shelf{objects: old, lies: map[string][]byte{}})
		out := r.refuse("the old log's mirror")
		if out.TrustVersion != 2 || out.Freshness != Fresh {
			t.Errorf("got %+v", out)
		}
		r.holds(held)
		r.ask(w.mirror())
		r.update()
		r.holds(want)
		r.Method = method
		want = w.release(set("x.example", policy.Testing))
		r.update()
		r.holds(want)
	}
}

// The log's and the release keys were stolen together, and a client was led into a fork. It refuses the true log, with
// evidence, until a trust version names a new log: that one heals it, with no hand laid on the machine.
func TestNewLogHealsAStolenOne(t *testing.T) {
	for _, method := range bothMethods {
		w := newWorld(t, 0)
		w.release(many(3, policy.Testing)...)
		r := w.join(w.mirror())
		r.update()
		thief := w.fork()
		thief.release(set("evil.example", policy.Enforce))
		r.ask(thief.mirror())
		r.update()
		r.holds(thief.last)
		w.release(set("x.example", policy.Testing))
		w.release(set("y.example", policy.Testing))
		r.ask(w.mirror())
		if _, err := r.Update(context.Background()); !errors.Is(err, ErrSecurity) {
			t.Fatalf("two histories: %v", err)
		}
		w.rotate(func(k *keyring) { k.releases = []testReleaseKey{newReleaseKey(t, "release.b")} })
		want := w.restart("policylist.example/second")
		r.update()
		r.holds(want)
		r.Method = method
		want = w.release(set("z.example", policy.Testing))
		r.update()
		r.holds(want)
		for range 5 {
			thief.release()
		}
		r.ask(thief.mirror())
		r.refuse("the thief goes on")
	}
}

// The thief of a new log's key begins it with the old log's leaves, whose releases are signed and fit together. They are
// the old log's history, not the new one's: the first release of the new one sets everything and is valid.
func TestNewLogThatBeginsWithTheOld(t *testing.T) {
	for _, method := range bothMethods {
		w := newWorld(t, 0)
		w.release(many(3, policy.Testing)...)
		w.release(set("x.example", policy.Testing))
		r := w.join(w.mirror())
		r.update()
		old := w.leaves
		var full []policy.Edit
		for _, e := range w.last.List.Entries() {
			full = append(full, policy.Edit{Domain: e.Domain, Policy: &e.Policy})
		}
		w.newLog("policylist.example/second")
		for _, leaf := range old {
			w.add(leaf)
		}
		last := *w.last
		last.List = policy.List{}
		w.last = &last
		want := w.release(full...)
		r.update()
		r.holds(want)
		r.Method = method
		want = w.release(set("y.example", policy.Testing))
		r.update()
		r.holds(want)
		replay := NewReplay(w.chain, nil).Of(want.Leaf.Origin)
		for _, leaf := range w.leaves {
			replay.Add(leaf)
		}
		alarms, _ := replay.Alarms()
		if last := replay.Last(); last == nil || string(last.Raw) != string(want.Raw) || len(alarms) != len(old) {
			t.Errorf("an auditor ends at %+v with %d alarms, want release %d with %d", last, len(alarms), want.Leaf.Release, len(old))
		}
	}
}

// A release of the log before is confirmed across the new log's beginning, where mirrors of both are asked: the new log's
// has no proof of it. The old one's word alone, or that of whoever has the old keys, is not enough.
func TestConfirmAcrossLogs(t *testing.T) {
	w := newWorld(t, 1)
	w.release(many(3, policy.Testing)...)
	proof := w.release(set("x.example", policy.Testing)).Leaf.Release
	w.release()
	thief := w.fork()
	old := &shelf{objects: maps.Clone(w.objects), lies: map[string][]byte{}}
	w.rotate(func(k *keyring) { k.releases = []testReleaseKey{newReleaseKey(t, "release.b")} })
	w.restart("policylist.example/second")
	w.release(set("y.example", policy.Testing))
	fresh := w.mirror()
	for path := range fresh.objects {
		if n, ok := strings.CutPrefix(path, "release/"); ok && n < "4" {
			delete(fresh.objects, path)
		}
	}
	p, err := OpenProof(w.pointers[proof], w.chain)
	if err != nil || !p.Superseded || p.Leaf.Origin == w.last.Leaf.Origin {
		t.Fatalf("%+v, %v", p, err)
	}
	if err := p.Confirm(t.Context(), fresh, w.chain, old); err != nil {
		t.Error(err)
	}
	if err := p.Confirm(t.Context(), fresh, w.chain); err == nil || !strings.Contains(err.Error(), "ask a mirror of that one, too") {
		t.Errorf("the new log's mirror alone: %v", err)
	}
	if err := p.Confirm(t.Context(), old, w.chain, fresh); err == nil {
		t.Error("the old log's mirror leads nowhere, and confirmed it")
	}
	thief.release(set("evil.example", policy.Enforce))
	forged, err := OpenProof(thief.objects[PointerPath], w.chain)
	w.must(err)
	if err := forged.Confirm(t.Context(), fresh, w.chain, thief.mirror(), old); err == nil {
		t.Error("a release that a thief of the old keys added to the old log was confirmed")
	}
}
