package tlsrpt_test

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	intake "github.com/starttls-everywhere/policylist/pipeline/tlsrpt"
	"github.com/starttls-everywhere/policylist/policy/tlsrpt"
)

// post sends a body to a path of an intake and returns the status and the answer.
func post(t testing.TB, in http.Handler, path string, body []byte, headers ...string) (int, string) {
	t.Helper()
	r := httptest.NewRequest(http.MethodPost, "https://"+host+path, bytes.NewReader(body))
	for i := 0; i < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	w := httptest.NewRecorder()
	in.ServeHTTP(w, r)
	if w.Code == http.StatusTooManyRequests || w.Code == http.StatusServiceUnavailable {
		if w.Header().Get("Retry-After") == "" {
			t.Errorf("%d without Retry-After", w.Code)
		}
	}
	return w.Code, w.Body.String()
}

// newIntake is an intake that knows who has enrolled.
func (w *world) newIntake(opts intake.IntakeOptions) *intake.Intake {
	w.t.Helper()
	opts.Host, opts.Now = host, w.clock.now
	if w.dns != nil && opts.Keys == nil {
		opts.Keys = w.dns
	}
	in := intake.NewIntake(w.store, opts)
	if err := in.Refresh(w.t.Context()); err != nil {
		w.t.Fatal(err)
	}
	return in
}

func (w *world) path(name string) string { return intake.ReportPath + w.store.Token(domain(w.t, name)) }

// What each body gets; whatever its label, a body is what it is.
func TestIntakeAnswers(t *testing.T) {
	w := newWorld(t, intake.Options{})
	w.enrolled("a.example")
	in := w.newIntake(intake.IntakeOptions{})
	good := []byte(reportText("Sender", "1", 5, 2, "a.example"))
	const zipType, jsonType = "application/tlsrpt+gzip", "application/tlsrpt+json"
	for _, c := range []struct {
		name, label string
		body        []byte
		status      int
		says        string
	}{
		{"gzip", zipType, zipped(string(good)), 201, "taken to be shown"},
		{"the same as JSON", jsonType, good, 200, "taken before"},
		{"gzip with the label of JSON", jsonType, zipped(reportText("Sender", "2", 1, 0, "a.example")), 201, "taken"},
		{"JSON with the label of gzip", zipType, []byte(reportText("Sender", "3", 1, 0, "a.example")), 201, "taken"},
		{"no label", "", []byte(reportText("Sender", "4", 1, 0, "a.example")), 201, "taken"},
		{"another label", "text/html", []byte(reportText("Sender", "5", 1, 0, "a.example")), 201, "taken"},
		{"bytes after gzip (case 11)", zipType, append(zipped(reportText("Sender", "6", 1, 0, "a.example")), "\r\n"...), 201, "taken"},
		{"no domain (case 5)", jsonType, []byte(strings.Replace(reportText("Sender", "7", 1, 2, "a.example"), `,"policy-domain":"a.example"`, "", 1)), 201, "taken"},
		{"no policies (case 23)", jsonType, []byte(reportText("Sender", "8", 0, 0)), 200, "no sessions"},
		{"about another domain (case 32)", jsonType, []byte(reportText("Sender", "9", 1, 0, "b.example")), 422, "does not tell of a.example"},
		{"half a report", jsonType, good[:len(good)/2], 400, ""},
		{"half a gzip", zipType, zipped(string(good))[:80], 400, ""},
		{"a megabyte of zeros (case 36)", zipType, zipped(string(make([]byte, 1<<20))), 413, ""},
		{"twenty of them in members", zipType, bytes.Repeat(zipped(string(make([]byte, 1<<20))), 20), 413, ""},
		{"nested arrays", jsonType, []byte(strings.Repeat("[", 1_000_000)), 400, ""},
		{"nested arrays within", jsonType, []byte(`{"policies":` + strings.Repeat("[", 1_000_000)), 413, ""},
		{"text", jsonType, []byte("hello"), 400, ""},
		{"nothing", jsonType, nil, 400, ""},
		{"more than a body may have", jsonType, append(good, bytes.Repeat([]byte(" "), 4<<20)...), 413, "more than"},
		{"no range", jsonType, []byte(`{"report-id":"1","policies":[]}`), 200, ""},
		{"of last year", jsonType, bytes.ReplaceAll(good, []byte("2026-01-10"), []byte("2025-01-10")), 400, "out of time"},
	} {
		status, says := post(t, in, w.path("a.example"), c.body, "Content-Type", c.label)
		if status != c.status || !strings.Contains(says, c.says) || strings.Count(says, "\n") != 1 || len(says) > 400 {
			t.Errorf("%s: %d, %q; want %d, %q", c.name, status, says, c.status, c.says)
		}
	}
	got := rows(t, w.store, "2026-01-10")
	if len(got) != 1 || got[0] != "a.example Sender false: 7 reports, 15 sessions, 4 failed" {
		t.Errorf("%q", got)
	}
}

