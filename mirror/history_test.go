package mirror

import (
	"fmt"
	"math/rand/v2"
	"os"
	"reflect"
	"testing"
	"time"

	"github.com/starttls-everywhere/policylist/policy"
	"github.com/starttls-everywhere/policylist/transparency"
)

// historian makes random histories of a world: releases, renewals, rotations, and everything that goes wrong between.
type historian struct {
	*world
	rnd   *rand.Rand
	waste int // leaves without effect since the last update
}

// edits changes up to eight domains of a small set, so that they meet again and again. Each edit has an effect.
func (h *historian) edits() []policy.Edit {
	var list policy.List
	if h.last != nil {
		list = h.last.List
	}
	var out []policy.Edit
	for _, i := range h.rnd.Perm(12)[:h.rnd.IntN(9)] {
		e := set(fmt.Sprintf("d%02d.example", i), policy.Testing+policy.Mode(h.rnd.IntN(2)), h.mxs()...)
		old, listed := list.Lookup(e.Domain)
		if listed && h.rnd.IntN(3) == 0 {
			e.Policy = nil
		}
		if e.Policy != nil && listed && old.Equal(*e.Policy) {
			continue
		}
		out = append(out, e)
	}
	return out
}

func (h *historian) mxs() []string {
	all := []string{"mx.a.example", "mx.b.example", ".c.example", "mail.d.example"}
	h.rnd.Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
	return all[:1+h.rnd.IntN(3)]
}

// mishap logs something that no release will claim.
func (h *historian) mishap() {
	before := len(h.leaves)
	switch h.rnd.IntN(6) {
	case 0: // an attempt that stopped before its release leaf
		h.addChanges(h.edits()...)
	case 1: // not a leaf at all
		h.add([]byte(`{"domain":"a.example","kind":"change"}`))
	case 2: // an empty one
		h.add(nil)
	case 3: // a trust version that nobody signed
		h.add(TrustLeaf{sum(nil), h.chain.Newest().Version + 1}.Append(nil))
	case 4: // an attempt whose release leaf does not fit its list
		from, to := h.addChanges(h.edits()...)
		bad := h.releaseLeaf(from, to, policy.List{})
		bad.Count++
		h.add(h.sign(bad))
	case 5: // a release leaf of nobody's key
		from, to := h.addChanges()
		stranger := h.fork()
		stranger.keys.releases, stranger.keys.releaseK = []testReleaseKey{newReleaseKey(h.t, "stranger")}, 1
		h.add(stranger.sign(h.releaseLeaf(from, to, policy.List{})))
	}
	h.waste += len(h.leaves) - before
}

// rotation makes the next trust version; sometimes an attempt logs its leaf and stops.
func (h *historian) rotation() {
	h.rotate(func(k *keyring) {
		name := fmt.Sprintf("release.%d", h.chain.Newest().Version+1)
		k.releases = append([]testReleaseKey{newReleaseKey(h.t, name)}, k.releases...)
		if k.releases = k.releases[:min(len(k.releases), 3)]; h.rnd.IntN(2) == 0 {
			k.roots = append([]testKey{newTestKey("root." + name)}, k.roots...)
		}
		k.releaseK = 1 + h.rnd.IntN(len(k.releases))
	})
	if h.rnd.IntN(3) == 0 {
		before := len(h.leaves)
		h.addChanges(h.edits()...)
		h.waste += len(h.leaves) - before
		for _, t := range h.pending {
			h.add(t.Append(nil)) // this one counts: the version holds from here on
		}
		h.pending = nil
	}
}

func (h *historian) step() {
	h.interval = time.Duration(1+h.rnd.IntN(40*3600)) * time.Second
	if h.rnd.IntN(4) == 0 {
		h.rotation()
	}
	for h.rnd.IntN(3) == 0 {
		h.mishap()
	}
	if h.rnd.IntN(4) == 0 {
		h.release() // a renewal
		return
	}
	h.release(h.edits()...)
}

// Whatever happened, a client that replays the log and one that takes the whole list end with the same bytes.
func TestDeltaAndSnapshotAgree(t *testing.T) {
	histories := 96
	if os.Getenv("CI") == "true" {
		histories = 1000
	}
	for part := range 8 {
		t.Run(fmt.Sprint(part), func(t *testing.T) {
			t.Parallel()
			for seed := part; seed < histories && !t.Failed(); seed += 8 {
				liveHistory(t, uint64(seed))
			}
		})
	}
}

