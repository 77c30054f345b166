package feedback

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/starttls-everywhere/policylist/mirror/durable"
	"github.com/starttls-everywhere/policylist/policy"
	"github.com/starttls-everywhere/policylist/policy/tlsrpt"
)

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func domain(t testing.TB, s string) policy.Domain {
	t.Helper()
	d, err := policy.ParseDomain(s)
	must(t, err)
	return d
}

// listing is a list: domain, pattern; those that begin with "t." are testing.
func listing(t testing.TB, policies map[string]string) func(policy.Domain) (policy.Policy, bool) {
	t.Helper()
	out := map[policy.Domain]policy.Policy{}
	for name, pattern := range policies {
		m, err := policy.ParseMXPattern(pattern)
		must(t, err)
		mode := policy.Enforce
		if strings.HasPrefix(name, "t.") {
			mode = policy.Testing
		}
		p, err := policy.NewPolicy(mode, []policy.MXPattern{m})
		must(t, err)
		out[domain(t, name)] = p
	}
	return func(d policy.Domain) (policy.Policy, bool) {
		p, ok := out[d]
		return p, ok
	}
}

func testKey(t testing.TB, seed byte) Key {
	t.Helper()
	k, err := NewKey(bytes.NewReader(bytes.Repeat([]byte{seed}, ed25519.SeedSize)))
	must(t, err)
	return k
}

// operator is a server of the list's operator: what it was sent, in order, and what it says.
type operator struct {
	*httptest.Server
	t       *testing.T
	mu      sync.Mutex // guards bodies and headers
	bodies  [][]byte
	headers []http.Header
	answer  func(w http.ResponseWriter, body []byte) // nil: it accepts, each day once
	at      func()                                   // called while a request is in hand; nil: nothing is
}

func newOperator(t *testing.T) *operator {
	o := &operator{t: t}
	days := map[tlsrpt.Day]bool{}
	o.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil || r.Method != http.MethodPost || r.URL.Path != tlsrpt.FeedbackPath {
			t.Errorf("%s %s: %v", r.Method, r.URL, err)
		}
		o.mu.Lock()
		o.bodies, o.headers = append(o.bodies, body), append(o.headers, r.Header.Clone())
		o.mu.Unlock()
		if o.at != nil {
			o.at()
		}
		if o.answer != nil {
			o.answer(w, body)
			return
		}
		c, err := tlsrpt.ValidateContribution(body)
		switch {
		case err != nil:
			t.Errorf("the operator would refuse it: %v", err)
			w.WriteHeader(http.StatusBadRequest)
		case days[c.Day]:
			w.WriteHeader(http.StatusConflict)
			fmt.Fprint(w, `{"status":"duplicate"}`)
		default:
			days[c.Day] = true
			fmt.Fprint(w, `{"status":"accepted","notices":["canary-delivered","\u001b[2J"]}`)
		}
	}))
	t.Cleanup(o.Close)
	return o
}

// sent is what it was sent, in order.
func (o *operator) sent() [][]byte {
	o.mu.Lock()
	defer o.mu.Unlock()
	return slices.Clone(o.bodies)
}

// sender has a clock that tests move, and contributions that have more sessions each time they are made.
type sender struct {
	Sender
	t    *testing.T
	at   time.Time
	made int
}

func newSender(t *testing.T, o *operator) *sender {
	t.Helper()
	u, err := CheckURL(o.URL + tlsrpt.FeedbackPath)
	must(t, err)
	s := &sender{t: t, at: time.Date(2026, 3, 1, 13, 0, 0, 0, time.UTC)}
	key := testKey(t, 1)
	s.Sender = Sender{Dir: t.TempDir(), Key: key, Target: NewTarget(u, domain(t, "sender.example"), key), Now: func() time.Time { return s.at }}
	s.Make = func(day tlsrpt.Day) (tlsrpt.Contribution, error) {
		s.made++
		e := tlsrpt.Contributed{Domain: domain(t, "a.example"), Type: tlsrpt.STS, Successful: []int64{20, 50, 100, 500}[s.made%4]}
		return tlsrpt.Contribution{ID: reportID(key, day), Day: day, Entries: []tlsrpt.Contributed{e}}, nil
	}
	return s
}

func (s *sender) run() *Book {
	s.t.Helper()
	b, err := s.Run(s.t.Context())
	must(s.t, err)
	return b
}

