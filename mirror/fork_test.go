package mirror

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	"golang.org/x/mod/sumdb/tlog"

	"github.com/starttls-everywhere/policylist/policy"
	"github.com/starttls-everywhere/policylist/transparency"
)

// forked gives two worlds of the same keys that agree up to release 2 and differ from release 3 on.
func forked(t *testing.T) (honest, other *world) {
	honest = newWorld(t, 2)
	honest.release(many(3, policy.Testing)...)
	honest.release(set("x.example", policy.Testing))
	other = honest.fork()
	honest.release(set("y.example", policy.Testing))
	other.release(set("z.example", policy.Testing))
	return honest, other
}

// caught updates against a forked mirror and returns the evidence file after confirming it.
func (r *reader) caught(why string) Evidence {
	r.t.Helper()
	before, sunk := r.files(), r.sunk
	out, err := r.Update(context.Background())
	var fork *ForkError
	if !errors.Is(err, ErrSecurity) || !errors.As(err, &fork) || errors.Is(err, ErrNoMirror) {
		r.t.Fatalf("%s: got %v; %v", why, err, out.Problems)
	}
	r.unchanged(why, before)
	if r.sunk != sunk {
		r.t.Errorf("%s: the mail server was given something", why)
	}
	if out.Release == nil || out.Release.Release != out.Previous || out.Freshness == None || out.TrustVersion == 0 {
		r.t.Errorf("%s: the outcome does not tell what is held: %+v", why, out)
	}
	data, err := os.ReadFile(out.EvidenceFile)
	if err != nil {
		r.t.Fatal(err)
	}
	e, err := ParseEvidence(data)
	if err != nil {
		r.t.Fatal(err)
	}
	chain, err := r.Chain()
	if err != nil {
		r.t.Fatal(err)
	}
	if err := e.Check(chain); err != nil {
		r.t.Errorf("%s: the evidence does not convince: %v", why, err)
	}
	return e
}

func TestForkOfTheSameSize(t *testing.T) {
	honest, other := forked(t)
	if honest.shown != other.shown {
		t.Fatal("the forks differ in size")
	}
	r := honest.join(honest.mirror())
	r.update()
	for _, method := range []Method{Auto, Delta, Snapshot} {
		r.Method = method
		r.ask(other.mirror())
		if e := r.caught("same size, " + string(method)); e.Proof != nil || e.Root != nil {
			t.Errorf("two roots of one size need no proof: %+v", e)
		}
	}
	// A good mirror that is asked first answers without the other.
	r.Method = Auto
	want := honest.release(set("w.example", policy.Testing))
	r.ask(honest.mirror(), other.mirror())
	r.update()
	r.holds(want)
}

// A smaller release number does not make a fork of the same size a lagging mirror.
func TestForkOfTheSameSizeWithAnOlderRelease(t *testing.T) {
	honest, other := forked(t)
	honest.release()
	other.add([]byte("rubbish instead of a renewal"))
	other.add(other.last.Raw)
	honest.release()
	other.publish(3, other.now)
	if other.shown != honest.shown {
		t.Fatalf("sizes %d and %d", honest.shown, other.shown)
	}
	r := honest.join(honest.mirror())
	r.update()
	m := other.mirror()
	m.lies[PointerPath] = other.withLeafAtTheEnd()
	r.ask(m)
	r.caught("same size, older release")
}

// withLeafAtTheEnd signs a release of the old number whose range fits its new place.
func (w *world) withLeafAtTheEnd() []byte {
	w.t.Helper()
	size := len(w.leaves)
	w.leaves, w.hashes = w.leaves[:size-1], w.hashes[:tlog.StoredHashCount(int64(size-1))]
	leaf := *w.last.Leaf
	leaf.From, leaf.To = int64(size-1), int64(size-1)
	w.add(w.sign(&leaf))
	w.publish(leaf.Release, w.now)
	return w.objects[PointerPath]
}

func TestForkOfALargerSize(t *testing.T) {
	for _, grown := range []int{1, 2, 30, 300} {
		honest, other := forked(t)
		r := honest.join(honest.mirror())
		r.update()
		for range grown {
			other.release()
		}
		for _, method := range []Method{Auto, Delta, Snapshot} {
			r.Method = method
			r.ask(other.mirror())
			if e := r.caught("larger, " + string(method)); e.Root == nil {
				t.Errorf("the evidence lacks the root of the other history: %+v", e)
			}
		}
		r.Method = Auto
		want := honest.release(set("w.example", policy.Testing))
		r.ask(honest.mirror())
		r.update()
		r.holds(want)
	}
}

// A larger tree that ends in no later release is refused for that, but a contradiction is worth more than a refusal.
func TestForkOfALargerSizeWithTheSameRelease(t *testing.T) {
	honest, other := forked(t)
	r := honest.join(honest.mirror())
	r.update()
	other.add([]byte("rubbish"))
	other.add(nil) // its place is taken by the release leaf
	m := other.mirror()
	m.lies[PointerPath] = other.withLeafAtTheEnd()
	for _, method := range []Method{Auto, Delta, Snapshot} {
		r.Method = method
		r.ask(m)
		r.caught("larger, same release, " + string(method))
	}
}

