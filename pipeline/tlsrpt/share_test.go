package tlsrpt_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	intake "github.com/starttls-everywhere/policylist/pipeline/tlsrpt"
	"github.com/starttls-everywhere/policylist/policy/tlsrpt"
)

// Whoever fills the store, with what nobody has signed or with a domain of his own, shuts nobody out: beyond a share his documents
// count and are not kept, and after the days that documents stay he has his share again.
func TestOneFillsTheStore(t *testing.T) {
	for _, by := range []string{"", "liar.example"} {
		w := newWorld(t, intake.Options{Space: 8 << 20})
		w.enrolled("a.example", "b.example")
		weigh := func() (whole, empty int, size int) {
			t.Helper()
			err := w.store.Lines(t.Context(), tlsrpt.DayOf(w.clock.now()), func(line []byte) error {
				l, err := intake.ParseLine(line)
				size += len(line)
				switch {
				case err != nil:
					return err
				case len(l.Body) == 0:
					empty++
				default:
					whole++
				}
				return nil
			})
			if err != nil {
				t.Fatal(err)
			}
			return whole, empty, size
		}
		long := strings.Repeat("x", 300<<10)
		for i := range 50 {
			if _, err := w.store.Add(t.Context(), document(t, reportText(long, fmt.Sprint(i), 1, 0, "a.example"), by)); err != nil {
				t.Fatalf("%q: %d: %v", by, i, err)
			}
		}
		whole, empty, size := weigh()
		if whole == 0 || empty == 0 || whole+empty != 50 || size > 2<<20 {
			t.Errorf("%q: %d documents are kept and %d are not, in %d bytes", by, whole, empty, size)
		}
		if got := rows(t, w.store, "2026-01-10"); len(got) != 1 || !strings.Contains(got[0], "50 reports, 50 sessions") {
			t.Errorf("%q: %q", by, got)
		}
		if _, err := w.store.Add(t.Context(), document(t, reportText(long, "honest", 1, 0, "b.example"), "honest.example")); err != nil {
			t.Errorf("%q: %v", by, err)
		}
		if now, _, _ := weigh(); now != whole+1 {
			t.Errorf("%q: the document of another is not kept", by)
		}
		w.clock.pass(8 * 24 * time.Hour)
		if _, err := w.store.Prune(t.Context()); err != nil {
			t.Fatal(err)
		}
		if _, err := w.store.Add(t.Context(), document(t, reportText(long, "later", 1, 0, "a.example"), by)); err != nil {
			t.Fatal(err)
		}
		if whole, empty, _ := weigh(); whole != 1 || empty != 0 {
			t.Errorf("%q: after a week %d documents are kept and %d are not", by, whole, empty)
		}
	}
}

// Reports are known for as long as they could come again, and not longer.
func TestSeenIsForgotten(t *testing.T) {
	w := newWorld(t, intake.Options{})
	w.enrolled("a.example")
	body := reportText("Org", "1", 5, 0, "a.example")
	if _, err := w.store.Add(t.Context(), document(t, body, "sender.example")); err != nil {
		t.Fatal(err)
	}
	w.clock.pass(29 * 24 * time.Hour) // 30 days after the report's day
	if _, err := w.store.Prune(t.Context()); err != nil {
		t.Fatal(err)
	}
	if out, err := w.store.Add(t.Context(), document(t, body, "sender.example")); err != nil || out.Duplicates != 1 {
		t.Errorf("again after 30 days: %+v, %v", out, err)
	}
	w.clock.pass(24 * time.Hour)
	if gone, err := w.store.Prune(t.Context()); err != nil || gone.Entries != 1 {
		t.Errorf("%+v, %v", gone, err)
	}
	if _, err := w.store.Add(t.Context(), document(t, body, "sender.example")); !errors.Is(err, intake.ErrOutOfTime) {
		t.Errorf("again after 31 days: %v", err)
	}
}

// What is kept of a report that also tells of others has all that counts of the rest: a tlsa entry that names an MX host, too.
func TestKeptPartHasHosts(t *testing.T) {
	w := newWorld(t, intake.Options{})
	w.enrolled("a.example")
	hosts := ""
	for _, name := range []string{"mx.a.example", "mx.other.example"} {
		hosts += fmt.Sprintf(`{"policy":{"policy-type":"tlsa","policy-domain":%q},"summary":{"total-successful-session-count":2,"total-failure-session-count":7}},`, name)
	}
	body := strings.Replace(reportText("Org", "1", 5, 0, "a.example"), `"policies":[`, `"policies":[`+hosts, 1)
	out, err := w.store.Add(t.Context(), document(t, body, "sender.example"))
	if err != nil || out.Foreign != 1 || len(out.Counted) != 1 {
		t.Fatalf("%+v, %v", out, err)
	}
	var kept *tlsrpt.Report
	err = w.store.Lines(t.Context(), day(t, "2026-01-11"), func(line []byte) error {
		l, err := intake.ParseLine(line)
		if err == nil {
			kept, err = l.Report()
		}
		return err
	})
	if err != nil || kept == nil || len(kept.Policies) != 2 {
		t.Fatalf("%+v, %v", kept, err)
	}
	again := tlsrpt.Tallies(kept)
	if got := rows(t, w.store, "2026-01-10"); len(again) != 1 || again[0].Sessions != 9 || got[0] != "a.example sender.example true: 1 reports, 9 sessions, 7 failed" {
		t.Errorf("kept are %+v, counted %q", again, got)
	}
}
