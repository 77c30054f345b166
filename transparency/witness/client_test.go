package witness_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"

	"github.com/starttls-everywhere/policylist/transparency"
	"github.com/starttls-everywhere/policylist/transparency/witness"
	"github.com/starttls-everywhere/policylist/transparency/witness/witnesstest"
)

const origin = "list.example/2026"

// log is a transparency log in memory.
type log struct {
	t      testing.TB
	signer note.Signer
	vkey   string
	hashes hashes
	size   int64
}

type hashes []tlog.Hash

func (h hashes) ReadHashes(indexes []int64) ([]tlog.Hash, error) {
	out := make([]tlog.Hash, len(indexes))
	for i, at := range indexes {
		out[i] = h[at]
	}
	return out, nil
}

func newLog(t testing.TB) *log {
	t.Helper()
	skey, vkey, err := note.GenerateKey(nil, origin)
	if err != nil {
		t.Fatal(err)
	}
	signer, err := note.NewSigner(skey)
	if err != nil {
		t.Fatal(err)
	}
	return &log{t: t, signer: signer, vkey: vkey}
}

// add appends entries; name tells histories apart.
func (l *log) add(name string, n int) {
	l.t.Helper()
	for range n {
		more, err := tlog.StoredHashes(l.size, fmt.Appendf(nil, "%s %d", name, l.size), l.hashes)
		if err != nil {
			l.t.Fatal(err)
		}
		l.hashes, l.size = append(l.hashes, more...), l.size+1
	}
}

func (l *log) tree() witness.Tree {
	l.t.Helper()
	size := l.size
	root, err := tlog.TreeHash(size, l.hashes)
	if err != nil {
		l.t.Fatal(err)
	}
	msg, err := transparency.SignCheckpoint(transparency.Checkpoint{Origin: origin, Tree: tlog.Tree{N: size, Hash: root}}, l.signer)
	if err != nil {
		l.t.Fatal(err)
	}
	return witness.Tree{Note: msg, Size: size, Prove: func(old int64) (tlog.TreeProof, error) { return tlog.ProveTree(size, old, l.hashes) }}
}

var noon = time.Date(2026, 11, 25, 12, 0, 0, 0, time.UTC)

func (l *log) witness() (*witnesstest.Fake, transparency.WitnessURL) {
	l.t.Helper()
	f := witnesstest.StartFake(l.t, "w", l.vkey, func() time.Time { return noon })
	return f, transparency.WitnessURL{Name: f.Name, VKey: f.VKey, URL: f.URL}
}

func newClient() *witness.Client {
	c := witness.New("test/1")
	c.Patience = 5 * time.Second
	return c
}

// TestGrowingLogIsCosigned: from nothing, on from there, and once more without a change. What we believe the witness to
// know may be anything.
func TestGrowingLogIsCosigned(t *testing.T) {
	l := newLog(t)
	f, w := l.witness()
	c := newClient()
	for i, known := range []int64{0, 3, 0, -1, 1 << 60} {
		if i != 2 {
			l.add("entry", 3)
		}
		tree := l.tree()
		got, err := c.AddCheckpoint(t.Context(), w, tree, known)
		if err != nil {
			t.Fatalf("size %d from %d: %v", tree.Size, known, err)
		}
		if !got.Time.Equal(noon) || f.Size() != tree.Size {
			t.Errorf("cosigned at %v, size %d of %d", got.Time, f.Size(), tree.Size)
		}
		if _, at, err := w.Cosignature(append(tree.Note, got.Line...)); err != nil || !at.Equal(noon) {
			t.Errorf("the line does not verify: %v", err)
		}
	}
	if asked := f.Asked(); asked != 8 { // the last three believed wrongly, and were told
		t.Errorf("asked %d times", asked)
	}
}