// until runs every few hours, as the timer does more often, until the time.
func (s *sender) until(end time.Time) *Book {
	s.t.Helper()
	b := s.run()
	for s.at.Before(end) {
		s.at = s.at.Add(min(4*time.Hour, end.Sub(s.at)))
		b = s.run()
	}
	return b
}

const march2 = tlsrpt.Day(20514) // 2026-03-02

func TestMarch2(t *testing.T) {
	if march2.String() != "2026-03-02" {
		t.Fatal(march2)
	}
}

// TestOnePostADay: each day is told of once, at its time and not before; not the day on which it was turned on.
func TestOnePostADay(t *testing.T) {
	o := newOperator(t)
	s := newSender(t, o)
	b := s.until(s.Key.Due(march2).Add(-time.Second))
	if e := b.Entry(march2); e == nil || e.State != Waiting || e.Attempts > 0 || b.Since != march2 {
		t.Errorf("before its time: %+v", e)
	}
	if b = s.until(s.at.Add(time.Second)); b.Entry(march2).State != Sent {
		t.Errorf("at its time: %+v", b.Entry(march2))
	}
	b = s.until(s.at.AddDate(0, 0, 9))
	seen := map[tlsrpt.Day]int{}
	for i, body := range o.sent() {
		c, err := tlsrpt.ValidateContribution(body)
		must(t, err)
		seen[c.Day]++
		if !tlsrpt.VerifyContribution(s.Key.Public(), o.headers[i].Get(tlsrpt.SignatureHeader), strings.TrimPrefix(o.URL, "http://"),
			domain(t, o.headers[i].Get(tlsrpt.ContributorHeader)), body) {
			t.Errorf("%s: the signature does not verify", c.Day)
		}
		if len(body)%tlsrpt.PadTo != 0 {
			t.Errorf("%d bytes", len(body))
		}
	}
	for day := march2; s.Key.Due(day).Before(s.at.Add(-4 * time.Hour)); day++ {
		if seen[day] != 1 {
			t.Errorf("%s was sent %d times", day, seen[day])
		}
	}
	if seen[march2-1] != 0 {
		t.Error("the day on which it was turned on was told of")
	}
	if last := b.LastSent(); last == nil || !slices.Equal(b.Notices(), []tlsrpt.Notice{tlsrpt.NoticeCanary}) || last.Domains != 1 {
		t.Errorf("%+v", last)
	}
	// A week in which nothing ran: turned off, or the machine was.
	before, gap := len(o.sent()), tlsrpt.DayOf(s.at)
	s.at = s.at.AddDate(0, 0, 7)
	s.until(s.at.Add(50 * time.Hour))
	for _, body := range o.sent()[before:] {
		c, err := tlsrpt.ValidateContribution(body)
		if must(t, err); c.Day > gap && c.Day < gap+7 {
			t.Errorf("%s was told of, though nothing ran on it", c.Day)
		}
	}
}

// TestKilled: whatever a kill leaves of the files, the next runs send the same bytes, and end.
func TestKilled(t *testing.T) {
	snapshot := func(dir string) string {
		to := t.TempDir()
		must(t, os.CopyFS(to, os.DirFS(dir)))
		return to
	}
	o := newOperator(t)
	s := newSender(t, o)
	s.until(time.Date(2026, 3, 2, 13, 0, 0, 0, time.UTC))
	s.at = s.Key.Due(march2)
	states := map[string]string{}
	make := s.Make
	s.Make = func(day tlsrpt.Day) (tlsrpt.Contribution, error) {
		if day == march2 {
			states["before the document"] = snapshot(s.Dir)
		}
		return make(day)
	}
	o.at = func() { states["while it was sent"] = snapshot(s.Dir) }
	s.run()
	o.at = nil
	states["after all"] = snapshot(s.Dir)
	if len(o.sent()) != 1 || len(states) != 3 {
		t.Fatalf("%d documents, %d states", len(o.sent()), len(states))
	}
	// The document was there and the book did not know; the book had half a temporary file beside it.
	between := snapshot(states["while it was sent"])
	book, err := os.ReadFile(filepath.Join(states["before the document"], BookFile))
	must(t, err)
	must(t, os.WriteFile(filepath.Join(between, BookFile), book, 0o600))
	must(t, os.WriteFile(filepath.Join(between, ".tmp-"+BookFile+"-123"), book[:10], 0o600))
	states["between document and book"] = between
	for name, dir := range states {
		if name == "before the document" {
			continue // nobody has seen anything yet; below
		}
		first := o.sent()[0]
		s.Dir, s.at = dir, s.Key.Due(march2).Add(2*time.Hour)
		if b := s.run(); b.Entry(march2).State != Sent {
			t.Errorf("%s: %+v", name, b.Entry(march2))
		}
		for _, body := range o.sent() {
			if c, err := tlsrpt.ValidateContribution(body); err != nil || c.Day == march2 && !bytes.Equal(body, first) {
				t.Errorf("%s: another document of the day was sent (%v)", name, err)
			}
		}
	}
	if len(o.sent()) < 3 {
		t.Errorf("%d attempts: a kill while it was sent must lead to another one", len(o.sent()))
	}
	s.Dir, o.answer = states["before the document"], func(w http.ResponseWriter, _ []byte) { fmt.Fprint(w, `{"status":"accepted"}`) }
	if b := s.run(); b.Entry(march2).State != Sent {
		t.Errorf("killed before anything: %+v", b.Entry(march2))
	}
}

