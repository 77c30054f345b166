package mirror

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"golang.org/x/mod/sumdb/tlog"

	"github.com/starttls-everywhere/policylist/policy"
	"github.com/starttls-everywhere/policylist/transparency"
)

var bothMethods = []Method{Delta, Snapshot}

// Every older release is refused on both paths, also by a client whose list has expired and that would like any other.
func TestRollback(t *testing.T) {
	for _, expired := range []bool{false, true} {
		for _, method := range bothMethods {
			w := newWorld(t, 2)
			for i := range 6 {
				w.release(set(fmt.Sprintf("d%d.example", i), policy.Testing))
			}
			r := w.join(w.mirror())
			r.update()
			r.Method = method
			if expired {
				w.now = w.last.Leaf.Expires.Add(time.Hour)
			}
			for n := int64(1); n < 6; n++ {
				r.ask(w.at(n))
				out := r.refuse(fmt.Sprintf("release %d, expired %v, %s", n, expired, method))
				if out.Release.Release != 6 || (out.Freshness == Expired) != expired || out.List.Len() > 0 {
					t.Errorf("release %d, expired %v: outcome %+v", n, expired, out)
				}
			}
			if expired && (r.served.Freshness != Expired || r.served.List.Len() != 0) {
				t.Errorf("the mail server still has %d entries of an expired list", r.served.List.Len())
			}
			want := w.release(set("new.example", policy.Testing))
			r.ask(w.at(2), w.mirror())
			r.update()
			r.holds(want)
		}
	}
}

// An old release under a newer, signed tree: the log key alone can append an old leaf again.
func TestOldReleaseLeafAtTheEndOfANewerTree(t *testing.T) {
	for _, method := range bothMethods {
		w := newWorld(t, 1)
		w.release(many(3, policy.Testing)...)
		old := w.release(set("x.example", policy.Testing))
		w.release(set("y.example", policy.Testing))
		r := w.join(w.mirror())
		r.update()
		r.Method = method
		thief := w.fork()
		thief.add(old.Raw)
		thief.publish(4, thief.now)
		r.ask(thief.mirror())
		r.refuse("an old leaf logged again, " + string(method))
		thief.add(w.last.Raw)
		thief.publish(4, thief.now)
		r.refuse("the held leaf logged again, " + string(method))
	}
}

// Every published checkpoint ends in a release leaf: entries behind it would be taken for read without being so.
func TestEntriesBehindTheRelease(t *testing.T) {
	for _, method := range bothMethods {
		w := newWorld(t, 1)
		w.release(many(3, policy.Testing)...)
		r := w.join(w.mirror())
		r.update()
		r.Method = method
		want := w.release(set("x.example", policy.Testing))
		w.add([]byte("one more"))
		w.publish(99, w.now)
		m := w.mirror()
		m.lies[PointerPath] = w.pointer(want.Index, want.Raw, w.now)
		r.ask(m)
		r.refuse("an entry behind the release leaf, " + string(method))
	}
}

// The log key alone signs an invented tree of 2^40 entries around a genuine newer leaf, so that every honest tree
// would look old afterwards.
func TestInventedTreeSize(t *testing.T) {
	w := newWorld(t, 0)
	w.release(many(3, policy.Testing)...)
	r := w.join(w.mirror())
	r.update()
	want := w.release(set("x.example", policy.Testing))
	for _, size := range []int64{w.shown + 100, w.shown + maxGrowth - 10, 1 << 30, 1 << 40, 1<<62 - 1} {
		for _, method := range []Method{Auto, Delta, Snapshot} {
			m := w.mirror()
			m.lies[PointerPath] = w.invented(want, size)
			r.Method = method
			r.ask(m)
			out := r.refuse(fmt.Sprintf("a tree of %d, %q", size, method))
			if len(m.asked) > 40 {
				t.Errorf("a tree of %d, %q: %d requests", size, method, len(m.asked))
			}
			if !strings.Contains(out.Problems[0], "do not stand before its leaf") {
				t.Errorf("a tree of %d, %q: %s", size, method, out.Problems[0])
			}
		}
	}
	r.Method = Auto
	r.ask(w.mirror())
	r.update()
	r.holds(want)
}

