package mirror

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"golang.org/x/mod/sumdb/tlog"

	"github.com/starttls-everywhere/policylist/policy"
)

// robber writes into a world's log whatever its keys allow: the log key appends anything, the release keys sign
// anything. Between its deeds the operator goes on, from the last valid release.
type robber struct {
	historian
	signs bool // has the release keys too
}

func newRobber(t testing.TB, seed uint64, signs bool) *robber {
	r := &robber{historian{world: newWorld(t, int(seed%2)), rnd: rand.New(rand.NewPCG(seed, 3))}, signs}
	r.release(many(4, policy.Testing)...)
	return r
}

// litter appends one leaf that the operator would never write.
func (r *robber) litter() {
	newest := r.chain.Newest()
	change := func(release int64) []byte {
		e := set(fmt.Sprintf("d%02d.example", r.rnd.IntN(12)), policy.Enforce, "mx.evil.example")
		if r.rnd.IntN(3) == 0 {
			e.Policy = nil
		}
		return ChangeLeaf{e.Domain, e.Policy, "add.owner", release}.Append(nil)
	}
	old := func() []byte { return slices.Clone(r.leaves[r.rnd.IntN(len(r.leaves))]) }
	kinds := []func() []byte{
		func() []byte { return []byte("rubbish") },
		func() []byte { return nil },
		func() []byte { return change(r.number()) },
		func() []byte { return change(r.number() + r.rnd.Int64N(3) - 1) },
		old,
		func() []byte { return r.last.Raw },
		func() []byte {
			data := old()
			if len(data) > 0 {
				data[r.rnd.IntN(len(data))] ^= 1 << r.rnd.IntN(8)
			}
			return data
		},
		func() []byte { return TrustLeaf{sum(nil), newest.Version + r.rnd.Int64N(2)}.Append(nil) },
		func() []byte { return TrustLeaf{newest.Digest(), newest.Version + r.rnd.Int64N(3) - 1}.Append(nil) },
		func() []byte {
			v := r.chain.Versions()[r.rnd.IntN(int(newest.Version))]
			return TrustLeaf{v.Digest(), v.Version}.Append(nil)
		},
		func() []byte { return r.forged(func(leaf *ReleaseLeaf) { leaf.Origin = "staging.example/list" }) },
		func() []byte {
			stranger := *r.world
			stranger.keys.releases, stranger.keys.releaseK = []testReleaseKey{newReleaseKey(r.t, "stranger")}, 1
			return (&robber{historian{world: &stranger, rnd: r.rnd}, true}).forged(nil)
		},
	}
	r.add(kinds[r.rnd.IntN(len(kinds))]())
}

// forged makes a release leaf that claims nothing, signed if the robber can.
func (r *robber) forged(edit func(*ReleaseLeaf)) []byte {
	at := int64(len(r.leaves))
	leaf := r.releaseLeaf(at, at, r.last.List)
	if edit != nil {
		edit(leaf)
	}
	raw := r.sign(leaf)
	if !r.signs {
		leaf.Signatures[0].Signature[5] ^= 1
		raw, _ = leaf.Bytes()
	}
	return raw
}

// coup appends change leaves and a release leaf, often with something wrong about them, signs and publishes all that.
func (r *robber) coup() {
	r.now = r.now.Add(time.Duration(1+r.rnd.IntN(7200)) * time.Second)
	edits := r.edits()
	from, to := r.addChanges(edits...)
	list, err := r.last.List.Apply(edits)
	r.must(err)
	if to > from && r.rnd.IntN(4) == 0 {
		r.shuffle(from)
	}
	for r.rnd.IntN(3) == 0 {
		r.litter()
	}
	if r.rnd.IntN(3) == 0 {
		for _, t := range r.pending {
			r.add(t.Append(nil))
		}
		r.pending = nil
	}
	leaf, honest := r.releaseLeaf(from, to, list), list
	for r.rnd.IntN(3) > 0 {
		r.distort(leaf, &list)
	}
	if size, digest, err := list.Write(discard{}, leaf.Header()); err == nil && r.rnd.IntN(8) > 0 {
		leaf.Count, leaf.ListSize, leaf.ListDigest = int64(list.Len()), size, digest
	}
	raw := r.sign(leaf)
	if !r.signs {
		raw = r.last.Raw // nothing better at hand
	}
	r.add(raw)
	for _, l := range []policy.List{honest, list} { // the leaf may still name the first
		if data, err := l.Bytes(leaf.Header()); err == nil {
			r.objects[BlobPath(sum(data))] = r.zstd.EncodeAll(data, nil)
		}
	}
	r.publish(leaf.Release, r.now)
}

