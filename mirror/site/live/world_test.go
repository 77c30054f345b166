package live

import (
	"context"
	"encoding/json"
	"html"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/starttls-everywhere/policylist/mirror/site"
	"github.com/starttls-everywhere/policylist/policy"
)

// clock is moved by hand.
type clock struct {
	mu  sync.Mutex
	now time.Time
}

func (c *clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *clock) pass(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}

// watchman is a Prober that says what it is told, and counts. With held it waits for a word on it, or for its end.
type watchman struct {
	mu      sync.Mutex
	looks   map[string]int
	most    int // looks at a time
	now     int
	held    chan struct{}
	entered chan struct{} // with held: a look began
	report  func(policy.Domain) (Report, error)
}

func (w *watchman) Probe(ctx context.Context, d policy.Domain) (Report, error) {
	w.mu.Lock()
	w.looks[d.String()]++
	w.now++
	w.most = max(w.most, w.now)
	w.mu.Unlock()
	defer func() {
		w.mu.Lock()
		w.now--
		w.mu.Unlock()
	}()
	if w.held != nil {
		if w.entered != nil {
			w.entered <- struct{}{}
		}
		select {
		case <-w.held:
		case <-ctx.Done():
			return Report{}, ctx.Err()
		}
	}
	return w.report(d)
}

func (w *watchman) seen(name string) int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.looks[name]
}

// world is a server with its watchman.
type world struct {
	testing.TB
	*clock
	*watchman
	root    *os.Root
	server  *Server
	handler http.Handler
	log     strings.Builder
}

func newWorld(t testing.TB, change func(*Options)) *world {
	t.Helper()
	folder := t.TempDir()
	list, err := json.Marshal(map[string]any{"format": "status-list/1", "origin": "list.example/a", "shard-digits": 2, "domains": 5})
	must(t, err)
	must(t, os.MkdirAll(filepath.Join(folder, "site/api/v1"), 0o755))
	must(t, os.WriteFile(filepath.Join(folder, "site/api/v1/list.json"), list, 0o644))
	must(t, os.WriteFile(filepath.Join(folder, "site/index.html"), []byte("home"), 0o644))
	root, err := os.OpenRoot(folder)
	must(t, err)
	t.Cleanup(func() { root.Close() })
	w := &world{TB: t, root: root, clock: &clock{now: time.Date(2026, 5, 1, 12, 0, 0, 0, time.UTC)}}
	w.watchman = &watchman{looks: map[string]int{}, report: func(policy.Domain) (Report, error) { return Report{Verdict: "pass"}, nil }}
	o := Options{Now: w.Now, Log: slog.New(slog.NewTextHandler(&w.log, nil))}
	if change != nil {
		change(&o)
	}
	w.server, err = New(root, w.watchman, o)
	must(t, err)
	w.handler = w.server.Handler(site.Handler(root))
	t.Cleanup(func() {
		ctx, cancel := context.WithCancel(context.Background())
		cancel()
		w.server.Stop(ctx)
	})
	return w
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

const home = "192.0.2.7:4321"

// do answers a request from an address.
func (w *world) do(r *http.Request, from string) *httptest.ResponseRecorder {
	r.RemoteAddr = from
	rec := httptest.NewRecorder()
	w.handler.ServeHTTP(rec, r)
	return rec
}

func (w *world) get(path, from string) *httptest.ResponseRecorder {
	return w.do(httptest.NewRequest("GET", path, nil), from)
}

var tokenField = regexp.MustCompile(`name="token" value="([^"]+)"`)

// token loads the form and takes its token.
func (w *world) token(from string) string {
	w.Helper()
	rec := w.get(Path, from)
	m := tokenField.FindStringSubmatch(rec.Body.String())
	if rec.Code != 200 || m == nil {
		w.Fatalf("the form: %d %s", rec.Code, rec.Body)
	}
	return html.UnescapeString(m[1])
}

// post is the form as a browser sends it without JavaScript.
func post(name, token string) *http.Request {
	r := httptest.NewRequest("POST", Path, strings.NewReader(url.Values{"domain": {name}, "token": {token}}.Encode()))
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	r.Header.Set("Origin", "http://"+r.Host)
	return r
}

// ask loads the form and sends it.
func (w *world) ask(name, from string) *httptest.ResponseRecorder {
	w.Helper()
	return w.do(post(name, w.token(from)), from)
}

// result follows an accepted form.
func (w *world) result(rec *httptest.ResponseRecorder) string {
	w.Helper()
	to := rec.Header().Get("Location")
	if rec.Code != http.StatusSeeOther || !strings.HasPrefix(to, "result/") {
		w.Fatalf("not accepted: %d %q %s", rec.Code, to, rec.Body)
	}
	return Path + to
}

// wait lets all looks that are not held end.
func (w *world) wait() { w.server.jobs.working.Wait() }

// read is the page of an ended look.
func (w *world) read(rec *httptest.ResponseRecorder) string {
	w.Helper()
	path := w.result(rec)
	w.wait()
	page := w.get(path, home)
	if page.Code != 200 {
		w.Fatalf("%s: %d", path, page.Code)
	}
	return page.Body.String()
}
