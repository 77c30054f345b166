package mirror

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/starttls-everywhere/policylist/policy"
	"github.com/starttls-everywhere/policylist/transparency"
)

// A client was off during many rotations, each of which replaced all keys, and updates by itself.
func TestRotationsWhileOffline(t *testing.T) {
	for _, rotations := range []int{1, 10, 100} {
		for _, method := range bothMethods {
			w := newWorld(t, 1)
			w.release(many(3, policy.Testing)...)
			r := w.join(w.mirror())
			r.update()
			r.Method = method
			for i := range rotations {
				w.rotate(func(k *keyring) {
					k.roots = []testKey{newTestKey(fmt.Sprintf("root.%d", i))}
					k.releases = []testReleaseKey{newReleaseKey(t, fmt.Sprintf("release.%d", i))}
					k.witnesses = []testKey{newTestKey(fmt.Sprintf("w%d.example", i))}
					k.expires = w.now.Add(20 * 24 * time.Hour)
				})
				w.interval = 10 * 24 * time.Hour
				w.release()
			}
			if out := r.update(); out.TrustVersion != int64(rotations+1) || out.TrustExpired || len(out.Alarms) > 0 {
				t.Errorf("%d rotations: %+v", rotations, out)
			}
			r.holds(w.last)
		}
	}
}

// The log itself is replaced. The client starts a new tree, keeps the number, and refuses the old log from then on.
func TestNewLog(t *testing.T) {
	w := newWorld(t, 1)
	w.release(many(30, policy.Testing)...)
	r := w.join(w.mirror())
	r.update()
	old := w.fork()
	listed := w.last.List.Entries()
	w.newLog("policylist.example/second")
	var full []policy.Edit
	for _, e := range listed {
		full = append(full, policy.Edit{Domain: e.Domain, Policy: &e.Policy})
	}
	before := *w.last
	w.last.List = policy.List{} // the new log starts with everything
	want := w.release(full...)

	out := r.update()
	r.holds(want)
	if out.Method != "snapshot" || out.Previous != 1 || out.Release.Origin != "policylist.example/second" {
		t.Errorf("got %+v", out)
	}
	replay := NewReplay(w.chain, nil)
	for _, leaf := range w.leaves {
		replay.Add(leaf)
	}
	if last := replay.Last(); last == nil || last.Leaf.Release != 2 {
		t.Errorf("an auditor of the new log ends at %+v", last)
	}
	want = w.release(set("x.example", policy.Testing))
	if out := r.update(); out.Method != "delta" {
		t.Errorf("got %+v", out)
	}
	r.holds(want)
	old.last = &before
	old.release()
	old.release()
	old.release()
	r.ask(old.mirror())
	r.refuse("the old log went on")
}

// The first release of a new log has a number and a time that the client does not have yet.
func TestNewLogContinuesTheNumber(t *testing.T) {
	for name, edit := range map[string]func(w *world, r *ReleaseLeaf){
		"the same number": func(_ *world, r *ReleaseLeaf) { r.Release-- },
		"an older time":   func(w *world, r *ReleaseLeaf) { r.Timestamp = w.last.Leaf.Timestamp },
	} {
		w := newWorld(t, 0)
		w.release(set("a.example", policy.Testing))
		w.release(set("b.example", policy.Testing))
		r := w.join(w.mirror())
		r.update()
		w.newLog("policylist.example/second")
		w.edit = func(leaf *ReleaseLeaf) {
			edit(w, leaf)
			w.relist(leaf, set("c.example", policy.Testing))
		}
		w.release(set("c.example", policy.Testing))
		r.refuse(name)
	}
}

