package mirror

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/starttls-everywhere/policylist/policy"
)

// flips are how many bytes of each object are altered on each path, and how many at least in all.
func flips() (each, all int) {
	if fullForm() {
		return 20_000, 100_000
	}
	return 260, 2_000
}

// T-01: bytes of every object that an update reads are altered, on both paths, first one bit of each, then more: no update
// comes to anything but the honest release, and one that is refused changes nothing.
func TestFiguresByteFlips(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	w := s.at4.fork()
	w.rotate(func(k *keyring) { k.releases = append(k.releases, newReleaseKey(t, "release.c")) }) // so that a trust version is read
	// No more than are needed sign, so that each line counts.
	w.keys.witnesses = w.keys.witnesses[:2]
	want := w.release(set("w.example", policy.Testing))
	classes, tried, accepted := map[string]int{}, 0, 0
	each, all := flips()
	for _, method := range bothMethods {
		honest := w.mirror()
		r := s.client(t, method, 0)
		r.ask(honest)
		r.update()
		r.holds(want)
		text := r.files()[ListPath]
		paths := slices.Compact(slices.Sorted(slices.Values(honest.asked)))
		r = s.client(t, method, 0)
		m := w.mirror()
		r.ask(m)
		for _, path := range paths {
			data := w.objects[path]
			if len(data) == 0 {
				continue // absent: the trust version after the newest
			}
			n := min(each, 255*len(data))
			if method == Snapshot && kindOf(path) == "bundle" {
				n = 50 // a snapshot does without them, and each such success costs a new folder
			}
			stride := max(1, len(data)/n)
			for i := range n {
				at, mask := i*stride%len(data), byte(1)<<(i*stride/len(data)%8)^byte(i*stride/len(data)/8)
				if mask == 0 {
					mask = 0xff
				}
				m.lies[path] = slices.Clone(data)
				m.lies[path][at] ^= mask
				tried++
				classes[kindOf(path)]++
				out, err := r.Update(context.Background())
				switch files := r.files(); {
				case err == nil && files[ListPath] == text:
					r.holds(want) // what was flipped does not count, such as a name in an unused line
					r = s.client(t, method, 0)
					r.ask(m)
				case err == nil:
					accepted++
					t.Errorf("%s, byte %d of %s: accepted release %d", method, at, path, out.Release.Release)
					r = s.client(t, method, 0)
					r.ask(m)
				case !errors.Is(err, ErrNoMirror) || errors.Is(err, ErrSecurity):
					t.Fatalf("%s, byte %d of %s: %v", method, at, path, err)
				default:
					r.unchanged(fmt.Sprintf("%s, byte %d of %s", method, at, path), s.files)
				}
			}
			delete(m.lies, path)
		}
	}
	for _, kind := range kinds {
		if classes[kind] == 0 && kind != "other" {
			t.Errorf("no %s was flipped", kind)
		}
	}
	if tried < all {
		t.Errorf("%d flips, at least %d belong here", tried, all)
	}
	t.Logf("figures: byte flips %d (%v; aim at least %d), accepted %d (aim 0)", tried, classes, all, accepted)
}

// T-06: what a flood costs a client at most, in time and in memory that is allocated on the way.
func TestFiguresFloods(t *testing.T) {
	const mostBytes, mostTime = 256 << 20, 20 * time.Second
	s := newScene(t)
	for _, a := range floodAttacks() {
		if strings.HasPrefix(a.name, "T-07") {
			continue // slow is measured by its deadline: TestSlowGuard
		}
		for _, method := range bothMethods {
			h := a.lay(s)
			r := s.client(t, method, 0)
			r.ask(serveHTTP(t, h.ServeHTTP))
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			start := time.Now()
			_, err := r.Update(context.Background())
			took := time.Since(start)
			runtime.ReadMemStats(&after)
			bytes := after.TotalAlloc - before.TotalAlloc
			if bytes > mostBytes || took > mostTime {
				t.Errorf("%s, %s: %d bytes, %s", a.name, method, bytes, took)
			}
			t.Logf("figures: %s, by %s: %.1f MiB allocated, %s (aim at most %d MiB, %s), refused %v", a.name, method,
				float64(bytes)/(1<<20), took.Round(time.Millisecond), mostBytes>>20, mostTime, err != nil)
		}
	}
}

// What thieves of the log's key, alone and with the release keys, wrote into logs, and what became of it: robbedHistory.
func TestFiguresRobbedLogs(t *testing.T) {
	deeds, misled, logs := 0, 0, 0
	for _, signs := range []bool{false, true} {
		for seed := range histories(2, 200) {
			d, m := robbedHistory(t, 10_000+seed, signs)
			deeds, misled, logs = deeds+d, misled+m, logs+1
		}
	}
	// robbedHistory ends the test where two paths of clients that are near enough to read the entries disagree, or where a
	// client does not go on with the next honest release; newcomers, who cannot read everything, may be misled until then.
	t.Logf("figures: robbed logs %d, robberies %d, newcomers misled until the next honest release %d, for longer 0 (aim 0)", logs, deeds, misled)
}
