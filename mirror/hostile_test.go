package mirror

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/starttls-everywhere/policylist/policy"
)

// scene is what every attack starts from: the world at releases 2, 3 and 4, and the folder of a client that holds
// release 3. Two roots of two and two release keys of two sign; two of three witnesses cosign. The log has more than
// one tile. Nobody changes a scene: attacks work on forks.
type scene struct {
	at2, at3, at4 *world
	files         map[string]string
}

func newScene(t testing.TB) *scene {
	t.Helper()
	w := newWorld(t, 3)
	w.rotate(func(k *keyring) {
		k.roots, k.rootK = append(k.roots, newTestKey("root.b")), 2
		k.releases, k.releaseK = append(k.releases, newReleaseKey(t, "release.b")), 2
	})
	w.release(many(300, policy.Testing)...)
	w.release(set("x.example", policy.Testing))
	s := &scene{at2: w.fork()}
	w.release(set("y.example", policy.Testing))
	s.at3 = w.fork()
	r := w.join(w.mirror())
	r.update()
	s.files = r.files()
	w.release(set("z.example", policy.Enforce), del("d001.example"), set("d002.example", policy.Enforce))
	s.at4 = w.fork()
	return s
}

// client is a new process over the folder at release 3, its clock right but for late.
func (s *scene) client(t testing.TB, method Method, late time.Duration) *reader {
	t.Helper()
	r := &reader{t: t, Client: &Client{
		Dir: t.TempDir(), Method: method, Log: slog.New(slog.DiscardHandler),
		Now: func() time.Time { return s.at4.now.Add(late) },
	}}
	r.restore(s.files)
	r.Sinks = []Sink{func(v View) error {
		r.served, r.sunk = v, r.sunk+1
		return nil
	}}
	return r
}

// hostile is a mirror over HTTP that serves a world's objects but for its lies, and answers as it likes.
type hostile struct {
	objects map[string][]byte
	lies    map[string][]byte // instead; nil is absent
	answer  func(w http.ResponseWriter, r *http.Request, path string) (done bool)
	asked   atomic.Int64
}

func (w *world) hostile() *hostile {
	return &hostile{objects: maps.Clone(w.objects), lies: map[string][]byte{}}
}

// ServeHTTP implements http.Handler.
func (h *hostile) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	path := strings.TrimPrefix(r.URL.Path, "/")
	h.asked.Add(1)
	if h.answer != nil && h.answer(w, r, path) {
		return
	}
	data, lied := h.lies[path]
	if !lied {
		data = h.objects[path]
	}
	if data == nil {
		http.NotFound(w, r)
		return
	}
	w.Write(data)
}

// lying serves data instead of the object, "" nothing.
func (h *hostile) lying(data []byte, paths ...string) *hostile {
	for _, p := range paths {
		h.lies[p] = data
	}
	return h
}

// answering does something to every request for a path of the given kind.
func (h *hostile) answering(kind string, do http.HandlerFunc) *hostile {
	h.answer = func(w http.ResponseWriter, r *http.Request, path string) bool {
		if kindOf(path) != kind {
			return false
		}
		do(w, r)
		return true
	}
	return h
}

// Kinds of objects, as kindOf tells them.
var kinds = []string{"pointer", "trust", "bundle", "tile", "list"}

func kindOf(path string) string {
	switch {
	case path == PointerPath:
		return "pointer"
	case strings.HasPrefix(path, "trust/"):
		return "trust"
	case isBundle(path):
		return "bundle"
	case strings.HasPrefix(path, "tile/"):
		return "tile"
	case strings.HasPrefix(path, "list/"):
		return "list"
	}
	return "other"
}

// verdict is what an update by one path must come to.
type verdict string

const (
	refused verdict = "refused" // no usable mirror; nothing changes
	honest  verdict = "honest"  // the attack does not touch what this path needs, or heals: exactly the honest release 4
	caught  verdict = "caught"  // two signed histories; nothing changes but an evidence file, which convinces
)

// attack is one hostile mirror and what each path makes of it.
type attack struct {
	name            string // begins with its number in the threat table
	delta, snapshot verdict
	late            time.Duration // of the client's clock
	lay             func(s *scene) *hostile
}