// A revoked release key signs under the version that still counted it; the mirror may hide the later one, and the
// client may have lost it.
func TestRevokedKeyNamesItsOldVersion(t *testing.T) {
	for _, method := range bothMethods {
		for _, c := range []struct{ hidden, lost bool }{{false, false}, {true, false}, {true, true}} {
			w := newWorld(t, 0)
			w.release(many(3, policy.Testing)...)
			thief := w.fork()
			w.rotate(func(k *keyring) { k.releases = []testReleaseKey{newReleaseKey(t, "release.b")} })
			w.release()
			r := w.join(w.mirror())
			r.update()
			r.Method = method
			thief.leaves, thief.hashes, thief.objects = w.fork().leaves, w.fork().hashes, w.fork().objects
			thief.last, thief.shown, thief.now = w.last, w.shown, w.now
			thief.release(set("evil.example", policy.Enforce))
			m := thief.mirror()
			if c.hidden {
				m.lies[TrustPath(2)] = nil
			}
			if c.lost {
				r.damage(TrustPath(2), flaws["gone"])
				r.damage(TrustPath(2)+copySuffix, flaws["gone"])
			}
			r.ask(m)
			r.refuse("signed by a revoked key")
		}
	}
}

// The newest release must name the newest version that the mirror shows, else a revoked key could go on until the
// first release under the new version.
func TestReleaseUnderSupersededTrust(t *testing.T) {
	for _, method := range bothMethods {
		w := newWorld(t, 0)
		w.release(many(3, policy.Testing)...)
		r := w.join(w.mirror())
		r.update()
		r.Method = method
		thief := w.fork()
		w.rotate(func(k *keyring) { k.releases = []testReleaseKey{newReleaseKey(t, "release.b")} })
		thief.release(set("evil.example", policy.Enforce))
		m := thief.mirror()
		m.lies[TrustPath(2)] = w.objects[TrustPath(2)]
		r.ask(m)
		r.refuse("made under a superseded version")
		want := w.release(set("x.example", policy.Testing))
		r.ask(m, w.mirror())
		r.update()
		r.holds(want)
	}
}

// Two of two release keys must sign; one key twice, or a stranger's under its name, is one.
func TestReleaseThreshold(t *testing.T) {
	priv, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	a, b, stranger := newECDSAReleaseKey(t, priv), newReleaseKey(t, "release.b"), newReleaseKey(t, "stranger")
	for name, signatures := range map[string]func(msg []byte) []transparency.KeySignature{
		"one": func(m []byte) []transparency.KeySignature { return []transparency.KeySignature{a.signature(m)} },
		"one twice": func(m []byte) []transparency.KeySignature {
			return []transparency.KeySignature{b.signature(m), b.signature(m)}
		},
		"one twice under two names": func(m []byte) []transparency.KeySignature {
			return []transparency.KeySignature{b.signature(m), {Key: a.ID(), Signature: b.sign(m)}}
		},
		"a stranger": func(m []byte) []transparency.KeySignature {
			return []transparency.KeySignature{a.signature(m), stranger.signature(m)}
		},
		"another message": func(m []byte) []transparency.KeySignature {
			return []transparency.KeySignature{a.signature(m), {Key: b.ID(), Signature: b.sign(append(m, '\n'))}}
		},
	} {
		for _, method := range bothMethods {
			w := newWorld(t, 0)
			w.rotate(func(k *keyring) { k.releases, k.releaseK = []testReleaseKey{a, b}, 2 })
			w.release(many(3, policy.Testing)...)
			r := w.join(w.mirror())
			r.update()
			r.Method = method
			good := w.fork()
			w.resign = func(leaf *ReleaseLeaf, msg []byte) { leaf.Signatures = signatures(msg) }
			w.release(set("x.example", policy.Testing))
			r.ask(w.mirror())
			r.refuse(name)
			want := good.release(set("x.example", policy.Testing))
			r.ask(good.mirror())
			r.update()
			r.holds(want)
		}
	}
}

// Each theft but that of all keys is refused: release key, log key, quorum of witnesses.
func TestStolenKeys(t *testing.T) {
	for stolen := range 8 {
		for _, method := range bothMethods {
			w := newWorld(t, 3)
			w.release(many(3, policy.Testing)...)
			r := w.join(w.mirror())
			r.update()
			r.Method = method
			thief := w.fork()
			if stolen&1 == 0 {
				fake := newReleaseKey(t, "fake")
				thief.resign = func(leaf *ReleaseLeaf, msg []byte) {
					leaf.Signatures = []transparency.KeySignature{{Key: w.keys.releases[0].ID(), Signature: fake.sign(msg)}}
				}
			}
			if stolen&2 == 0 {
				thief.keys.log.priv = newTestKey("fake log").priv
			}
			if stolen&4 == 0 { // one of three witnesses is on the thief's side
				thief.keys.witnesses = thief.keys.witnesses[:1]
			}
			want := thief.release(set("evil.example", policy.Enforce))
			r.ask(thief.mirror())
			if stolen < 7 {
				r.refuse(fmt.Sprintf("stolen %03b, %s", stolen, method))
				continue
			}
			r.update()
			r.holds(want)
		}
	}
}