// Whoever hides the tiles cannot be convicted, and gains nothing.
func TestForkWithoutTiles(t *testing.T) {
	honest, other := forked(t)
	r := honest.join(honest.mirror())
	r.update()
	other.release()
	for _, method := range bothMethods {
		m := other.mirror()
		m.before = func(_ context.Context, path string) error {
			if strings.HasPrefix(path, "tile/") && !strings.HasPrefix(path, "tile/entries/") {
				return errors.New("hidden")
			}
			return nil
		}
		r.Method = method
		r.ask(m)
		r.refuse("hidden tiles, " + string(method))
	}
}

func TestEvidenceIsNotBelievedBlindly(t *testing.T) {
	honest, other := forked(t)
	r := honest.join(honest.mirror())
	r.update()
	r.ask(other.mirror())
	same := r.caught("same size")
	other.release()
	other.release()
	larger := r.caught("larger")

	// Two honest checkpoints with an honest proof are no fork, whatever the file says.
	early, late := string(honest.objects[CheckpointPath]), ""
	tree := honest.shown
	honest.release()
	honest.release()
	late = string(honest.objects[CheckpointPath])
	proof, err := tlog.ProveTree(honest.shown, tree, honest.hashes)
	honest.must(err)
	root, err := tlog.TreeHash(tree, honest.hashes)
	honest.must(err)
	invented := tlog.RecordHash([]byte("invented"))

	for name, e := range map[string]Evidence{
		"nothing":                   {},
		"the same note twice":       {"fork", same.Origin, same.First, same.First, nil, nil},
		"honest, without proof":     {"fork", same.Origin, early, late, nil, nil},
		"honest, with proof":        {"fork", same.Origin, early, late, proof, &root},
		"honest, with another root": {"fork", same.Origin, early, late, proof, &invented},
		"honest, in reverse":        {"fork", same.Origin, late, early, proof, &root},
		"larger, in reverse":        {"fork", same.Origin, larger.Second, larger.First, larger.Proof, larger.Root},
		"larger, without proof":     {"fork", same.Origin, larger.First, larger.Second, nil, larger.Root},
		"larger, without root":      {"fork", same.Origin, larger.First, larger.Second, larger.Proof, nil},
		"larger, other root":        {"fork", same.Origin, larger.First, larger.Second, larger.Proof, &invented},
		"larger, proof cut short":   {"fork", same.Origin, larger.First, larger.Second, larger.Proof[1:], larger.Root},
		"same, first note unsigned": {"fork", same.Origin, strings.Split(same.First, "\n\n")[0] + "\n\n", same.Second, nil, nil},
		"same, second note's size":  {"fork", same.Origin, same.First, strings.Replace(same.Second, fmt.Sprintf("\n%d\n", tree), "\n99\n", 1), nil, nil},
	} {
		if err := e.Check(honest.chain); !errors.Is(err, ErrNoFork) {
			t.Errorf("%s: %v", name, err)
		}
		back, err := ParseEvidence(e.Bytes())
		if e.Kind == "fork" && (err != nil || back.Check(honest.chain) == nil) {
			t.Errorf("%s: read back as %v, %v", name, back, err)
		}
	}
	// What a log signed it signed, also where no witness went along.
	logged := func(note string) string { return strings.Join(strings.SplitAfter(note, "\n")[:5], "") }
	alone := Evidence{"fork", same.Origin, same.First, logged(same.Second), nil, nil}
	honest.must(alone.Check(honest.chain))
	for _, e := range []Evidence{same, larger} {
		data := e.Bytes()
		for i := range data {
			flipped := slices.Clone(data)
			flipped[i] ^= 1
			if got, err := ParseEvidence(flipped); err == nil && got.Check(honest.chain) == nil && logged(got.First)+logged(got.Second) != logged(e.First)+logged(e.Second) {
				t.Fatalf("byte %d flipped: the evidence still convinces\n%s", i, flipped)
			}
		}
	}
	keys := newWorld(t, 0).keys
	keys.log = newTestKey("other.example/list")
	stranger, err := transparency.NewTrustChain(keys.trust(t, 1, keys.roots...))
	honest.must(err)
	if err := same.Check(stranger); !errors.Is(err, ErrNoFork) {
		t.Errorf("by another list's trust: %v", err)
	}
	if _, err := ParseEvidence(append(same.Bytes(), make([]byte, MaxEvidenceBytes)...)); !errors.Is(err, ErrNoFork) {
		t.Errorf("too large: %v", err)
	}
}

// The log key was rotated after the fork: the versions of before still count for evidence.
func TestEvidenceSurvivesRotation(t *testing.T) {
	honest, other := forked(t)
	r := honest.join(honest.mirror())
	r.update()
	r.ask(other.mirror())
	e := r.caught("same size")
	honest.newLog("policylist.example/second")
	if err := e.Check(honest.chain); err != nil {
		t.Errorf("after a rotation: %v", err)
	}
}

func FuzzParseEvidence(f *testing.F) {
	f.Add([]byte(`{"kind":"fork","origin":"o","first":"","second":"","proof":null,"root":null}`))
	f.Add([]byte(`{"kind":"fork","proof":["AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="],"root":"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="}`))
	chain := newWorld(f, 0).chain
	f.Fuzz(func(t *testing.T, data []byte) {
		e, err := ParseEvidence(data)
		if err != nil {
			return
		}
		if e.Check(chain) == nil {
			t.Error("a fork without the log's key")
		}
		back, err := ParseEvidence(e.Bytes())
		if err != nil && json.Valid(data) {
			t.Errorf("does not read back: %v", err)
		} else if string(back.Bytes()) != string(e.Bytes()) {
			t.Errorf("reads back differently")
		}
	})
}
