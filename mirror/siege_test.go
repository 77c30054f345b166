package mirror

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/starttls-everywhere/policylist/policy"
)

// online serves a handler on loopback, read with the patience that clients have.
func online(t testing.TB, h http.Handler) *HTTP {
	t.Helper()
	server := httptest.NewServer(h)
	t.Cleanup(server.Close)
	m, err := NewHTTP(server.URL, "policylist-test/1")
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// T-10: every mirror but one is dead, frozen, slow or lies. Wherever a client begins, it finds the good one.
func TestAllButOneMirrorLie(t *testing.T) {
	s := newScene(t)
	requests := 0
	for _, method := range []Method{Auto, Delta, Snapshot} {
		bad := []*hostile{
			s.at4.hostile().answering("pointer", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(500) }),
			s.at2.hostile(), // frozen
			s.at4.hostile().answering("bundle", http.NotFound).lying([]byte("x"), BlobPath(s.at4.last.Leaf.ListDigest)),
			s.at4.hostile().lying(s.at4.invented(s.at4.last, 1<<40), PointerPath),
			s.at4.hostile().answering("pointer", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "<!doctype html>") }),
		}
		dead := httptest.NewServer(nil)
		unreachable, err := NewHTTP(dead.URL, "policylist-test/1")
		s.at4.must(err)
		dead.Close()
		good := s.at4.hostile()
		mirrors := []Reader{unreachable}
		for _, h := range append(bad, good) {
			mirrors = append(mirrors, serveHTTP(t, h.ServeHTTP))
		}
		for first := range mirrors {
			r := s.client(t, method, 0)
			r.ask(mirrors...)
			r.First = first
			var before int64
			for _, h := range append(bad, good) {
				before += h.asked.Load()
			}
			if out := r.update(); out.Mirror != fmt.Sprintf("mirror %d", len(mirrors)-1) {
				t.Errorf("%q from mirror %d: %+v", method, first, out)
			}
			r.holds(s.at4.last)
			for _, h := range append(bad, good) {
				before -= h.asked.Load()
			}
			if requests = max(requests, int(-before)); -before > 40 {
				t.Errorf("%q from mirror %d: %d requests", method, first, -before)
			}
		}
	}
	t.Logf("figures: all but one of 7 mirrors bad: at most %d requests", requests)
}

// T-11: which sets of stolen keys get a thief's release accepted, all witnesses being on its side. The roots decide
// everything; without them it takes release and log keys together.
func TestStolenKeyMatrix(t *testing.T) {
	s := newScene(t)
	for stolen := range 8 {
		root, release, log := stolen&4 != 0, stolen&2 != 0, stolen&1 != 0
		for _, method := range bothMethods {
			thief := s.at3.fork()
			if root {
				thief.rotate(func(k *keyring) {
					k.releases, k.releaseK = []testReleaseKey{newReleaseKey(t, "evil.release")}, 1
					k.log.priv = newTestKey("evil log").priv
				})
			} else {
				thief.without(!release, !log, 3)
			}
			thief.release(evil())
			h := thief.hostile()
			r := s.client(t, method, 0)
			r.ask(serveHTTP(t, h.ServeHTTP))
			if root || release && log {
				r.update()
				r.holds(thief.last)
				continue
			}
			r.refuse(fmt.Sprintf("root %v, release %v, log %v, %s", root, release, log, method))
		}
	}
}

// cache is a proxy that keeps every answer for an hour, whatever it is and whatever was said about keeping it.
type cache struct {
	next http.Handler
	now  func() time.Time
	kept map[string]keptAnswer
}

type keptAnswer struct {
	*httptest.ResponseRecorder
	until time.Time
}

func (c *cache) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	k, ok := c.kept[r.URL.Path]
	if !ok || !c.now().Before(k.until) {
		k = keptAnswer{httptest.NewRecorder(), c.now().Add(time.Hour)}
		c.next.ServeHTTP(k.ResponseRecorder, r)
		c.kept[r.URL.Path] = k
	}
	w.WriteHeader(k.Code)
	w.Write(k.Body.Bytes())
}

