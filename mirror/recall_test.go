package mirror

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/starttls-everywhere/policylist/policy"
)

// tagging is a mirror with entity tags. always, if not nil, is the one tag that it gives everything.
type tagging struct {
	w         *world
	always    string
	unchanged int      // answers 304
	asked     []string // tags that it was asked with for the pointer
	lie       []byte   // the pointer, instead of the world's
	frozen    bool     // whatever is asked, the pointer is unchanged
	refusal   int      // the status of any request with a tag; 0: as it should be
}

func (m *tagging) ServeHTTP(rw http.ResponseWriter, r *http.Request) {
	path := strings.TrimPrefix(r.URL.Path, "/")
	data, ok := m.w.objects[path]
	if path == PointerPath {
		m.asked = append(m.asked, r.Header.Get("If-None-Match"))
		if m.lie != nil {
			data = m.lie
		}
		if m.frozen {
			rw.WriteHeader(http.StatusNotModified)
			return
		}
		if m.refusal != 0 && m.last() != "" {
			rw.WriteHeader(m.refusal)
			return
		}
	} else if r.Header.Get("If-None-Match") != "" {
		http.Error(rw, "only the pointer is asked for like this", http.StatusBadRequest)
		return
	}
	if !ok {
		http.NotFound(rw, r)
		return
	}
	tag := m.always
	if tag == "" {
		tag = fmt.Sprintf(`"%x"`, sha256.Sum256(data))
	}
	rw.Header().Set("ETag", tag)
	if r.Header.Get("If-None-Match") == tag {
		m.unchanged++
		rw.WriteHeader(http.StatusNotModified)
		return
	}
	rw.Write(data)
}

func (m *tagging) last() string { return m.asked[len(m.asked)-1] }

func newTagging(t *testing.T) (*tagging, *reader) {
	t.Helper()
	w := newWorld(t, 1)
	w.release(many(30, policy.Testing)...)
	m := &tagging{w: w}
	r := w.join(serveHTTP(t, m.ServeHTTP))
	r.update()
	return m, r
}

// A pointer that has not changed is not sent again; a new one is.
func TestUnchangedPointerIsNotFetched(t *testing.T) {
	m, r := newTagging(t)
	for range 3 {
		m.w.now = m.w.now.Add(time.Hour)
		if out := r.update(); out.Method != "none" || !out.Checked.Equal(m.w.now) {
			t.Errorf("%+v", out)
		}
	}
	if m.unchanged != 3 {
		t.Errorf("%d answers were 304, want 3", m.unchanged)
	}
	m.w.release(set("x.example", policy.Testing))
	r.update()
	r.holds(m.w.last)
	if m.unchanged != 3 {
		t.Error("a new release was called unchanged")
	}
}

// A server that gives everything one tag keeps a client from news for no longer than any mirror can, and then is asked anew.
func TestOneTagForEverything(t *testing.T) {
	m, r := newTagging(t)
	m.always = `"same"`
	m.w.release(set("x.example", policy.Testing))
	r.update() // with a tag that the server does not know any more
	held := m.w.last
	m.w.release(set("y.example", policy.Testing))
	r.update()
	r.holds(held)
	m.w.now = held.Leaf.Timestamp.Add(askAllAfter)
	r.update()
	r.holds(m.w.last)
	if m.last() != "" {
		t.Errorf("asked with the tag %s", m.last())
	}
}

// What was kept is damaged, of a mirror that lied, or too long: then it is asked for.
func TestPointerThatCannotBeRecalled(t *testing.T) {
	m, r := newTagging(t)
	text := r.files()[pointersFile]
	if len(recall(r.Dir)) != 1 {
		t.Fatalf("kept: %q", text)
	}
	for name, damaged := range map[string]string{
		"empty": "", "half": text[:len(text)/2], "one byte": strings.Replace(text, "checkpoint", "checkpoinu", 1) + " ", "no header": text[strings.Index(text, "\n")+1:],
	} {
		writeFile(t, r.Dir, pointersFile, damaged)
		if r.update(); m.last() != "" {
			t.Errorf("%s: asked with the tag %s", name, m.last())
		}
		if r.update(); m.last() == "" {
			t.Errorf("%s: not kept anew", name)
		}
	}
	m.w.release(set("x.example", policy.Testing))
	m.lie = []byte("nonsense")
	r.refuse("a pointer that is none")
	for name := range recall(r.Dir) {
		if strings.Contains(recall(r.Dir)[name].Pointer, "nonsense") {
			t.Error("a bad pointer was kept")
		}
	}
	m.lie, m.always = nil, `"`+strings.Repeat("x", maxTag)+`"`
	if r.update(); len(recall(r.Dir)) != 0 {
		t.Error("a tag of that length was kept")
	}
	r.holds(m.w.last)
}