// TestRetries: what fails is repeated with the same bytes, ever more rarely, and given up after seven days.
func TestRetries(t *testing.T) {
	for name, answer := range map[string]func(http.ResponseWriter, []byte){
		"an error":                   func(w http.ResponseWriter, _ []byte) { w.WriteHeader(http.StatusInternalServerError) },
		"a refusal":                  func(w http.ResponseWriter, _ []byte) { w.WriteHeader(400); fmt.Fprint(w, `{"status":"refused"}`) },
		"no receipt":                 func(w http.ResponseWriter, _ []byte) { fmt.Fprint(w, "thank you") },
		"a receipt of something":     func(w http.ResponseWriter, _ []byte) { fmt.Fprint(w, `{"status":"ok"}`) },
		"accepted, says an error":    func(w http.ResponseWriter, _ []byte) { w.WriteHeader(502); fmt.Fprint(w, `{"status":"accepted"}`) },
		"an endless receipt":         func(w http.ResponseWriter, _ []byte) { fmt.Fprint(w, strings.Repeat(`{"status":"accepted"}`, 1000)) },
		"a redirect":                 func(w http.ResponseWriter, _ []byte) { w.Header().Set("Location", "/elsewhere"); w.WriteHeader(307) },
		"a hang-up":                  func(http.ResponseWriter, []byte) { panic(http.ErrAbortHandler) },
		"a conflict of another kind": func(w http.ResponseWriter, _ []byte) { w.WriteHeader(409); fmt.Fprint(w, `{"status":"accepted"}`) },
		"a wish for time":            func(w http.ResponseWriter, _ []byte) { w.Header().Set("Retry-After", "7200"); w.WriteHeader(503) },
	} {
		t.Run(name, func(t *testing.T) {
			o := newOperator(t)
			o.answer = answer
			o.Config.ErrorLog = nil
			s := newSender(t, o)
			s.until(time.Date(2026, 3, 2, 13, 0, 0, 0, time.UTC))
			s.Make = only(s.Make, march2)
			s.at = s.Key.Due(march2)
			b := s.run()
			e := b.Entry(march2)
			if want := map[bool]time.Duration{false: time.Hour, true: 2 * time.Hour}[name == "a wish for time"]; e.State != Waiting || e.Error == "" || !e.Next.Equal(s.at.Add(want)) {
				t.Errorf("after one attempt: %+v", e)
			}
			if name != "an error" { // once through the week is enough
				s.at = e.Next
				if b = s.run(); b.Entry(march2).State != Waiting || b.Entry(march2).Attempts != 2 || !bytes.Equal(o.sent()[0], o.sent()[1]) {
					t.Errorf("after two attempts: %+v", b.Entry(march2))
				}
				return
			}
			for s.at.Before((march2 + 8).Begin().Add(time.Hour)) {
				s.at = s.at.Add(max(time.Hour, b.Entry(march2).Next.Sub(s.at)))
				b, _ = s.Run(t.Context())
			}
			if e = b.Entry(march2); e.State != GivenUp || e.Attempts < 10 || e.Attempts > 24 {
				t.Errorf("after a week: %+v", e)
			}
			n := len(o.sent())
			for _, body := range o.sent() {
				if !bytes.Equal(body, o.sent()[0]) {
					t.Error("two documents of one day")
				}
			}
			s.at = s.at.Add(24 * time.Hour)
			if s.Run(t.Context()); len(o.sent()) != n {
				t.Error("tried again after it was given up")
			}
		})
	}
}

