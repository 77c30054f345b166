package mirror

import (
	"context"
	"errors"
	"maps"
	"slices"
	"testing"
	"time"

	"github.com/starttls-everywhere/policylist/policy"
)

// T-04 and T-21: the ladder of fresh, stale and expired under six wrong clocks, for a client that joined and updated under
// that clock and whose mirrors then freeze. No clock makes it accept or forget anything, and a right clock with an honest
// mirror mends everything.
func TestLadderUnderWrongClocks(t *testing.T) {
	const day = 24 * time.Hour
	after := []time.Duration{0, 47 * time.Hour, 49 * time.Hour, 15 * day} // the release lives 14 days
	for _, c := range []struct {
		clock  string
		shift  time.Duration
		ladder [4]Freshness
	}{
		{"1970", time.Unix(0, 0).Sub(worldStart), [4]Freshness{Fresh, Fresh, Fresh, Fresh}}, // told as behind
		{"-1 d", -day, [4]Freshness{Fresh, Fresh, Fresh, Expired}},
		{"-1 h", -time.Hour, [4]Freshness{Fresh, Fresh, Fresh, Expired}},
		{"+1 h", time.Hour, [4]Freshness{Fresh, Fresh, Stale, Expired}},
		{"+1 d", day, [4]Freshness{Fresh, Stale, Stale, Expired}},
		{"+10 y", 3653 * day, [4]Freshness{Expired, Expired, Expired, Expired}},
	} {
		for _, method := range bothMethods {
			w := newWorld(t, 2)
			w.keys.expires = worldStart.AddDate(20, 0, 0)
			w.rotate(func(*keyring) {})
			w.release(many(3, policy.Testing)...)
			r := w.join(w.mirror())
			r.Now = func() time.Time { return w.now.Add(c.shift) }
			r.update()
			r.Method = method
			held := w.release(set("x.example", policy.Testing))
			if out := r.update(); out.Method != string(method) || out.ClockBehind != max(0, -c.shift) {
				t.Errorf("%s, %s: %+v", c.clock, method, out)
			}
			r.holds(held)
			start := w.now
			for i, d := range after {
				w.now = start.Add(d)
				for name, mirrors := range map[string][]Reader{"frozen": {w.mirror()}, "gone": {&shelf{}}} {
					r.ask(mirrors...)
					out, err := r.Update(context.Background())
					if err != nil && (name == "frozen" || !errors.Is(err, ErrNoMirror)) || errors.Is(err, ErrSecurity) {
						t.Fatalf("%s, %s, %s after %s: %v", c.clock, method, name, d, err)
					}
					if out.Freshness != c.ladder[i] || out.Release.Release != 2 {
						t.Errorf("%s, %s, %s after %s: %s, want %s", c.clock, method, name, d, out.Freshness, c.ladder[i])
					}
					if kept := r.served.List.Len(); (kept == 0) != (c.ladder[i] == Expired) {
						t.Errorf("%s, %s, %s after %s: the mail server has %d entries", c.clock, method, name, d, kept)
					}
				}
				r.ask(w.at(1))
				if out, err := r.Update(context.Background()); !errors.Is(err, ErrNoMirror) || out.Release.Release != 2 {
					t.Errorf("%s, %s after %s: back to release 1: %v", c.clock, method, d, err)
				}
			}
			if r.files()[stateFile] == "" {
				t.Errorf("%s, %s: the state was deleted", c.clock, method)
			}
			w.now = start.Add(16 * day)
			r.Now = func() time.Time { return w.now }
			want := w.release(set("y.example", policy.Testing))
			r.ask(w.mirror())
			if out := r.update(); out.Freshness != Fresh {
				t.Errorf("%s, %s, then a right clock: %s", c.clock, method, out.Freshness)
			}
			r.holds(want)
		}
	}
}

// T-25: every file of a client's folder under every kind of damage, alone and together with each other file. One update
// with an honest mirror mends it; damage is never called an attack; only without both copies of the first trust version
// has the client nothing left to believe by.
func TestEveryDamageHeals(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 1)
	w.release(many(3, policy.Testing)...)
	w.rotate(func(k *keyring) { k.releases = []testReleaseKey{newReleaseKey(t, "release.b")} })
	w.release(set("x.example", policy.Testing))
	r := w.join(w.mirror())
	r.update()
	w.release(set("y.example", policy.Testing))
	r.update()
	start, want := r.files(), w.release(set("z.example", policy.Testing))
	names := slices.Sorted(maps.Keys(start))
	for _, name := range []string{stateFile, stateOldFile, ListPath, listOldFile, PointerPath, TrustPath(1), TrustPath(2) + copySuffix, "lock"} {
		if !slices.Contains(names, name) {
			t.Fatalf("the folder has no %s: %v", name, names)
		}
	}
	kinds := maps.Clone(flaws)
	kinds["a bit flipped"] = func(d []byte) []byte {
		d = slices.Clone(d)
		if len(d) > 0 {
			d[len(d)/3] ^= 4
		}
		return d
	}
	kinds["another file's content"] = func([]byte) []byte { return []byte(start[ListPath]) }
	pairs := map[string]func([]byte) []byte{"gone": flaws["gone"], "zeroed": flaws["zeroed"]}
	cases := 0
	heals := func(method Method, flaw string, do func([]byte) []byte, files ...string) {
		cases++
		r := w.join(w.mirror())
		r.Method = method
		r.restore(start)
		for _, name := range files {
			if data := []byte(start[name]); len(data) > 0 || flaw != "one byte less" {
				r.damage(name, do)
			}
		}
		out, err := r.Update(context.Background())
		if errors.Is(err, ErrSecurity) || out.EvidenceFile != "" {
			t.Fatalf("%s %v: damage is called an attack: %v", flaw, files, err)
		}
		if err != nil {
			t.Fatalf("%s %v, %q: %v, %v", flaw, files, method, err, out.Problems)
		}
		r.holds(want)
		if out := r.update(); out.Damaged != nil || out.Method != "none" {
			t.Errorf("%s %v, %q: after the repair: %+v", flaw, files, method, out)
		}
	}
	for _, name := range names {
		for flaw, do := range kinds {
			for _, method := range []Method{Auto, Snapshot} { // a delta needs an undamaged list, and Auto knows
				heals(method, flaw, do, name)
			}
		}
	}
	first := []string{TrustPath(1), TrustPath(1) + copySuffix}
	for i, a := range names {
		for _, b := range names[i+1:] {
			if slices.Contains(first, a) && slices.Contains(first, b) {
				continue // TestBothCopiesOfTheFirstTrustGone
			}
			for flaw, do := range pairs {
				heals(Auto, flaw, do, a, b)
			}
		}
	}
	t.Logf("figures: damaged client folders %d, healed by themselves %d", cases, cases)
}
