package pipeline_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/starttls-everywhere/policylist/mirror"
	"github.com/starttls-everywhere/policylist/pipeline"
	"github.com/starttls-everywhere/policylist/pipeline/signing"
)

// Every key and threshold in turn, then all at once; a client follows each step by deltas, another comes back at the end.
func TestRotateEverything(t *testing.T) {
	r := newRotating(t, "public")
	r.release()
	follows, returns := r.client("public", mirror.Auto), r.client("public", mirror.Auto)
	updated(t, follows)
	updated(t, returns)
	follows.Method = mirror.Delta
	for i, step := range []func(*rotating){
		func(r *rotating) { r.root(); r.root(); r.rootK = 2 },
		func(r *rotating) { r.roots, r.names = r.roots[1:], r.names[1:] },
		func(r *rotating) {
			r.releases, r.releaseK = append(r.releases, r.key(signing.ECDSAP256), r.key(signing.Ed25519)), 2
		},
		func(r *rotating) { r.releases = r.releases[1:] },
		func(r *rotating) { r.releases, r.releaseK = []*signing.Key{r.key(signing.Ed25519)}, 1 },
		func(r *rotating) { r.log = r.key(signing.Ed25519) },
		func(r *rotating) { r.expires = 10 * 24 * time.Hour },
		func(r *rotating) {
			r.roots, r.names, r.rootK = nil, nil, 1
			r.root()
			r.releases, r.log = []*signing.Key{r.key(signing.ECDSAP256)}, r.key(signing.Ed25519)
		},
	} {
		r.rotate(step)
		r.write("list/domains/new.json", fmt.Sprintf(`{"policies":{"new%d.example":{"mode":"testing","mxs":["mx.new.example"]}}}`, i))
		out := r.release()
		if got := updated(t, follows); got.TrustVersion != int64(i+2) || got.Release.Release != out.Leaf().Release || len(got.Alarms) > 0 {
			t.Fatalf("after step %d: %+v", i, got)
		}
	}
	if got := updated(t, returns); got.TrustVersion != 9 || string(list(t, returns.Dir)) != string(list(t, follows.Dir)) {
		t.Errorf("the client that was away: %+v", got)
	}
	r.audited("public")
}

// Ten rotations of all keys but the log between one release and the next, three times over.
func TestManyVersionsBetweenReleases(t *testing.T) {
	r := newRotating(t, "public")
	r.release()
	c := r.client("public", mirror.Auto)
	updated(t, c)
	for range 3 {
		for range 10 {
			r.rotate(func(r *rotating) {
				r.roots, r.names, r.releases = nil, nil, []*signing.Key{r.key(signing.Ed25519)}
				r.root()
			})
		}
		r.release()
	}
	c.Method = mirror.Delta
	if got := updated(t, c); got.TrustVersion != 31 || len(got.Alarms) > 0 {
		t.Errorf("%+v", got)
	}
	r.audited("public")
}