// invented is the pointer of an invented tree of the given size that ends in a genuine leaf, signed by the log.
func (w *world) invented(last *Release, size int64) []byte {
	w.t.Helper()
	rng, err := transparency.NewCompactRange(0, nil)
	w.must(err)
	root := rng.Append(tlog.RecordHash(last.Raw)).Tree().Hash
	var path []tlog.Hash
	for n := size - 1; n > 0; n >>= 1 {
		if n&1 == 1 {
			path = append(path, tlog.RecordHash([]byte{byte(len(path))}))
			root = tlog.NodeHash(path[len(path)-1], root)
		}
	}
	return transparency.Proof{Extra: last.Raw, Index: size - 1, Path: path, Checkpoint: w.signTree(tlog.Tree{N: size, Hash: root}, w.now)}.Format()
}

// A genuine log may still grow more than a client wants to take unread.
func TestGrowthCap(t *testing.T) {
	w := newWorld(t, 0)
	w.release(many(3, policy.Testing)...)
	r := w.join(w.mirror())
	r.update()
	h, _, err := r.load()
	w.must(err)
	w.release(set("x.example", policy.Testing))
	p, err := openPointer(w.objects[PointerPath], h.chain)
	w.must(err)
	for grown, refused := range map[int64]bool{maxGrowth: false, maxGrowth + 1: true, 1 << 40: true} {
		c := &candidate{Release: &Release{Leaf: p.leaf, Raw: p.raw}, checkpoint: p.checkpoint}
		c.checkpoint.Tree.N = h.rng.Size() + grown
		m := w.mirror()
		err := c.snapshot(context.Background(), m, h, p)
		if err == nil || (len(m.asked) == 0) != refused {
			t.Errorf("grown by %d: %v after %d requests", grown, err, len(m.asked))
		}
	}
}

// A proxy serves each mutable object at random from the last three releases, and trust versions or not: the client
// is at exactly one release each time, never goes back, and is at the newest once the proxy is honest.
func TestMixAndMatch(t *testing.T) {
	rnd := rand.New(rand.NewPCG(1, 1))
	w := newWorld(t, 2)
	releases := map[int64]*Release{}
	for i := range 3 {
		r := w.release(set(fmt.Sprintf("d%d.example", i), policy.Testing))
		releases[r.Leaf.Release] = r
	}
	m := w.mirror()
	delta, snapshot := w.join(m), w.join(m)
	delta.update()
	snapshot.update()
	delta.Method, snapshot.Method = Delta, Snapshot
	for i := range 60 {
		if i%4 == 0 {
			w.rotate(func(k *keyring) { k.expires = k.expires.Add(time.Hour) })
		}
		r := w.release(set(fmt.Sprintf("d%d.example", i%7), policy.Testing+policy.Mode(i/7%2), fmt.Sprintf("mx%d.example", i)))
		releases[r.Leaf.Release] = r
		for _, client := range []*reader{delta, snapshot} {
			n := r.Leaf.Release - rnd.Int64N(3)
			m.lies[PointerPath] = w.pointers[n]
			m.lies[CheckpointPath] = w.objects[CheckpointPath]
			before := client.files()
			out, err := client.Update(context.Background())
			switch {
			case errors.Is(err, ErrNoMirror):
				client.unchanged("mixed", before)
			case err != nil:
				t.Fatal(err)
			case out.Release.Release < out.Previous || out.Release.Release != n && out.Method != "none":
				t.Fatalf("from release %d to %d, the pointer was %d", out.Previous, out.Release.Release, n)
			default:
				client.holds(releases[out.Release.Release])
			}
			if n == r.Leaf.Release {
				client.holds(r)
			}
		}
	}
	clear(m.lies)
	delta.update()
	snapshot.update()
	delta.holds(w.last)
	snapshot.holds(w.last)
}

// The pointer names a trust version that came to the mirror just now.
func TestTrustAppearsTogetherWithThePointer(t *testing.T) {
	w := newWorld(t, 0)
	w.release(many(3, policy.Testing)...)
	m := w.mirror()
	r := w.join(m)
	r.update()
	var want *Release
	m.before = func(_ context.Context, path string) error {
		if want == nil {
			w.rotate(func(k *keyring) { k.releases = []testReleaseKey{newReleaseKey(t, "release.b")} })
			want = w.release(set("x.example", policy.Testing))
		}
		return nil
	}
	first, err := r.Update(context.Background())
	if err == nil && first.Release.Release == 2 {
		r.holds(want)
		return
	}
	// The old pointer was read before; the trust that is newer makes it a lagging one. The next update has both.
	r.update()
	r.holds(want)
}
