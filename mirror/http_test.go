package mirror

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/starttls-everywhere/policylist/policy"
	"github.com/starttls-everywhere/policylist/transparency"
)

// serveHTTP starts a mirror on loopback. Its slow window is a tenth of a second.
func serveHTTP(t testing.TB, h http.HandlerFunc) *HTTP {
	t.Helper()
	server := httptest.NewServer(h)
	t.Cleanup(server.Close)
	r, err := NewHTTP(server.URL+"/", "policylist-test/1")
	if err != nil {
		t.Fatal(err)
	}
	r.window = 100 * time.Millisecond
	return r
}

// web serves a world's objects.
func (w *world) web(t *testing.T) *HTTP {
	return serveHTTP(t, func(rw http.ResponseWriter, r *http.Request) {
		data, ok := w.objects[strings.TrimPrefix(r.URL.Path, "/")]
		if !ok {
			http.NotFound(rw, r)
			return
		}
		rw.Write(data)
	})
}

func TestUpdateOverHTTP(t *testing.T) {
	w := newWorld(t, 1)
	w.release(many(300, policy.Testing)...)
	m := w.web(t)
	r := w.join(m)
	r.update()
	r.holds(w.last)
	w.release(set("x.example", policy.Testing))
	if out := r.update(); out.Method != "delta" {
		t.Errorf("got %+v", out)
	}
	r.holds(w.last)
}

func TestURLOfAMirror(t *testing.T) {
	for url, good := range map[string]bool{
		"https://list.example": true, "https://list.example/": true, "http://127.0.0.1:8080/a/b": true,
		"": false, "list.example": false, "ftp://list.example/": false, "https:///x": false, "file:///srv": false,
		"https://list.example/?q": false, "https://list.example/?q=1": false, "https://list.example/#x": false,
	} {
		if _, err := NewHTTP(url, "x"); (err == nil) != good {
			t.Errorf("%q: %v", url, err)
		}
	}
}

func TestStatusCodes(t *testing.T) {
	var status int
	m := serveHTTP(t, func(w http.ResponseWriter, r *http.Request) {
		if r.UserAgent() != "policylist-test/1" {
			t.Errorf("agent %q", r.UserAgent())
		}
		w.Header().Set("Location", "/elsewhere")
		w.WriteHeader(status)
		fmt.Fprint(w, "body")
	})
	for status = range 600 {
		if status < 200 || status == 204 || status == 304 {
			continue
		}
		data, err := m.Get(t.Context(), "checkpoint", 100)
		absent := status == 403 || status == 404 || status == 410
		if (err == nil) != (status == 200) || IsAbsent(err) != absent {
			t.Errorf("%d: got %q, %v", status, data, err)
		}
	}
}

// A mirror's data must not send a client to another host, nor to another place of the same one.
func TestRedirectsAreNotFollowed(t *testing.T) {
	var elsewhere atomic.Int32
	other := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { elsewhere.Add(1) }))
	defer other.Close()
	for _, target := range []string{other.URL + "/checkpoint", "/checkpoint2"} {
		var asked atomic.Int32
		m := serveHTTP(t, func(w http.ResponseWriter, r *http.Request) {
			asked.Add(1)
			http.Redirect(w, r, target, http.StatusFound)
		})
		if data, err := m.Get(t.Context(), "checkpoint", 100); err == nil || IsAbsent(err) {
			t.Errorf("got %q, %v", data, err)
		}
		if asked.Load() != 1 || elsewhere.Load() != 0 {
			t.Errorf("asked %d times here and %d times elsewhere", asked.Load(), elsewhere.Load())
		}
	}
}

// A body without an end costs its limit and no more; the mirror behind it is asked.
func TestEndlessBody(t *testing.T) {
	w := newWorld(t, 0)
	want := w.release(many(3, policy.Testing)...)
	var sent atomic.Int64
	endless := serveHTTP(t, func(rw http.ResponseWriter, r *http.Request) {
		chunk := bytes.Repeat([]byte("x"), 1<<16)
		for {
			n, err := rw.Write(chunk)
			if sent.Add(int64(n)); err != nil {
				return
			}
		}
	})
	if _, err := endless.Get(t.Context(), "checkpoint", 1000); !errors.Is(err, ErrTooLarge) {
		t.Errorf("got %v", err)
	}
	r := w.join(w.mirror())
	r.ask(endless, w.mirror())
	if out := r.update(); out.Mirror != "mirror 1" {
		t.Errorf("got %+v", out)
	}
	r.holds(want)
	if sent.Load() > 64<<20 {
		t.Errorf("%d bytes were taken from an endless body", sent.Load())
	}
}

// A gigabyte of nothing in a megabyte of gzip costs no more than an honest object would.
func TestGzipBomb(t *testing.T) {
	var bomb bytes.Buffer
	z, err := gzip.NewWriterLevel(&bomb, gzip.BestCompression)
	if err != nil {
		t.Fatal(err)
	}
	zeros := make([]byte, 1<<20)
	for range 1 << 8 {
		z.Write(zeros)
	}
	z.Close()
	m := serveHTTP(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Encoding", "gzip")
		w.Write(bomb.Bytes())
	})
	const limit = 1 << 20
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	if data, err := m.Get(t.Context(), "tile/entries/000", limit); !errors.Is(err, ErrTooLarge) {
		t.Errorf("got %d bytes, %v", len(data), err)
	}
	runtime.ReadMemStats(&after)
	if used := after.TotalAlloc - before.TotalAlloc; used > 16*limit {
		t.Errorf("a bomb of %d bytes took %d bytes to refuse, the limit is %d", bomb.Len(), used, limit)
	}
}