// An address that there is not, one whose domain has gone, and any other path are one answer; nothing but POST is taken.
func TestIntakeAddresses(t *testing.T) {
	w := newWorld(t, intake.Options{})
	w.enrolled("a.example", "gone.example")
	if _, err := w.store.Enrol(t.Context(), domain(t, "new.example")); err != nil {
		t.Fatal(err)
	}
	w.record("gone.example")
	if e, err := w.store.Look(t.Context(), w.dns, host, domain(t, "gone.example")); err != nil || e.State != intake.Gone {
		t.Fatalf("%+v, %v", e, err)
	}
	in := w.newIntake(intake.IntakeOptions{})
	body := []byte(reportText("Sender", "1", 5, 2, "a.example"))
	good := w.path("a.example")
	for _, path := range []string{
		"/", "/tlsrpt/v1/", "/tlsrpt/v1/" + strings.Repeat("a", 32), good[:len(good)-1], good + "/", strings.ToUpper(good), w.path("gone.example"), w.path("never.example"), "/metrics",
	} {
		if status, says := post(t, in, path, body); status != 404 || says != "there is nothing at this address\n" {
			t.Errorf("%s: %d %q", path, status, says)
		}
	}
	if status, _ := post(t, in, w.path("new.example"), body); status != 503 {
		t.Errorf("not looked at yet: %d", status)
	}
	for _, method := range []string{"GET", "PUT", "HEAD", "OPTIONS"} {
		rec := httptest.NewRecorder()
		in.ServeHTTP(rec, httptest.NewRequest(method, good, nil))
		if rec.Code != 405 || rec.Header().Get("Allow") != "POST" {
			t.Errorf("%s: %d, %q", method, rec.Code, rec.Header().Get("Allow"))
		}
	}
	rec := httptest.NewRecorder()
	in.ServeHTTP(rec, httptest.NewRequest("GET", intake.HealthPath, nil))
	if rec.Code != 200 || rec.Body.String() != "ok\n" {
		t.Errorf("health: %d %q", rec.Code, rec.Body)
	}
	if err := in.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	counts, err := w.store.DayCounts(t.Context(), day(t, "2026-01-11"), day(t, "2026-01-11"))
	if err != nil || counts[intake.CountUnknownTokens] != 9 {
		t.Errorf("%v, %v", counts, err)
	}
}

// counted counts what is read of a body.
type counted struct {
	io.Reader
	n int
}

func (c *counted) Read(p []byte) (int, error) {
	n, err := c.Reader.Read(p)
	c.n += n
	return n, err
}

// What is refused unread is taken off the line nevertheless, up to a limit, or the sender would see a reset and no answer.
func TestIntakeTakesWhatItRefuses(t *testing.T) {
	w := newWorld(t, intake.Options{})
	w.enrolled("a.example")
	in := w.newIntake(intake.IntakeOptions{PerSource: 3})
	for i, c := range []struct {
		path, expect string
		size, status int
		read         int
	}{
		{"/nowhere", "", 100 << 10, 404, 100 << 10},
		{tlsrpt.FeedbackPath, "", 16 << 10, 403, 16 << 10},
		{"/nowhere", "", 8 << 20, 404, 256 << 10},
		{w.path("a.example"), "", 16 << 10, 429, 16 << 10},
		{w.path("a.example"), "100-continue", 16 << 10, 429, 0}, // asks first, and has sent nothing
	} {
		body := &counted{Reader: bytes.NewReader(make([]byte, c.size))}
		r := httptest.NewRequest(http.MethodPost, c.path, body)
		r.Header.Set("Expect", c.expect)
		rec := httptest.NewRecorder()
		if in.ServeHTTP(rec, r); rec.Code != c.status || body.n != c.read {
			t.Errorf("%d: %d with %d bytes read, want %d and %d", i, rec.Code, body.n, c.status, c.read)
		}
	}
}

// Each source and each domain has its share of an hour; another's use of it touches nobody, and time gives it back.
func TestIntakeLimits(t *testing.T) {
	w := newWorld(t, intake.Options{})
	w.enrolled("a.example", "b.example")
	in := w.newIntake(intake.IntakeOptions{PerSource: 3, PerToken: 5, Proxy: true})
	n := 0
	send := func(from, to string) int {
		t.Helper()
		n++
		status, _ := post(t, in, w.path(to), []byte(reportText("Sender", fmt.Sprint(n), 1, 0, to)), "X-Forwarded-For", "203.0.113.99, "+from)
		return status
	}
	for i, c := range []struct {
		from, to string
		want     int
	}{
		{"192.0.2.1", "a.example", 201}, {"192.0.2.1", "a.example", 201}, {"192.0.2.1", "a.example", 201}, {"192.0.2.1", "a.example", 429}, {"192.0.2.1", "b.example", 429},
		{"2001:db8::1", "a.example", 201}, {"2001:db8::ffff:1", "a.example", 201}, {"2001:db8:0:1::1", "a.example", 429}, {"2001:db8:0:1::1", "b.example", 201},
		{"192.0.2.2", "b.example", 201},
	} {
		if got := send(c.from, c.to); got != c.want {
			t.Errorf("%d: %v: %d", i, c, got)
		}
	}
	w.clock.pass(20 * time.Minute)
	if a, b := send("192.0.2.1", "a.example"), send("192.0.2.1", "a.example"); a != 201 || b != 429 {
		t.Errorf("after a third of an hour: %d, %d", a, b)
	}
}

