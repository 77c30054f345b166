package feedback

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/starttls-everywhere/policylist/mirror/durable"
	"github.com/starttls-everywhere/policylist/policy/tlsrpt"
)

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

// TestRetries: what fails is repeated with the same bytes, ever more rarely, and given up when the operator takes it no more.
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
				before := len(o.sent())
				b, _ = s.Run(t.Context())
				if late := tlsrpt.DayOf(s.at) > march2+tlsrpt.MaxContributionAge; late && len(o.sent()) > before {
					t.Errorf("sent at %s, when it is refused", s.at)
				}
			}
			if e = b.Entry(march2); e.State != GivenUp || e.Attempts < 6 || e.Attempts > 14 {
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