// try carries the attack out on one path, and reports whether anything but the honest release was accepted.
func (a attack) try(t testing.TB, s *scene, method Method) (wrong bool) {
	t.Helper()
	h := a.lay(s)
	m := serveHTTP(t, h.ServeHTTP)
	r := s.client(t, method, a.late)
	r.ask(m)
	why := a.name + ", " + string(method)
	want := a.delta
	if method == Snapshot {
		want = a.snapshot
	}
	out, err := r.Update(context.Background())
	if err == nil && (want != honest || out.Release.ListDigest != s.at4.last.Leaf.ListDigest || string(r.files()[ListPath]) != listText(t, s.at4.last)) {
		t.Errorf("%s: accepted release %d by %q", why, out.Release.Release, out.Method)
		return true
	}
	evidence, _ := filepath.Glob(filepath.Join(r.Dir, evidenceDir, "*"))
	switch {
	case want == honest:
		if err != nil {
			t.Fatalf("%s: %v, %v", why, err, out.Problems)
		}
		r.holds(s.at4.last)
		return false
	case want == refused && (!errors.Is(err, ErrNoMirror) || errors.Is(err, ErrSecurity) || len(evidence) > 0 || len(out.Problems) != 1):
		t.Fatalf("%s: %v, %v, evidence %v; want no usable mirror", why, err, out.Problems, evidence)
	case want == caught && (!errors.Is(err, ErrSecurity) || len(evidence) != 1 || evidence[0] != out.EvidenceFile):
		t.Fatalf("%s: %v, %v, evidence %v; want two histories", why, err, out.Problems, evidence)
	case want == caught:
		s.convinces(t, why, out.EvidenceFile)
	}
	r.unchanged(why, s.files)
	if h.asked.Load() > 60 {
		t.Errorf("%s: it took %d requests to refuse", why, h.asked.Load())
	}
	if r.ask(m, s.at4.mirror()); want == caught {
		r.ask(s.at4.mirror())
	}
	r.update()
	r.holds(s.at4.last)
	return false
}

// convinces confirms an evidence file as a stranger does who has only the list's trust.
func (s *scene) convinces(t testing.TB, why, file string) {
	t.Helper()
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	e, err := ParseEvidence(data)
	if err == nil {
		err = e.Check(s.at4.chain)
	}
	if err != nil {
		t.Errorf("%s: the evidence does not convince: %v", why, err)
	}
}

func listText(t testing.TB, r *Release) string {
	t.Helper()
	data, err := r.List.Bytes(r.Leaf.Header())
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

// Every attack on both paths: not accepted, nothing changed, the right outcome, evidence of provable forks only, and
// the next good mirror makes everything good.
func TestFiguresHostileMirror(t *testing.T) {
	t.Parallel()
	s, all := newScene(t), attacks()
	var cases, wrong atomic.Int64
	t.Run("attack", func(t *testing.T) { // ends when all in it have ended
		for _, a := range all {
			t.Run(strings.ReplaceAll(a.name, " ", "-"), func(t *testing.T) {
				t.Parallel()
				for _, method := range bothMethods {
					if cases.Add(1); a.try(t, s, method) {
						wrong.Add(1)
					}
				}
			})
		}
	})
	t.Logf("figures: hostile cases %d (%d attacks, both paths), wrong accepts %d (aim 0)", cases.Load(), len(all), wrong.Load())
}

// Every attack of the threat table that concerns a client, but those of stories of their own, is in the table.
func TestAttacksAreComplete(t *testing.T) {
	for _, n := range []int{1, 2, 3, 5, 6, 7, 8, 9, 11, 12, 14, 15, 16, 17, 18, 20, 23} {
		id := fmt.Sprintf("T-%02d ", n)
		if !slices.ContainsFunc(attacks(), func(a attack) bool { return strings.HasPrefix(a.name, id) }) {
			t.Errorf("no attack %s", id)
		}
	}
	names := map[string]bool{}
	for _, a := range attacks() {
		if names[a.name] || a.delta == "" || a.snapshot == "" {
			t.Errorf("attack %q is there twice or without a verdict", a.name)
		}
		names[a.name] = true
	}
}