// only makes documents of one day; of others there is none yet.
func only(make func(tlsrpt.Day) (tlsrpt.Contribution, error), day tlsrpt.Day) func(tlsrpt.Day) (tlsrpt.Contribution, error) {
	return func(d tlsrpt.Day) (tlsrpt.Contribution, error) {
		if d != day {
			return tlsrpt.Contribution{}, ErrLater
		}
		return make(d)
	}
}

// TestNoOtherDocument: nothing is sent that the profile forbids, and no second document of a day whose first one is lost or
// spoilt after somebody may have seen it.
func TestNoOtherDocument(t *testing.T) {
	o := newOperator(t)
	s := newSender(t, o)
	s.until(time.Date(2026, 3, 2, 13, 0, 0, 0, time.UTC))
	good := only(s.Make, march2)
	s.at = s.Key.Due(march2)
	s.Make = only(func(day tlsrpt.Day) (tlsrpt.Contribution, error) {
		c, err := good(day)
		c.Entries[0].Successful = 21 // no bucket
		return c, err
	}, march2)
	if b, err := s.Run(t.Context()); !errors.Is(err, tlsrpt.ErrForbidden) || len(o.sent()) > 0 || b.Error == "" {
		t.Errorf("%v, %d documents", err, len(o.sent()))
	}
	s.Make = good
	o.answer = func(w http.ResponseWriter, _ []byte) { w.WriteHeader(500) }
	s.run()
	path := filepath.Join(s.Dir, "feedback-outbox-2026-03-02.json")
	body, err := os.ReadFile(path)
	must(t, err)
	must(t, os.WriteFile(path, append(body[:len(body)-1], '\n'), 0o600))
	s.at = s.at.Add(3 * time.Hour)
	if b, err := s.Run(t.Context()); err == nil || b.Entry(march2).State != GivenUp || len(o.sent()) != 1 {
		t.Errorf("a spoilt outbox: %v, %d documents", err, len(o.sent()))
	}
}

// TestDamagedBook: without a book nobody knows what was sent, so nothing of the past is.
func TestDamagedBook(t *testing.T) {
	o := newOperator(t)
	s := newSender(t, o)
	s.until(s.Key.Due(march2))
	n := len(o.sent())
	must(t, os.WriteFile(filepath.Join(s.Dir, BookFile), []byte(`{"since":`), 0o600))
	if _, err := s.Run(t.Context()); err == nil || !strings.Contains(err.Error(), "begins anew") {
		t.Errorf("%v", err)
	}
	s.at = s.at.Add(20 * time.Hour)
	if s.run(); len(o.sent()) != n {
		t.Error("days before the new book were told of")
	}
}

// TestLocked: one run at a time.
func TestLocked(t *testing.T) {
	s := newSender(t, newOperator(t))
	unlock, err := durable.Lock(filepath.Join(s.Dir, LockFile))
	must(t, err)
	defer unlock()
	if _, err := s.Run(t.Context()); !errors.Is(err, durable.ErrLocked) {
		t.Errorf("%v", err)
	}
}

// TestSpread: days are sent at times that look random, are the same each time, and keep to the bounds; another key has others.
func TestSpread(t *testing.T) {
	a, b := testKey(t, 1), testKey(t, 2)
	hours, same := map[int]int{}, 0
	for day := march2; day < march2+500; day++ {
		due := a.Due(day)
		after := due.Sub((day + 1).Begin())
		if after < 2*time.Hour || after >= 26*time.Hour || !due.Equal(a.Due(day)) {
			t.Fatalf("%s: %s after its end", day, after)
		}
		hours[int(after.Hours())]++
		if due.Equal(b.Due(day)) || a.ReportID(day) == a.ReportID(day+1) || a.ReportID(day) == b.ReportID(day) {
			same++
		}
	}
	if len(hours) != 24 || same > 1 {
		t.Errorf("%d hours of 24, %d alike", len(hours), same)
	}
}