func liveHistory(t *testing.T, seed uint64) {
	h := &historian{world: newWorld(t, int(seed%3)), rnd: rand.New(rand.NewPCG(seed, 1))}
	h.release(many(1+int(seed%7), policy.Testing)...)
	delta, snapshot := h.join(h.mirror()), h.join(h.mirror())
	delta.update()
	snapshot.update()
	delta.Method, snapshot.Method = Delta, Snapshot
	for range 2 + h.rnd.IntN(3) {
		h.waste = 0
		for range 1 + h.rnd.IntN(3) {
			h.step()
		}
		delta.Accept, snapshot.Accept = h.last.Leaf.Release, h.last.Leaf.Release
		h.agree(t, seed, delta, snapshot)
	}
}

func (h *historian) agree(t *testing.T, seed uint64, delta, snapshot *reader) {
	t.Helper()
	a, b := delta.update(), snapshot.update()
	delta.holds(h.last)
	snapshot.holds(h.last)
	if len(a.Alarms) != h.waste || len(b.Alarms) != 0 {
		t.Errorf("seed %d: %d alarms by delta, %d by snapshot, for %d leaves without effect: %v", seed, len(a.Alarms), len(b.Alarms), h.waste, a.Alarms)
	}
	if a.Method != "delta" || b.Method != "snapshot" {
		t.Errorf("seed %d: methods %q and %q", seed, a.Method, b.Method)
	}
	a.Method, a.Alarms, b.Method = "", nil, ""
	if !reflect.DeepEqual(a, b) {
		t.Errorf("seed %d: outcomes differ:\n%+v\n%+v", seed, a, b)
	}
	fa, fb := delta.files(), snapshot.files()
	for _, name := range []string{stateFile, ListPath, TrustPath(h.chain.Newest().Version)} {
		if fa[name] != fb[name] || fa[name] == "" {
			t.Errorf("seed %d: %s differs:\n%s\n%s", seed, name, fa[name], fb[name])
		}
	}
}

// An auditor who starts at entry 0 finds the same releases, and every other leaf in the alarms.
func TestReplayFromTheStart(t *testing.T) {
	for seed := range uint64(50) {
		h := &historian{world: newWorld(t, 0), rnd: rand.New(rand.NewPCG(seed, 2))}
		h.mishap()
		h.release(many(3, policy.Testing)...)
		var releases []*Release
		for range 10 {
			h.step()
		}
		replay := NewReplay(h.chain, nil)
		changes := 0
		for _, leaf := range h.leaves {
			if r := replay.Add(leaf); r != nil {
				releases = append(releases, r)
				changes += int(r.Leaf.To - r.Leaf.From)
			}
		}
		alarms, more := replay.Alarms()
		if len(releases) != 11 || replay.Last() != releases[10] || replay.Next() != int64(len(h.leaves)) {
			t.Fatalf("seed %d: %d releases, %v", seed, len(releases), alarms)
		}
		got, want := *releases[10], *h.last
		same := got.List.Equal(want.List)
		got.List, want.List = policy.List{}, policy.List{}
		if !same || !reflect.DeepEqual(got, want) {
			t.Errorf("seed %d: got %+v, want %+v, the same list: %v", seed, got, want, same)
		}
		if len(alarms) != h.waste || more != 0 {
			t.Errorf("seed %d: %d alarms and %d more for %d leaves without effect", seed, len(alarms), more, h.waste)
		}
		trusts := int(h.chain.Newest().Version) - 1 - len(h.pending)
		if got := len(releases) + changes + trusts + len(alarms); got != len(h.leaves) {
			t.Errorf("seed %d: %d of %d leaves are accounted for", seed, got, len(h.leaves))
		}
	}
}

func TestReplayBoundsItsAlarms(t *testing.T) {
	w := newWorld(t, 0)
	replay := NewReplay(w.chain, nil)
	for range maxAlarms + 7 {
		replay.Add([]byte("rubbish"))
	}
	alarms, more := replay.Alarms()
	if len(alarms) != maxAlarms || more != 7 {
		t.Errorf("%d alarms and %d more", len(alarms), more)
	}
	for i := range int64(transparency.TileWidth) {
		e := set(fmt.Sprintf("d%03d.example", i), policy.Testing)
		replay.Add(ChangeLeaf{e.Domain, e.Policy, "add.owner", 1}.Append(nil))
	}
	replay.Add([]byte("rubbish"))
	if _, more := replay.Alarms(); more != 7+transparency.TileWidth+1 {
		t.Errorf("%d more", more)
	}
}