// shuffle puts the change leaves from index from on, which nobody has seen yet, into another order; sometimes it
// loses one or has one twice.
func (r *robber) shuffle(from int64) {
	leaves := slices.Clone(r.leaves[from:])
	r.leaves, r.hashes = r.leaves[:from:from], r.hashes[:tlog.StoredHashCount(from):tlog.StoredHashCount(from)]
	r.rnd.Shuffle(len(leaves), func(i, j int) { leaves[i], leaves[j] = leaves[j], leaves[i] })
	switch r.rnd.IntN(3) {
	case 0:
		leaves = leaves[1:]
	case 1:
		leaves = append(leaves, leaves[0])
	}
	for _, l := range leaves {
		r.add(l)
	}
}

// distort puts one thing wrong about a release.
func (r *robber) distort(leaf *ReleaseLeaf, list *policy.List) {
	ways := []func(){
		func() { leaf.Release += r.rnd.Int64N(4) },
		func() { leaf.Release = max(2, leaf.Release-r.rnd.Int64N(3)) },
		func() { leaf.Release = 1 << 40 },
		func() { d := sum([]byte{byte(r.rnd.IntN(9))}); leaf.Previous = &d },
		func() { d := sum(r.leaves[r.rnd.IntN(len(r.leaves))]); leaf.Previous = &d },
		func() { leaf.From++ },
		func() { leaf.From = max(0, leaf.From-r.rnd.Int64N(5)) },
		func() { leaf.To++ },
		func() { leaf.To = max(0, leaf.To-1) },
		func() { leaf.From = leaf.To },
		func() { leaf.From, leaf.To = int64(len(r.leaves)), int64(len(r.leaves)) },
		func() { leaf.Trust = max(1, leaf.Trust-1) },
		func() { leaf.Trust++ },
		func() { leaf.Timestamp = r.last.Leaf.Timestamp },
		func() { leaf.Timestamp = leaf.Timestamp.Add(-48 * time.Hour) },
		func() { leaf.Timestamp = r.keys.expires.Add(time.Second) },
		func() { leaf.Expires = leaf.Timestamp.Add(MaxLifetime + time.Second) },
		func() {
			leaf.Source, leaf.Timestamp = "import:00", time.Date(2018, 1, 1, 0, 0, 0, 0, time.UTC)
			leaf.Expires = leaf.Timestamp.AddDate(0, 1, 0)
		},
		func() { leaf.Source, leaf.Expires = "import:00", leaf.Timestamp.AddDate(1000, 0, 0) },
		func() {
			if l, err := list.Apply([]policy.Edit{set("evil.example", policy.Enforce)}); err == nil {
				*list = l
			}
		},
	}
	ways[r.rnd.IntN(len(ways))]()
}

// oracle replays the whole log by definition, and tells whether its newest entry is a valid release.
func (r *robber) oracle() (last *Release, newest bool) {
	replay := NewReplay(r.chain, nil).Of(r.keys.log.name)
	for _, l := range r.leaves {
		replay.Add(l)
	}
	last = replay.Last()
	return last, last.Index == int64(len(r.leaves))-1
}

// took updates and reports whether the newest release was accepted. A refusal must change nothing.
func (r *reader) took(why string) bool {
	r.t.Helper()
	before := r.files()
	out, err := r.Update(context.Background())
	if err == nil {
		return out.Method != "none"
	}
	if !errors.Is(err, ErrNoMirror) || errors.Is(err, ErrSecurity) {
		r.t.Fatalf("%s: %v", why, err)
	}
	r.unchanged(why, before)
	return false
}