// Bodies in hand share a budget: what does not fit comes later, and what was taken is given back.
func TestIntakeMemory(t *testing.T) {
	w := newWorld(t, intake.Options{})
	w.enrolled("a.example")
	in := w.newIntake(intake.IntakeOptions{Memory: 1 << 20})
	padded := func(id string, n int) []byte {
		return append([]byte(reportText("Sender", id, 1, 0, "a.example")), bytes.Repeat([]byte(" "), n)...)
	}
	if status, _ := post(t, in, w.path("a.example"), padded("1", 400<<10)); status != 503 {
		t.Errorf("over the budget: %d", status)
	}
	for i := range 20 {
		if status, says := post(t, in, w.path("a.example"), padded(fmt.Sprint("x", i), 60<<10)); status != 201 {
			t.Fatalf("within it: %d %s", status, says)
		}
	}
	stuck, sent := io.Pipe()
	done := make(chan int)
	go func() {
		r := httptest.NewRequest(http.MethodPost, w.path("a.example"), stuck)
		rec := httptest.NewRecorder()
		in.ServeHTTP(rec, r)
		done <- rec.Code
	}()
	if _, err := sent.Write(padded("y", 200<<10)); err != nil { // returns when all is taken
		t.Fatal(err)
	}
	if status, _ := post(t, in, w.path("a.example"), padded("z", 10)); status != 503 {
		t.Errorf("beside a large one: %d", status)
	}
	sent.CloseWithError(io.ErrUnexpectedEOF)
	if status := <-done; status != 400 {
		t.Errorf("a body that stops: %d", status)
	}
	if status, _ := post(t, in, w.path("a.example"), padded("z", 10)); status != 201 {
		t.Errorf("after the large one: %d", status)
	}
}

// FuzzIntake: whatever is posted, the answer is one of those that are documented, in one line, and never a 5xx for the body's
// sake.
func FuzzIntake(f *testing.F) {
	w := newWorld(f, intake.Options{})
	w.enrolled("a.example")
	in := w.newIntake(intake.IntakeOptions{PerSource: 1 << 20, PerToken: 1 << 20})
	f.Add([]byte(reportText("Sender", "1", 5, 2, "a.example")), false)
	f.Add(zipped(reportText("Sender", "2", 5, 2, "b.example")), false)
	f.Add([]byte(`{"policies":[{"policy":null}]}`), false)
	f.Add([]byte(`{`), true)
	body, _ := contribution(f, "sender.example", "0")
	f.Add(body, true)
	address := w.path("a.example")
	f.Fuzz(func(t *testing.T, body []byte, feedback bool) {
		path := address
		var headers []string
		if feedback {
			path, headers = tlsrpt.FeedbackPath, []string{tlsrpt.ContributorHeader, "sender.example", tlsrpt.SignatureHeader, string(body[:min(len(body), 40)])}
		}
		status, says := post(t, in, path, body, headers...)
		switch status {
		case 200, 201, 400, 403, 413, 422:
		default:
			t.Errorf("%d %q", status, says)
		}
		if strings.Count(says, "\n") != 1 || len(says) > 700 || strings.ContainsFunc(says[:len(says)-1], func(r rune) bool { return r < ' ' || r > '~' }) {
			t.Errorf("%q", says)
		}
	})
}

// A full store sends everybody away for an hour, says so at /healthz, and takes in again once there is room.
func TestIntakeFull(t *testing.T) {
	w := newWorld(t, intake.Options{Space: 100 << 10})
	w.enrolled("a.example")
	in := w.newIntake(intake.IntakeOptions{PerToken: 100_000})
	health := func() string {
		rec := httptest.NewRecorder()
		in.ServeHTTP(rec, httptest.NewRequest("GET", intake.HealthPath, nil))
		return fmt.Sprint(rec.Code, " ", rec.Body)
	}
	large := func(id string) []byte {
		return append([]byte(reportText("Sender", id, 1, 0, "a.example")), bytes.Repeat([]byte(" "), 40<<10)...)
	}
	status, says := 201, ""
	for i := 0; status == 201 && i < 500; i++ { // beyond their share the documents are not kept, but that they came
		status, says = post(t, in, w.path("a.example"), large(fmt.Sprint(i)))
	}
	if status != 503 || says != "no room at the moment\n" || health() != "503 full\n" {
		t.Errorf("%d %q, health %q", status, says, health())
	}
	w.clock.pass(7 * 24 * time.Hour)
	if _, err := w.store.Prune(t.Context()); err != nil {
		t.Fatal(err)
	}
	if status, says := post(t, in, w.path("a.example"), large("more")); status != 201 || health() != "200 ok\n" {
		t.Errorf("%d %q, health %q", status, says, health())
	}
	in.Stop()
	if health() != "503 stopping\n" {
		t.Errorf("health %q", health())
	}
}