func TestZstdBomb(t *testing.T) {
	w := newWorld(t, 0)
	bomb := w.zstd.EncodeAll(make([]byte, 1<<28), nil)
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	if data, err := Unzstd(bomb, 1<<16); !errors.Is(err, ErrTooLarge) {
		t.Errorf("got %d bytes, %v", len(data), err)
	}
	runtime.ReadMemStats(&after)
	if used := after.TotalAlloc - before.TotalAlloc; used > 64<<20 {
		t.Errorf("a bomb of %d bytes took %d bytes to refuse", len(bomb), used)
	}
}

// A million signature lines do not fit the limit of a pointer, and as many as fit cost little.
func TestManySignatureLines(t *testing.T) {
	w := newWorld(t, 0)
	w.release(many(3, policy.Testing)...)
	r := w.join(w.mirror())
	lines := func(n int) []byte {
		return append(bytes.Clone(w.objects[PointerPath]), bytes.Repeat([]byte("— x AAAAAAAA\n"), n)...)
	}
	m := w.mirror()
	m.lies[PointerPath] = lines(1_000_000)
	r.ask(m)
	if out := r.refuseFirst(); !strings.Contains(out.Problems[0], ErrTooLarge.Error()) {
		t.Errorf("got %v", out.Problems)
	}
	m.lies[PointerPath] = lines(transparency.MaxProofBytes/15 - 500)
	start := time.Now()
	r.refuseFirst()
	if took := time.Since(start); took > 5*time.Second {
		t.Errorf("it took %s", took)
	}
}

// refuseFirst is refuse for a client that has no list yet.
func (r *reader) refuseFirst() Outcome {
	r.t.Helper()
	out, err := r.Update(context.Background())
	if !errors.Is(err, ErrNoMirror) || out.Freshness != None || out.Release != nil {
		r.t.Errorf("got %+v, %v", out, err)
	}
	return out
}

// A mirror that drips is left for the next one, and its error says why. What drips fast enough is taken.
func TestSlowMirror(t *testing.T) {
	w := newWorld(t, 0)
	want := w.release(many(3, policy.Testing)...)
	drip := make(chan struct{})
	slow := serveHTTP(t, func(rw http.ResponseWriter, r *http.Request) {
		rw.Write([]byte("c2sp.org/"))
		http.NewResponseController(rw).Flush()
		select {
		case <-r.Context().Done():
		case <-drip:
		}
	})
	defer close(drip)
	if _, err := slow.Get(t.Context(), "checkpoint", 1000); !errors.Is(err, errSlow) {
		t.Errorf("got %v", err)
	}
	r := w.join(w.mirror())
	r.ask(slow, w.mirror())
	out := r.update()
	if out.Mirror != "mirror 1" || !strings.Contains(out.Problems[0], errSlow.Error()) {
		t.Errorf("got %+v", out)
	}
	r.holds(want)
}

// The guard counts what a window brings: enough bytes start the next window, too few end the transfer.
func TestSlowGuard(t *testing.T) {
	gaveUp := make(chan error, 1)
	body := bytes.NewReader(make([]byte, 10*minRate))
	g := newSlowGuard(body, time.Hour, func(err error) { gaveUp <- err })
	p := make([]byte, minRate)
	for range 10 {
		if _, err := g.Read(p); err != nil {
			t.Fatal(err)
		}
	}
	if g.since != 10*minRate {
		t.Errorf("counted %v bytes", g.since)
	}
	if !g.timer.Stop() {
		t.Error("the guard fired within its window")
	}
	g = newSlowGuard(bytes.NewReader(make([]byte, 10*minRate)), time.Second, func(err error) { gaveUp <- err })
	for range 10 {
		g.Read(p)
		if g.since != 0 {
			t.Fatalf("a full window was counted as %v bytes", g.since)
		}
	}
	g.timer.Stop()
	newSlowGuard(body, time.Nanosecond, func(err error) { gaveUp <- err })
	if err := <-gaveUp; !errors.Is(err, errSlow) {
		t.Errorf("got %v", err)
	}
}

// A caller's own deadline or cancellation is not called slowness.
func TestCancelledIsNotSlow(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	m := serveHTTP(t, func(rw http.ResponseWriter, r *http.Request) {
		rw.Write([]byte("x"))
		http.NewResponseController(rw).Flush()
		cancel()
		<-r.Context().Done()
	})
	m.window = time.Hour
	if _, err := m.Get(ctx, "checkpoint", 1000); !errors.Is(err, context.Canceled) || errors.Is(err, errSlow) {
		t.Errorf("got %v", err)
	}
}

// Bytes that end too early, or an encoding that was not asked for, are no object.
func TestBrokenBodies(t *testing.T) {
	for name, h := range map[string]http.HandlerFunc{
		"cut short": func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Length", "100")
			w.Write([]byte("x"))
		},
		"brotli": func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Encoding", "br")
			w.Write([]byte("x"))
		},
		"gzip in name": func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Encoding", "gzip")
			w.Write([]byte("x"))
		},
		"endless header": func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("X", strings.Repeat("x", 1<<20))
			w.Write([]byte("x"))
		},
		"connection reset": func(w http.ResponseWriter, r *http.Request) { panic(http.ErrAbortHandler) },
	} {
		if data, err := serveHTTP(t, h).Get(t.Context(), "checkpoint", 1000); err == nil || IsAbsent(err) {
			t.Errorf("%s: got %q, %v", name, data, err)
		}
	}
}