func TestForkIsRefused(t *testing.T) {
	l := newLog(t)
	f, w := l.witness()
	c := newClient()
	l.add("entry", 5)
	if _, err := c.AddCheckpoint(t.Context(), w, l.tree(), 0); err != nil {
		t.Fatal(err)
	}
	for _, size := range []int{4, 5, 6} {
		other := newLog(t)
		other.signer, other.vkey = l.signer, l.vkey
		other.add("other", size)
		_, err := c.AddCheckpoint(t.Context(), w, other.tree(), 0)
		var refusal *witness.Refusal
		if !errors.As(err, &refusal) || errors.Is(err, witness.ErrUnavailable) {
			t.Fatalf("%d other entries: %v", size, err)
		}
		if larger := refusal.Size == 5; larger != (size == 4) {
			t.Errorf("%d other entries: size %d", size, refusal.Size)
		}
		if !strings.HasPrefix(string(refusal.Theirs), origin+"\n5\n") || f.Size() != 5 {
			t.Errorf("%d other entries: the witness shows %q and knows %d", size, refusal.Theirs, f.Size())
		}
	}
}

// TestUselessAnswers: whatever else a witness says costs a bounded time, and is neither a cosignature nor a fork.
func TestUselessAnswers(t *testing.T) {
	l := newLog(t)
	l.add("entry", 4)
	tree := l.tree()
	text, _, _ := strings.Cut(string(tree.Note), "\n\n")
	text += "\n"
	elsewhere := http.HandlerFunc(func(http.ResponseWriter, *http.Request) { t.Error("a redirect was followed") })
	other := witnesstest.StartFake(t, "other", l.vkey, func() time.Time { return noon })
	other.Bend = func(w http.ResponseWriter, r *http.Request) bool { elsewhere(w, r); return true }
	conflicts := 0
	size := func(n string) func(http.ResponseWriter) {
		return func(w http.ResponseWriter) {
			w.Header().Set("Content-Type", "text/x.tlog.size")
			w.WriteHeader(http.StatusConflict)
			fmt.Fprint(w, n)
		}
	}
	for name, c := range map[string]struct {
		answer func(w http.ResponseWriter)
		want   string
		fork   bool
	}{
		"empty":                {func(http.ResponseWriter) {}, "no good cosignature", false},
		"garbage":              {func(w http.ResponseWriter) { fmt.Fprint(w, strings.Repeat("\x00— a b\n", 500)) }, "no good cosignature", false},
		"another key":          {func(w http.ResponseWriter) { w.Write(other.Cosign(text)) }, "no good cosignature", false},
		"the note, not a line": {func(w http.ResponseWriter) { fmt.Fprintf(w, "%s\n%s", text, other.Cosign(text)) }, "more than signature lines", false},
		"200 lines":            {func(w http.ResponseWriter) { fmt.Fprint(w, strings.Repeat(string(other.Cosign(text)), 200)) }, "no good cosignature", false},
		"endless":              {endless, "longer than", false},
		"endless headers":      {func(w http.ResponseWriter) { w.Header().Set("X-Long", strings.Repeat("x", 1<<20)) }, "headers", false},
		"bad request":          {status(400), "400", false},
		"forbidden":            {status(403), "403", false},
		"unknown log":          {status(404), "404", false},
		"busy":                 {status(429), "429", false},
		"broken":               {status(500), "500", false},
		"nothing to say":       {status(204), "204", false},
		"redirect":             {func(w http.ResponseWriter) { w.Header().Set("Location", other.URL); w.WriteHeader(307) }, "redirect", false},
		"permanent redirect":   {func(w http.ResponseWriter) { w.Header().Set("Location", other.URL); w.WriteHeader(301) }, "redirect", false},
		"always conflict":      {size("2\n"), "does not take a proof", false},
		"the size we named":    {size("0\n"), "does not take a proof", false},
		"restless":             {func(w http.ResponseWriter) { conflicts++; size(fmt.Sprintf("%d\n", conflicts))(w) }, "changes", false},
		"larger":               {size("5\n"), "5 entries", true},
		"no size":              {status(409), "409", true},
		"size of no type":      {func(w http.ResponseWriter) { w.WriteHeader(409); fmt.Fprint(w, "2\n") }, "409", true},
		"size with a zero":     {size("02\n"), "409", true},
		"negative size":        {size("-2\n"), "409", true},
		"size of no line":      {size("2"), "409", true},
		"unprocessable":        {status(422), "another history", true},
	} {
		t.Run(name, func(t *testing.T) {
			f, w := l.witness()
			f.Bend = func(w http.ResponseWriter, r *http.Request) bool {
				if r.Method == http.MethodPost {
					c.answer(w)
				} else {
					endless(w)
				}
				return true
			}
			client := newClient()
			_, err := client.AddCheckpoint(t.Context(), w, tree, 0)
			var refusal *witness.Refusal
			if err == nil || !strings.Contains(err.Error(), c.want) || errors.As(err, &refusal) != c.fork || errors.Is(err, witness.ErrUnavailable) == c.fork {
				t.Fatalf("error %v, want %q", err, c.want)
			}
			if c.fork && refusal.Theirs != nil {
				t.Errorf("%d bytes of a checkpoint without an end", len(refusal.Theirs))
			}
		})
	}
}