// A new name for the log: a log and a mirror of its own, everything set again, the number goes on. The old mirror gets
// the trust versions only, and without a place for the new log nothing is made at all.
func TestNewLog(t *testing.T) {
	r := newRotating(t, "public")
	r.release()
	r.write("list/domains/new.json", `{"policies":{"new.example":{"mode":"testing","mxs":["mx.new.example"]}}}`)
	last := r.release()
	c, old := r.client("public", mirror.Auto), r.client("public", mirror.Auto)
	updated(t, c)
	updated(t, old)
	before := walk(t, r.path("public"))
	r.rotate(func(r *rotating) { r.origin, r.log = "list.operator.example/second", r.key(signing.Ed25519) })
	r.now = r.now.Add(time.Hour)
	if _, err := r.Release(t.Context()); !errors.Is(err, pipeline.ErrOtherLog) {
		t.Fatalf("with no mirror for it: %v", err)
	}
	if after := walk(t, r.path("public")); strings.Join(after, "\n") != strings.Join(before, "\n") {
		t.Errorf("the old mirror changed: %v", after)
	}
	r.Mirrors = append(r.Mirrors, r.target("second"))
	r.write("list/domains/new.json", `{"policies":{"newer.example":{"mode":"testing","mxs":["mx.new.example"]}}}`)
	out := r.release()
	reasons := map[string]int{}
	for _, ch := range out.Changes() {
		if ch.Policy == nil {
			t.Errorf("%s is deleted in a log in which nothing is", ch.Domain)
		}
		reasons[ch.Reason]++
	}
	if leaf := out.Leaf(); leaf.Release != last.Leaf().Release+1 || leaf.From != 0 || leaf.To != 6 || leaf.Trust != 2 || reasons["log.restart"] != 5 || reasons["add.testing"] != 1 {
		t.Errorf("%+v, reasons %v", leaf, reasons)
	}
	if !errors.Is(out.Mirrors[0].Err, pipeline.ErrOtherLog) || out.Mirrors[1].Err != nil || !out.Mirrors[1].Verified {
		t.Errorf("mirrors: %+v", out.Mirrors)
	}
	if after := walk(t, r.path("public")); len(after) != len(before)+1 {
		t.Errorf("the old mirror has %d files more than the trust version", len(after)-len(before)-1)
	}
	got, err := old.Update(t.Context())
	if !errors.Is(err, mirror.ErrNoMirror) || got.TrustVersion != 2 || got.Release.Release != last.Leaf().Release {
		t.Errorf("a client of the old mirror: %v, %+v", err, got)
	}
	for _, client := range []*mirror.Client{c, old} {
		client.Sources = []mirror.Source{{Name: "second", Reader: r.target("second").Store}}
		if got := updated(t, client); got.Method != "snapshot" || got.Release.Origin != "list.operator.example/second" {
			t.Errorf("%+v", got)
		}
		client.Method = mirror.Delta
	}
	r.release()
	r.Mirrors = r.Mirrors[1:]
	r.rotate(func(r *rotating) { r.log = r.key(signing.Ed25519) })
	r.release()
	for _, client := range []*mirror.Client{c, old} {
		if got := updated(t, client); got.Method != "delta" || len(got.Alarms) > 0 || got.TrustVersion != 3 {
			t.Errorf("%+v", got)
		}
	}
	r.audited("second")
	for _, name := range []string{"log", "log-2"} {
		if _, err := os.Stat(filepath.Join(r.path("state"), name)); err != nil {
			t.Error(err)
		}
	}
}

// The list may be ended, or be empty, at the start of a new log.
func TestNewLogOfAnEndedList(t *testing.T) {
	r := newRotating(t, "public")
	r.release()
	c := r.client("public", mirror.Auto)
	updated(t, c)
	r.rotate(func(r *rotating) { r.origin = "list.operator.example/second" }) // the same key under another name
	r.Mirrors = []pipeline.Target{r.target("second")}
	r.now = r.now.Add(time.Hour)
	out, err := r.Final(t.Context())
	if err != nil || len(out.Changes()) != 0 {
		t.Fatal(out, err)
	}
	c.Sources = []mirror.Source{{Name: "second", Reader: r.target("second").Store}}
	if got := updated(t, c); got.List.Len() != 0 || got.Release.Override != mirror.OverrideFinal {
		t.Errorf("%+v", got)
	}
	r.audited("second")
}