// robbedHistory lets a robber and the operator write into one log by turns. Clients that know the log take on both
// paths exactly what a replay of the whole log calls valid. Strays, who join in the middle of a robbery and have
// nothing to compare with, may be misled, and go on with the rest after the operator's next release.
func robbedHistory(t *testing.T, seed uint64, signs bool) (deeds, misled int) {
	r := newRobber(t, seed, signs)
	m := r.mirror()
	clients := map[Method]*reader{}
	for _, method := range []Method{Auto, Delta, Snapshot} {
		clients[method] = r.join(m)
		clients[method].update()
		clients[method].Method = method
	}
	for round := range 3 {
		var strays []*reader
		for range 1 + r.rnd.IntN(3) {
			if deeds++; r.rnd.IntN(4) == 0 {
				r.rotation()
			}
			for r.rnd.IntN(2) == 0 {
				r.litter()
			}
			if r.rnd.IntN(12) == 0 {
				for range deltaLimit(20) { // too many to read
					r.add([]byte("rubbish"))
				}
			}
			r.coup()
			last, valid := r.oracle()
			why := fmt.Sprintf("seed %d, round %d, deed %d (valid: %v)", seed, round, deeds, valid)
			grown := map[Method]int64{}
			for method, c := range clients {
				h, _, err := c.load()
				r.must(err)
				grown[method] = int64(len(r.leaves)) - h.rng.Size()
			}
			took := map[Method]bool{}
			for method, c := range clients {
				if took[method] = c.took(why + ", " + string(method)); took[method] && !valid && grown[method] <= deltaLimit(0) {
					t.Fatalf("%s: taken by %q", why, method)
				}
			}
			if took[Delta] != took[Snapshot] && grown[Snapshot] <= deltaLimit(0) || took[Delta] != took[Auto] && grown[Auto] <= deltaLimit(0) {
				t.Fatalf("%s: taken %v", why, took)
			}
			for _, s := range strays {
				s.took(why + ", a stray")
			}
			stray := r.join(m)
			if stray.took(why + ", a stray's first"); stray.sunk > 0 && !valid {
				misled++
			}
			strays = append(strays, stray)
			r.last = last
		}
		r.now = latest(r.now, r.last.Leaf.Timestamp) // the operator's clock would not be ahead of its log's
		want := r.release(r.edits()...)
		for _, c := range clients {
			c.update()
			c.holds(want)
		}
		for _, s := range strays {
			s.update()
			s.holds(want)
		}
	}
	return deeds, misled
}

// The keys are stolen, the log's alone and together with the release keys: see robbedHistory.
func TestRobbedLog(t *testing.T) {
	t.Parallel()
	for _, signs := range []bool{false, true} {
		deeds, misled := 0, 0
		for seed := range histories(8, 1500) {
			d, m := robbedHistory(t, seed, signs)
			deeds, misled = deeds+d, misled+m
		}
		if signs && misled == 0 {
			t.Error("nobody was ever misled: the healing is not tested")
		}
		t.Logf("release keys stolen %v: %d robberies, %d newcomers misled and healed", signs, deeds, misled)
	}
}

// A thief of the release keys without the log's has no log to show.
func TestReleaseKeysAlone(t *testing.T) {
	for seed := range histories(8, 200) {
		r := newRobber(t, seed, true)
		clients := map[Method]*reader{}
		for _, method := range bothMethods {
			clients[method] = r.join(r.mirror())
			clients[method].update()
			clients[method].Method = method
		}
		thief := &robber{historian{world: r.fork(), rnd: r.rnd}, true}
		thief.keys.log.priv = newTestKey("another log").priv
		thief.coup()
		want := r.release(set("x.example", policy.Testing))
		for method, c := range clients {
			c.ask(thief.mirror())
			c.refuse(fmt.Sprintf("seed %d, %s", seed, method))
			c.ask(thief.mirror(), r.mirror())
			c.update()
			c.holds(want)
		}
	}
}

// histories counts from 0 to n, or in the full form of the tests to full.
func histories(n, full uint64) func(func(uint64) bool) {
	if fullForm() {
		n = full
	}
	return func(yield func(uint64) bool) {
		for seed := range n {
			if !yield(seed) {
				return
			}
		}
	}
}