func status(code int) func(http.ResponseWriter) {
	return func(w http.ResponseWriter) { http.Error(w, "no", code) }
}

func endless(w http.ResponseWriter) {
	for {
		if _, err := w.Write(make([]byte, 1<<16)); err != nil {
			return
		}
	}
}

// TestPatience: a witness that does not answer, answers without an end in drops, or is not there.
func TestPatience(t *testing.T) {
	l := newLog(t)
	l.add("entry", 1)
	hang := func(_ http.ResponseWriter, r *http.Request) bool {
		io.Copy(io.Discard, r.Body) // only then does the server notice that the client has gone
		<-r.Context().Done()
		return true
	}
	drip := func(w http.ResponseWriter, r *http.Request) bool {
		io.Copy(io.Discard, r.Body)
		tick := time.NewTicker(10 * time.Millisecond)
		defer tick.Stop()
		for r.Context().Err() == nil {
			<-tick.C
			w.Write([]byte("—"))
			http.NewResponseController(w).Flush()
		}
		return true
	}
	for name, bend := range map[string]func(http.ResponseWriter, *http.Request) bool{"hanging": hang, "dripping": drip} {
		f, w := l.witness()
		f.Bend = bend
		c := newClient()
		c.Patience = 200 * time.Millisecond
		start := time.Now()
		if _, err := c.AddCheckpoint(t.Context(), w, l.tree(), 0); !errors.Is(err, witness.ErrUnavailable) || !strings.Contains(err.Error(), "not within 200ms") {
			t.Errorf("%s: %v", name, err)
		}
		if took := time.Since(start); took > 3*time.Second {
			t.Errorf("%s: given up after %v", name, took)
		}
	}
	for _, url := range []string{"", "http://127.0.0.1:1/", "ftp://witness.example/", "http://", "http://w.example/?q", "::"} {
		_, w := l.witness()
		w.URL = url
		if _, err := newClient().AddCheckpoint(t.Context(), w, l.tree(), 0); !errors.Is(err, witness.ErrUnavailable) {
			t.Errorf("URL %q: %v", url, err)
		}
	}
	_, w := l.witness()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := newClient().AddCheckpoint(ctx, w, l.tree(), 0); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
}

func FuzzRequest(f *testing.F) {
	f.Add([]byte("old 0\n\nlist.example\n1\nAAAA\n\n— x y\n"))
	f.Add([]byte("old 20852014\nPlRNCrwHpqhGrupue0L7gxbjbMiKA9temvuZZDDpkaw=\njrJZDmY8Y7SyJE0MWLpLozkIVMSMZcD5kvuKxPC3swk=\n\nexample.com/behind-the-sofa\n"))
	f.Fuzz(func(t *testing.T, body []byte) {
		r, err := witnesstest.ParseRequest(body)
		if err == nil && string(r.Format()) != string(body) {
			t.Errorf("%q formats as %q", body, r.Format())
		}
	})
}