// T-20: behind such a proxy, 404s included, a client is at exactly one release at any time, and it never
// goes back. It is at most an hour behind, and four where a rotation comes between: then the old pointer, the absence of
// the new trust version, and the pointer that was read while it was absent each live for an hour.
func TestCachingProxy(t *testing.T) {
	t.Parallel()
	for _, method := range bothMethods {
		w := newWorld(t, 1)
		w.interval = 0
		origin := &hostile{objects: w.objects}
		proxy := online(t, &cache{origin, func() time.Time { return w.now }, map[string]keptAnswer{}})
		releases := map[int64]*Release{1: w.release(many(3, policy.Testing)...)}
		published := map[int64]time.Time{1: w.now}
		r := w.join(proxy)
		r.update()
		r.Method = method
		rnd, held, refusals := rand.New(rand.NewPCG(1, 20)), int64(1), 0
		for range 90 {
			w.now = w.now.Add(10 * time.Minute)
			if rnd.IntN(8) == 0 {
				w.rotate(func(k *keyring) { k.expires = k.expires.Add(time.Hour) })
			}
			if rnd.IntN(2) == 0 {
				last := w.release(set(fmt.Sprintf("d%d.example", rnd.IntN(9)), policy.Enforce, fmt.Sprintf("mx%d.example", w.number())))
				releases[last.Leaf.Release], published[last.Leaf.Release] = last, w.now
			}
			before := r.files()
			out, err := r.Update(context.Background())
			switch {
			case errors.Is(err, ErrNoMirror):
				refusals++
				r.unchanged("a mixture", before)
			case err != nil:
				t.Fatal(err)
			default:
				r.holds(releases[out.Release.Release])
			}
			if out.Release.Release < held {
				t.Fatalf("from release %d back to %d", held, out.Release.Release)
			}
			held = out.Release.Release
			if next, ok := published[held+1]; ok && w.now.Sub(next) > 4*time.Hour {
				t.Fatalf("%q: at release %d, although the next one is %s old", method, held, w.now.Sub(next))
			}
		}
		w.now = w.now.Add(time.Hour)
		r.update()
		r.holds(w.last)
		if held < 15 {
			t.Errorf("%q: only release %d after 15 hours", method, held)
		}
		t.Logf("%q: release %d of %d, %d times no usable mirror", method, held, len(releases), refusals)
	}
}

// T-05 with the proxy of two worlds' ages: every request for a mutable object is answered by another of the last three
// releases. A client is at exactly one of them after each update; what fails succeeds when asked again.
func TestMixingProxy(t *testing.T) {
	for _, method := range bothMethods {
		w := newWorld(t, 1)
		rnd := rand.New(rand.NewPCG(5, 5))
		releases := map[int64]*Release{1: w.release(many(3, policy.Testing)...)}
		h := &hostile{objects: w.objects}
		honestNow := false
		h.answer = func(rw http.ResponseWriter, _ *http.Request, path string) bool {
			if path != PointerPath && path != CheckpointPath && path != ListPath || honestNow {
				return false
			}
			n := max(1, w.last.Leaf.Release-rnd.Int64N(3))
			switch path {
			case PointerPath:
				rw.Write(w.pointers[n])
			case ListPath:
				fmt.Fprint(rw, listText(t, releases[n]))
			default:
				fmt.Fprint(rw, "old")
			}
			return true
		}
		r := w.join(online(t, h))
		r.update()
		r.Method = method
		for range 40 {
			last := w.release(set(fmt.Sprintf("d%d.example", rnd.IntN(9)), policy.Testing, fmt.Sprintf("mx%d.example", w.number())))
			releases[last.Leaf.Release] = last
			before := r.files()
			out, err := r.Update(context.Background())
			if errors.Is(err, ErrNoMirror) {
				r.unchanged("mixed", before)
				honestNow = true
				out = r.update() // one retry
				honestNow = false
				r.holds(last)
			} else if err != nil {
				t.Fatal(err)
			}
			r.holds(releases[out.Release.Release])
		}
	}
}

// T-24: lines that somebody adds to a checkpoint are not stored, so that they cannot spoil what the client compares and
// shows later.
func TestForgedLinesAreNotStored(t *testing.T) {
	s := newScene(t)
	forged := newTestKey("w0.example")
	forged.priv = newTestKey("stranger").priv
	note := strings.TrimSuffix(string(s.at4.objects[PointerPath]), "\n") + "\n"
	text := s.at4.objects[CheckpointPath]
	with := string(newTestKey("stranger.example").cosign(forged.cosign(text, s.at4.now.Add(time.Hour)), s.at4.now.Add(time.Hour)))
	lied := strings.Replace(note, string(text), with, 1)
	if lied == note {
		t.Fatal("the pointer does not carry the checkpoint as it is")
	}
	for _, method := range bothMethods {
		clean := s.client(t, method, 0)
		clean.ask(s.at4.mirror())
		clean.update()
		r := s.client(t, method, 0)
		r.ask(online(t, s.at4.hostile().lying([]byte(lied), PointerPath)))
		r.update()
		r.holds(s.at4.last)
		if a, b := r.files(), clean.files(); a[stateFile] != b[stateFile] || a[PointerPath] != b[PointerPath] {
			t.Errorf("%s: forged lines were stored:\n%s\n%s", method, a[stateFile], a[PointerPath])
		}
	}
}