// A release is interrupted at each write to the mirror, and then the trust rotates: the keys that began it may be gone.
// The next release takes its place, in the same log or in a new one, and clients follow.
func TestRotationWhileAReleaseIsPending(t *testing.T) {
	for _, newLog := range []bool{false, true} {
		completed := false
		for n := 1; !completed; n++ {
			r := newRotating(t, "public")
			r.release()
			c := r.client("public", mirror.Auto)
			updated(t, c)
			r.write("list/domains/new.json", `{"policies":{"new.example":{"mode":"testing","mxs":["mx.new.example"]}}}`)
			honest := r.Mirrors[0]
			r.Mirrors = []pipeline.Target{{Name: "public", Store: faultyStore{honest.Store, &fault{n: n}}}}
			r.now = r.now.Add(time.Hour)
			_, err := r.Release(t.Context())
			completed = err == nil
			r.Mirrors = []pipeline.Target{honest}
			r.rotate(func(r *rotating) {
				r.releases, r.log = []*signing.Key{r.key(signing.Ed25519)}, r.key(signing.Ed25519)
				if newLog {
					r.origin = "list.operator.example/second"
				}
			})
			name := "public"
			if newLog {
				name = "second"
				r.Mirrors = []pipeline.Target{r.target(name)}
				c.Sources = []mirror.Source{{Name: name, Reader: r.Mirrors[0].Store}}
			}
			out := r.release()
			if got := updated(t, c); got.Release.Release != out.Leaf().Release || got.Release.Release != 3 || got.List.Len() != 6 || len(got.Alarms) > 0 {
				t.Fatalf("new log %v, write %d: %+v", newLog, n, got)
			}
			r.audited(name)
		}
	}
}

// Whoever keeps a revoked release key and the log key publishes a release that names the version before. No path takes it.
func TestRevokedKeyEndToEnd(t *testing.T) {
	for _, method := range []mirror.Method{mirror.Delta, mirror.Snapshot} {
		r := newRotating(t, "public")
		r.release()
		c := r.client("public", mirror.Auto)
		updated(t, c)
		thief := &rotating{operator: r.copy(t), releases: r.releases, log: r.log, origin: r.origin}
		r.rotate(func(r *rotating) { r.releases = []*signing.Key{r.key(signing.ECDSAP256)} })
		want := r.release()
		updated(t, c)
		c.Method = method
		thief.SkipVerify = true
		thief.write("list/domains/new.json", `{"policies":{"evil.example":{"mode":"testing","mxs":["mx.evil.example"]}}}`)
		thief.now = r.now
		thief.release()
		thief.release()
		c.Sources = []mirror.Source{{Name: "thief", Reader: thief.Mirrors[0].Store}}
		if got, err := c.Update(t.Context()); !errors.Is(err, mirror.ErrNoMirror) || got.Release.Release != want.Leaf().Release {
			t.Errorf("%s: %v, %+v", method, err, got)
		}
	}
}

// Under an expired version nothing is released; the next version helps at once.
func TestNoReleaseUnderExpiredTrust(t *testing.T) {
	r := newRotating(t, "public")
	r.expires = 10 * 24 * time.Hour
	r.rotate(func(*rotating) {})
	r.release()
	c := r.client("public", mirror.Auto)
	held := updated(t, c)
	r.now = r.now.Add(r.expires)
	if _, err := r.Release(t.Context()); err == nil || !strings.Contains(err.Error(), "expired") {
		t.Errorf("released under expired trust: %v", err)
	}
	if got := updated(t, c); !got.TrustExpired || got.Release.Release != held.Release.Release || got.Freshness != mirror.Stale || got.List.Len() != 5 {
		t.Errorf("%+v", got)
	}
	r.rotate(func(*rotating) {})
	r.release()
	if got := updated(t, c); got.TrustExpired || got.Freshness != mirror.Fresh || got.Release.Release != held.Release.Release+1 {
		t.Errorf("%+v", got)
	}
}

// The name of a closed log does not come back, whoever signs it.
func TestClosedLogStaysClosed(t *testing.T) {
	r := newRotating(t, "public")
	first := r.origin
	r.rotate(func(r *rotating) { r.origin = "list.operator.example/second" })
	r.origin = first
	if _, err := pipeline.StartCeremony(r.path(pipeline.TrustDir), r.draft(), r.now); !errors.Is(err, pipeline.ErrTrustRule) {
		t.Errorf("a draft that names the closed log: %v", err)
	}
}
