package tlsrpt_test

import (
	"bytes"
	"crypto/rand"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/starttls-everywhere/policylist/mirror/feedback"
	intake "github.com/starttls-everywhere/policylist/pipeline/tlsrpt"
	"github.com/starttls-everywhere/policylist/policy/tlsrpt"
)

// TestSenderAndIntake: what the sender of a mail server makes the intake takes, once, with the key that stands in the DNS; and
// refuses while there is none, which the sender bears.
func TestSenderAndIntake(t *testing.T) {
	w := newWorld(t, intake.Options{})
	w.startLab()
	var in http.Handler
	server := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) { in.ServeHTTP(rw, r) }))
	defer server.Close()
	in = intake.NewIntake(w.store, intake.IntakeOptions{
		Host: strings.TrimPrefix(server.URL, "http://"), Keys: w.dns, Now: w.clock.now,
		Notices: func(c tlsrpt.Contribution) []tlsrpt.Notice {
			if len(c.Entries) > 0 {
				return []tlsrpt.Notice{tlsrpt.NoticeCanary}
			}
			return nil
		},
	})
	key, err := feedback.NewKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	s := w.sender(key, server.URL+tlsrpt.FeedbackPath)
	run := func(pass time.Duration) *feedback.Book {
		t.Helper()
		w.clock.pass(pass)
		b, err := s.Run(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	run(0)
	run(24 * time.Hour)                                        // the 12th, the first day that is told of
	b := run(key.Due(day(t, "2026-01-12")).Sub(w.clock.now())) // no key in the DNS
	if e := b.Entry(day(t, "2026-01-12")); e.State != feedback.Waiting || e.Attempts != 1 || !strings.HasPrefix(e.Error, "HTTP 4") {
		t.Errorf("without a key: %+v", e)
	}
	if err := w.lab.AddRecord(fmt.Sprintf("%s.sender.example. 60 IN TXT %q", tlsrpt.KeyLabel, key.Record())); err != nil {
		t.Fatal(err)
	}
	b = run(2 * time.Hour)
	if e := b.Entry(day(t, "2026-01-12")); e.State != feedback.Sent || !slices.Equal(b.Notices(), []tlsrpt.Notice{tlsrpt.NoticeCanary}) {
		t.Errorf("with a key: %+v", e)
	}
	// The same day once more, as after a kill: nothing is left to do, whatever the answer. Another document of it changes nothing.
	body, err := b.Document(day(t, "2026-01-12"))
	if err != nil {
		t.Fatal(err)
	}
	takenBefore(t, s, body)
	takenBefore(t, s, bytes.Replace(body, []byte(`count":100`), []byte(`count":500`), 1))
	// What was taken is what was sent, under a name that is not the sender's.
	var got []tlsrpt.Contributed
	if err := w.store.Contributions(t.Context(), day(t, "2026-01-01"), day(t, "2026-01-31"), func(c intake.Contributed) error {
		if strings.Contains(fmt.Sprintf("%+v", c), "sender.example") {
			t.Errorf("the store has the sender's name: %+v", c)
		}
		got = append(got, c.Entries...)
		return nil
	}); err != nil || len(got) != 2 || got[0].Successful != 100 || !got[1].LookUps {
		t.Errorf("%+v, %v", got, err)
	}
	// The next day is empty, and is told all the same.
	run(24 * time.Hour)
	if b = run(26 * time.Hour); b.LastSent().Day <= day(t, "2026-01-12") || b.LastSent().Domains != 0 || len(b.Notices()) != 0 {
		t.Errorf("%+v", b.LastSent())
	}
}

// sender is a mail server's, which on 2026-01-12 has something to say, and on other days nothing.
func (w *world) sender(key feedback.Key, url string) *feedback.Sender {
	w.t.Helper()
	u, err := feedback.CheckURL(url)
	if err != nil {
		w.t.Fatal(err)
	}
	entries := []tlsrpt.Contributed{
		{Domain: domain(w.t, "a.example"), Type: tlsrpt.STS, Successful: 100, Failed: 20, Details: []tlsrpt.ContributedDetail{{Result: tlsrpt.CertificateHostMismatch, MX: tlsrpt.UnlistedMX, Failed: 20}}},
		{Domain: domain(w.t, "b.example"), Type: tlsrpt.STS, Failed: 20, LookUps: true, Details: []tlsrpt.ContributedDetail{{Result: tlsrpt.STSPolicyFetchError, Failed: 20}}},
	}
	return &feedback.Sender{
		Dir: w.t.TempDir(), Key: key, Target: feedback.NewTarget(u, domain(w.t, "sender.example"), key), Now: w.clock.now,
		Make: func(d tlsrpt.Day) (tlsrpt.Contribution, error) {
			c := tlsrpt.Contribution{ID: fmt.Sprintf("%x", key.ReportID(d)), Day: d}
			if d == day(w.t, "2026-01-12") {
				c.Entries = entries
			}
			return c, nil
		},
	}
}

// takenBefore posts a document of a day of which there is one.
func takenBefore(t *testing.T, s *feedback.Sender, body []byte) {
	t.Helper()
	r, err := s.Target.Request(t.Context(), body)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	if resp.Body.Close(); resp.StatusCode != http.StatusOK {
		t.Errorf("the same day again: %s", resp.Status)
	}
}