// TestKeyFile: a key reads back, is not replaced by accident, and not used when others can read it.
func TestKeyFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), KeyFile)
	if _, err := LoadKey(path); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("%v", err)
	}
	k := testKey(t, 1)
	must(t, k.Save(path, false))
	got, err := LoadKey(path)
	if must(t, err); !got.Public().Equal(k.Public()) || got.ReportID(march2) != k.ReportID(march2) {
		t.Error("another key comes back")
	}
	if err := testKey(t, 2).Save(path, false); !errors.Is(err, ErrKeyExists) {
		t.Errorf("%v", err)
	}
	must(t, testKey(t, 2).Save(path, true))
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v %v", info, err)
	}
	must(t, os.Chmod(path, 0o640))
	if _, err := LoadKey(path); err == nil || !strings.Contains(err.Error(), "others") {
		t.Errorf("%v", err)
	}
	must(t, os.Chmod(path, 0o600))
	for _, text := range []string{"", "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n", "-----BEGIN EC PRIVATE KEY-----\nAAAA\n-----END EC PRIVATE KEY-----\n"} {
		must(t, os.WriteFile(path, []byte(text), 0o600))
		if _, err := LoadKey(path); err == nil {
			t.Errorf("%q is a key", text)
		}
	}
	if _, err := NewKey(strings.NewReader("short")); err == nil {
		t.Error("a key of few bytes")
	}
}

// TestCheckURL: https, or this machine; nothing that hides where it goes.
func TestCheckURL(t *testing.T) {
	for text, ok := range map[string]bool{
		"https://list.example/feedback/v1": true, "https://list.example:8443/a/feedback/v1": true,
		"http://127.0.0.1:80/feedback/v1": true, "http://[::1]/feedback/v1": true,
		"http://list.example/feedback/v1": false, "http://localhost/feedback/v1": false, "https://list.example/": false,
		"https://list.example/feedback/v1?x": false, "https://list.example/feedback/v1?": false, "https://u:p@list.example/feedback/v1": false,
		"https://list.example/feedback/v1#x": false, "https:///feedback/v1": false, "ftp://list.example/feedback/v1": false, "https:list.example/feedback/v1": false, ":": false,
	} {
		if u, err := CheckURL(text); (err == nil) != ok || ok && Clear(u) != strings.HasPrefix(text, "http:") {
			t.Errorf("%s: %v", text, err)
		}
	}
}

// TestSameBytes: what Request shows is what arrives, to the byte, headers and all.
func TestSameBytes(t *testing.T) {
	var raw []byte
	listener := httptest.NewUnstartedServer(nil).Listener
	defer listener.Close()
	got := make(chan []byte, 1)
	go func() {
		c, err := listener.Accept()
		if err != nil {
			return
		}
		defer c.Close()
		b := make([]byte, 64<<10)
		n := 0
		for n < len(b) && !bytes.HasSuffix(b[:n], []byte("  ")) {
			m, err := c.Read(b[n:])
			if n += m; err != nil {
				break
			}
		}
		got <- b[:n]
		io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 21\r\n\r\n{\"status\":\"accepted\"}")
	}()
	u, err := CheckURL("http://" + listener.Addr().String() + tlsrpt.FeedbackPath)
	must(t, err)
	target := NewTarget(u, domain(t, "sender.example"), testKey(t, 1))
	body := []byte("{}" + strings.Repeat(" ", 998))
	r, err := target.Request(t.Context(), body)
	must(t, err)
	var shown bytes.Buffer
	must(t, r.Write(&shown))
	if a := target.post(t.Context(), body); !a.done {
		t.Errorf("%+v", a)
	}
	if raw = <-got; !bytes.HasPrefix(shown.Bytes(), raw) || len(raw) < 300 {
		t.Errorf("shown\n%s\narrived\n%s", shown.Bytes(), raw)
	}
}

// TestDeadline: a server that says nothing costs the deadline and no more.
func TestDeadline(t *testing.T) {
	o := newOperator(t)
	ended := make(chan struct{})
	o.answer = func(http.ResponseWriter, []byte) { <-ended }
	defer close(ended)
	s := newSender(t, o)
	s.until(time.Date(2026, 3, 2, 13, 0, 0, 0, time.UTC))
	s.at = s.Key.Due(march2)
	if s.Target.client.Timeout != patience {
		t.Errorf("the deadline is %s", s.Target.client.Timeout)
	}
	s.Target.client.Timeout = 20 * time.Millisecond
	if e := s.run().Entry(march2); e.State != Waiting || !strings.Contains(e.Error, "deadline") {
		t.Errorf("%+v", e)
	}
}