// TestUnchangedForEver: a server that says "unchanged" whatever it is asked proves nothing: the list grows stale and ends as if
// nobody had answered, and once its release is old the other mirrors are asked.
func TestUnchangedForEver(t *testing.T) {
	m, r := newTagging(t)
	held, start := m.w.last, m.w.now
	m.frozen = true
	m.w.release(set("x.example", policy.Testing))
	m.w.now = start.Add(askAllAfter - time.Second)
	if out := r.update(); out.Method != "none" || !out.QuorumTime.Equal(start) {
		t.Errorf("%+v", out)
	}
	r.holds(held)
	for _, c := range []struct {
		after time.Duration
		want  Freshness
	}{{askAllAfter, Fresh}, {freshFor, Fresh}, {freshFor + time.Second, Stale}, {held.Leaf.Expires.Sub(start), Expired}} {
		m.w.now = start.Add(c.after)
		out, err := r.Update(t.Context())
		if !errors.Is(err, ErrNoMirror) || out.Freshness != c.want || m.last() != "" {
			t.Errorf("after %s: %s, %v, asked with %q", c.after, out.Freshness, err, m.last())
		}
	}
	if r.served.Freshness != Expired || r.served.List.Len() != 0 {
		t.Errorf("the mail server reads %+v", r.served)
	}
	m.w.now = start.Add(askAllAfter)
	r.ask(r.Sources[0].Reader, m.w.mirror())
	r.update()
	r.holds(m.w.last)
}

// TestClockOfThePastForgetsTags: a release that lies in the future, where even the highest quorum time cannot help the clock, would
// be young for ever.
func TestClockOfThePastForgetsTags(t *testing.T) {
	m, r := newTagging(t)
	start := m.w.now
	for _, c := range []struct {
		back   time.Duration
		tagged bool
	}{{0, true}, {maxAhead, true}, {maxAhead + maxFuture - time.Second, true}, {maxAhead + maxFuture, false}, {30 * maxAhead, false}} {
		m.w.now = start.Add(-c.back)
		if r.update(); (m.last() != "") != c.tagged {
			t.Errorf("%s behind: asked with %q", c.back, m.last())
		}
	}
}

// TestDamageForgetsTags: without the state by which a pointer was judged, what mirrors said then is not asked about.
func TestDamageForgetsTags(t *testing.T) {
	m, r := newTagging(t)
	for _, name := range []string{stateFile, ListPath} {
		if r.update(); m.last() == "" {
			t.Fatal("asked without a tag")
		}
		writeFile(t, r.Dir, name, "damaged")
		if name == stateFile {
			writeFile(t, r.Dir, stateOldFile, "damaged")
		}
		if out := r.update(); out.Damaged == nil || m.last() != "" {
			t.Errorf("%s: asked with %q, %+v", name, m.last(), out)
		}
		r.holds(m.w.last)
	}
}

// TestTagThatIsNone: what is no entity tag is not sent back; "*" would be answered with 304 whatever the mirror has.
func TestTagThatIsNone(t *testing.T) {
	m, r := newTagging(t)
	for tag, kept := range map[string]bool{
		`"a"`: true, `W/"a"`: true, `""`: true, `"a:b/c"`: true,
		"*": false, "a": false, `"a`: false, `w/"a"`: false, `"a", "b"`: false, `"a b"`: false, "\"\x01\"": false, "\"a\x7f\"": false, "\"\xff\"": false, `"a"b"`: false,
	} {
		r.remember("mirror", recalled{Tag: tag, Pointer: "p"})
		if _, ok := recall(r.Dir)["mirror"]; ok != kept {
			t.Errorf("%q: kept is %v", tag, ok)
		}
	}
	m.always = "*"
	r.update() // with the tag from before
	for range 2 {
		if r.update(); m.last() != "" {
			t.Errorf("asked with the tag %q", m.last())
		}
	}
}

// TestConditionThatIsRefused: a server that cannot take a condition is asked without, in the same update; one that says that it
// is too busy, or down, is not asked twice.
func TestConditionThatIsRefused(t *testing.T) {
	m, r := newTagging(t)
	for status, again := range map[int]bool{400: true, 405: true, 412: true, 501: true, 429: false, 500: false, 503: false} {
		m.refusal = status
		before := len(m.asked)
		if again {
			r.update()
		} else {
			r.refuse(http.StatusText(status))
		}
		if asked := m.asked[before:]; len(asked) == 0 || asked[0] == "" || again != (len(asked) == 2 && asked[1] == "") {
			t.Errorf("%d: asked with %q", status, asked)
		}
	}
}

// 304 is an answer only to who has something.
func TestNotModifiedUnasked(t *testing.T) {
	m := serveHTTP(t, func(rw http.ResponseWriter, _ *http.Request) { rw.WriteHeader(http.StatusNotModified) })
	for _, get := range []func() error{
		func() error { _, err := m.Get(t.Context(), PointerPath, 1<<10); return err },
		func() error { _, _, err := m.GetUnless(t.Context(), PointerPath, 1<<10, ""); return err },
	} {
		if err := get(); err == nil || strings.Contains(err.Error(), ErrUnchanged.Error()) {
			t.Errorf("got %v", err)
		}
	}
	if _, _, err := m.GetUnless(t.Context(), PointerPath, 1<<10, `"a"`); err != ErrUnchanged {
		t.Errorf("with a tag: %v", err)
	}
}

// What mirrors said that are sources no more is forgotten, and a folder that cannot be written costs no update.
func TestPointersOfOtherMirrors(t *testing.T) {
	m, r := newTagging(t)
	r.Sources[0].Name = "another"
	r.update()
	if all := recall(r.Dir); len(all) != 1 || all["another"].Tag == "" {
		t.Errorf("kept %v", all)
	}
	r.remember("another", recalled{})
	if all := recall(r.Dir); len(all) != 0 {
		t.Errorf("kept %v", all)
	}
	if err := os.Remove(filepath.Join(r.Dir, pointersFile)); err != nil {
		t.Fatal(err)
	}
	writeFile(t, filepath.Join(r.Dir, pointersFile), "obstacle", "")
	m.w.release(set("x.example", policy.Testing))
	r.update()
	r.holds(m.w.last)
}