// Trust that has expired: the list stays, releases made before count, later ones do not, and a new version helps.
func TestExpiredTrust(t *testing.T) {
	for _, method := range bothMethods {
		w := newWorld(t, 1)
		w.rotate(func(k *keyring) { k.expires = worldStart.Add(72 * time.Hour) })
		w.release(many(3, policy.Testing)...)
		r := w.join(w.mirror())
		r.update()
		r.Method = method
		w.now = w.keys.expires.Add(-2 * time.Hour)
		held := w.release(set("x.example", policy.Testing))
		w.now = w.keys.expires.Add(time.Hour)
		out := r.update()
		r.holds(held)
		if !out.TrustExpired || out.Freshness != Fresh || out.List.Len() != 4 {
			t.Errorf("got %+v", out)
		}
		w.release(set("y.example", policy.Testing))
		if out := r.refuse("made under expired trust"); !out.TrustExpired || !strings.Contains(out.Problems[0], "expired") {
			t.Errorf("got %+v", out)
		}
		if _, err := r.Update(context.Background()); !errors.Is(err, ErrTrustExpired) {
			t.Errorf("got %v, want the reason", err)
		}
		r.ask(&shelf{})
		if _, err := r.Update(context.Background()); errors.Is(err, ErrTrustExpired) {
			t.Errorf("no mirror, and yet %v", err)
		}
	}
}

// A newer version after the expiry makes everything good, also for releases between that nobody may count.
func TestExpiredTrustIsRenewed(t *testing.T) {
	w := newWorld(t, 1)
	w.rotate(func(k *keyring) { k.expires = worldStart.Add(72 * time.Hour) })
	w.release(many(3, policy.Testing)...)
	r := w.join(w.mirror())
	r.update()
	w.now = w.keys.expires.Add(time.Hour)
	w.rotate(func(k *keyring) { k.expires = w.now.AddDate(1, 0, 0) })
	want := w.release(set("y.example", policy.Testing))
	if out := r.update(); out.TrustExpired || out.TrustVersion != 3 {
		t.Errorf("got %+v", out)
	}
	r.holds(want)
}

// A mirror that offers a version which the roots did not sign, or that fails to answer, is not usable; a missing
// version is simply the end.
func TestFollowTrust(t *testing.T) {
	w := newWorld(t, 0)
	want := w.release(many(3, policy.Testing)...)
	stranger := w.fork()
	stranger.keys.roots = []testKey{newTestKey("stranger")}
	forged := stranger.keys.trust(t, 2, stranger.keys.roots...)
	for name, trust := range map[string][]byte{
		"forged": forged.Note(), "a page instead of 404": []byte("<!doctype html>\n"), "the same again": w.objects[TrustPath(1)],
	} {
		m := w.mirror()
		m.lies[TrustPath(2)] = trust
		r := w.join(w.mirror())
		r.ask(m)
		if _, err := r.Update(context.Background()); !errors.Is(err, ErrNoMirror) {
			t.Errorf("%s: %v", name, err)
		}
		if _, ok := r.files()[TrustPath(2)]; ok {
			t.Errorf("%s was stored", name)
		}
	}
	m := w.mirror()
	m.before = func(_ context.Context, path string) error {
		if path == TrustPath(2) {
			return errors.New("500 Internal Server Error")
		}
		return nil
	}
	r := w.join(w.mirror())
	r.ask(m, w.mirror())
	if out := r.update(); out.Mirror != "mirror 1" {
		t.Errorf("a mirror that cannot tell whether there is newer trust was used: %+v", out)
	}
	r.holds(want)
}