// TestUnknownCertificate: whoever cannot show a certificate for the URL's host is told nothing.
func TestUnknownCertificate(t *testing.T) {
	server := httptest.NewTLSServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { t.Error("a stranger was told") }))
	defer server.Close()
	server.Config.ErrorLog = log.New(io.Discard, "", 0)
	u, err := CheckURL(server.URL + tlsrpt.FeedbackPath)
	must(t, err)
	if a := NewTarget(u, domain(t, "sender.example"), testKey(t, 1)).post(t.Context(), []byte("{}")); a.done || !strings.Contains(a.why, "certificate") {
		t.Errorf("%+v", a)
	}
}

// TestCancelled: the end of the program ends an attempt, which counts as one.
func TestCancelled(t *testing.T) {
	o := newOperator(t)
	s := newSender(t, o)
	s.until(time.Date(2026, 3, 2, 13, 0, 0, 0, time.UTC))
	s.at = s.Key.Due(march2)
	ctx, cancel := context.WithCancel(t.Context())
	o.at = cancel
	o.answer = func(http.ResponseWriter, []byte) { panic(http.ErrAbortHandler) }
	b, err := s.Run(ctx)
	if must(t, err); b.Entry(march2).State != Waiting || b.Entry(march2).Attempts != 1 {
		t.Errorf("%+v", b.Entry(march2))
	}
}

// Whatever a server answers, only a success that says so counts, and nothing of its words gets through.
func FuzzAnswer(f *testing.F) {
	f.Add(201, []byte(`{"status":"accepted","notices":["canary-delivered","x","canary-delivered"]}`))
	f.Add(409, []byte(`{"status":"duplicate"}`))
	f.Add(500, []byte(`{"status":"accepted"}`))
	f.Fuzz(func(t *testing.T, status int, text []byte) {
		a := read(status, text)
		if a.done && status != 200 && status != 201 && status != 409 {
			t.Errorf("%d %q counts", status, text)
		}
		for i, n := range a.notices {
			if !n.Known() || slices.Contains(a.notices[:i], n) || !a.done {
				t.Errorf("%q", a.notices)
			}
		}
		for _, c := range a.why {
			if c < ' ' || c > '~' {
				t.Errorf("%q", a.why)
			}
		}
	})
}

// A file of a spool never makes anybody panic, and only what the profile has comes out.
func FuzzSpool(f *testing.F) {
	f.Add("tlsrpt-a.example-1-x.json", []byte(report("a.example", "1", 60, 25, detail("validation-failure", "mx.thief.example", 25))))
	f.Add("s.example!a.example!1772409600!1772495999.json", []byte(`{"policies":[{"policy":{"policy-type":"no-policy-found"},"summary":{"total-successful-session-count":99}}]}`))
	listed := listing(f, map[string]string{"a.example": "mx.a.example"})
	key := testKey(f, 1)
	f.Fuzz(func(t *testing.T, name string, text []byte) {
		if name == "" || name == ".." || strings.ContainsAny(name, "/\x00") || len(name) > 200 {
			return
		}
		dir := t.TempDir()
		path := filepath.Join(dir, name)
		must(t, os.WriteFile(path, text, 0o600))
		must(t, os.Chtimes(path, time.Time{}, time.Unix(1, 0)))
		s, err := ReadSpool(dir, march2, time.Now(), listed)
		must(t, err)
		c := s.Contribution(key, march2, listed)
		if _, err := tlsrpt.MarshalContribution(c); err != nil {
			t.Errorf("%v: %+v", err, c)
		}
	})
}

// A book that somebody has written into is read or refused, and a run with it sends only what is due.
func FuzzBook(f *testing.F) {
	f.Add([]byte(`{"since":"2026-03-01","days":[{"day":"2026-03-02","state":"waiting","domains":0,"attempts":1}]}`))
	f.Add([]byte(`{"days":null}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		dir := t.TempDir()
		must(t, os.WriteFile(filepath.Join(dir, BookFile), text, 0o600))
		b, err := LoadBook(dir)
		if err != nil {
			if len(b.Days) > 0 {
				t.Errorf("refused, and yet %+v", b)
			}
			return
		}
		b.Notices()
		if data, err := json.Marshal(b); err != nil || len(data) == 0 {
			t.Errorf("%+v: %v", b, err)
		}
	})
}
