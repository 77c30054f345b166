package mirror

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/starttls-everywhere/policylist/policy"
	"github.com/starttls-everywhere/policylist/transparency"
)

// history is a world with two releases under each of five trust versions: each rotates another key, the last one the
// log itself.
func history(t *testing.T) *world {
	t.Helper()
	w := newWorld(t, 1)
	w.release(many(3, policy.Testing)...)
	w.release(set("one.example", policy.Testing))
	for i, change := range []func(*keyring){
		func(k *keyring) { k.releases = []testReleaseKey{newReleaseKey(t, "release.b")} },
		func(k *keyring) { k.log.priv = newTestKey("log.b").priv },
		func(k *keyring) { k.witnesses = []testKey{newTestKey("w9.example")} },
	} {
		w.rotate(change)
		w.release(set(fmt.Sprintf("two%d.example", i), policy.Testing))
		w.release()
	}
	w.restart("policylist.example/second")
	w.release()
	return w
}

// restart begins a new log, whose first release sets everything again.
func (w *world) restart(origin string) *Release {
	w.t.Helper()
	var full []policy.Edit
	for _, e := range w.last.List.Entries() {
		full = append(full, policy.Edit{Domain: e.Domain, Policy: &e.Policy})
	}
	w.newLog(origin)
	last := *w.last
	last.List = policy.List{}
	w.last = &last
	return w.release(full...)
}

// Every release that was ever published can be proved for ever, by the version it was made under, and the newest release
// leads back to each.
func TestOldProofs(t *testing.T) {
	w := history(t)
	if len(w.pointers) != 10 || w.chain.Newest().Version != 5 {
		t.Fatalf("%d releases, trust version %d", len(w.pointers), w.chain.Newest().Version)
	}
	m := w.mirror()
	for n, data := range w.pointers {
		p, err := OpenProof(data, w.chain)
		if err != nil {
			t.Fatalf("release %d: %v", n, err)
		}
		if p.Leaf.Release != n || p.Superseded != (n < 9) || p.Superseded != (p.Leaf.Trust < 5) {
			t.Errorf("release %d: %+v", n, p)
		}
		if err := p.Confirm(t.Context(), m, w.chain); err != nil {
			t.Errorf("release %d: %v", n, err)
		}
		if _, _, err := OpenPointer(data, w.chain); (err == nil) != (n >= 9) || err != nil && !errors.Is(err, ErrLagging) {
			t.Errorf("release %d as the newest: %v", n, err)
		}
	}
	if len(m.asked) > 10*11 {
		t.Errorf("%d requests", len(m.asked))
	}
}

// A release that was logged and not published is proved in the tree of a later one, whose checkpoint another log key
// signed: that is fine too. Its being proved in the middle of a tree makes no pointer of it.
func TestProofInALaterTree(t *testing.T) {
	w := newWorld(t, 0)
	w.release(many(3, policy.Testing)...)
	skipped := w.release(set("x.example", policy.Testing))
	w.rotate(func(k *keyring) { k.log.priv = newTestKey("log.b").priv })
	w.release()
	data := w.pointer(skipped.Index, skipped.Raw, w.now)
	p, err := OpenProof(data, w.chain)
	if err != nil || !p.Superseded || p.Checkpoint.Tree.N <= p.Index+1 {
		t.Fatalf("%+v, %v", p, err)
	}
	if err := p.Confirm(t.Context(), w.mirror(), w.chain); err != nil {
		t.Error(err)
	}
	old := w.chain.Versions()[:1]
	alone, err := transparency.NewTrustChain(old[0])
	w.must(err)
	if _, _, err := OpenPointer(data, alone); err == nil {
		t.Error("accepted as the newest release")
	}
	if _, err := OpenProof(data, alone); err == nil {
		t.Error("a checkpoint of a key that the chain does not know was accepted")
	}
}

// Whoever steals all keys of a version that has been superseded can make proofs under it, which look like old ones. The
// newest release does not lead back to them.
func TestProofByRevokedKeys(t *testing.T) {
	w := newWorld(t, 1)
	w.release(many(3, policy.Testing)...)
	thieves := []*world{w.fork(), newWorld(t, 1), w.fork()} // one for each forgery: what one logged must not be there for the next
	w.rotate(func(k *keyring) {
		k.releases, k.log.priv = []testReleaseKey{newReleaseKey(t, "release.b")}, newTestKey("log.b").priv
	})
	for range 3 {
		w.release()
	}
	for i, forgery := range []struct {
		name  string
		forge func(thief *world)
	}{
		{"a release that there is under another version", func(thief *world) { thief.release(set("evil.example", policy.Enforce)) }},
		{"another first release", func(thief *world) { thief.release(set("evil.example", policy.Enforce)) }},
		{"a release beyond the newest", func(thief *world) {
			for range 6 {
				thief.release()
			}
		}},
	} {
		name, thief := forgery.name, thieves[i]
		forgery.forge(thief)
		p, err := OpenProof(thief.objects[PointerPath], w.chain)
		if err != nil || !p.Superseded {
			t.Fatalf("%s: %+v, %v: it is what a proof under the old version looks like", name, p, err)
		}
		if err := p.Confirm(t.Context(), w.mirror(), w.chain); err == nil {
			t.Errorf("%s was confirmed", name)
		}
		if err := p.Confirm(t.Context(), thief.mirror(), w.chain); !errors.Is(err, ErrLagging) {
			t.Errorf("%s, by the thief's own mirror: %v", name, err)
		}
	}
}

// Each object on the way back may be missing or another; then nothing is confirmed, and nobody is accused.
func TestConfirmNeedsEveryStep(t *testing.T) {
	w := history(t)
	p, err := OpenProof(w.pointers[2], w.chain)
	w.must(err)
	for n := int64(2); n < 10; n++ {
		for name, lie := range map[string][]byte{"missing": nil, "another release's": w.pointers[1], "rubbish": []byte("x\n\ny")} {
			m := w.mirror()
			m.lies[ReleasePath(n)] = lie
			if err := p.Confirm(t.Context(), m, w.chain); err == nil {
				t.Errorf("release/%d %s: confirmed", n, name)
			}
		}
	}
	m := w.mirror()
	m.lies[PointerPath] = w.pointers[8]
	if err := p.Confirm(t.Context(), m, w.chain); !errors.Is(err, ErrLagging) {
		t.Errorf("a mirror that lags: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := p.Confirm(ctx, w.mirror(), w.chain); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
	far := &Proven{Release: Release{Leaf: &ReleaseLeaf{Release: -maxSteps}}}
	if err := far.Confirm(t.Context(), w.mirror(), w.chain); err == nil || !strings.Contains(err.Error(), "steps") {
		t.Errorf("a way of more than %d steps: %v", maxSteps, err)
	}
}

// No flipped bit of an old proof is accepted, but in the base64 of signatures that do not count.
func TestOldProofFlips(t *testing.T) {
	w := history(t)
	good, err := OpenProof(w.pointers[3], w.chain)
	w.must(err)
	for i := range w.pointers[3] {
		for bit := range 8 {
			data := bytes.Clone(w.pointers[3])
			data[i] ^= 1 << bit
			if p, err := OpenProof(data, w.chain); err == nil && (!bytes.Equal(p.Raw, good.Raw) || p.Index != good.Index || p.Checkpoint.Tree != good.Checkpoint.Tree) {
				t.Fatalf("byte %d, bit %d: accepted as release %d", i, bit, p.Leaf.Release)
			}
		}
	}
}
