package tlsrpt_test

import (
	"bytes"
	"crypto/ed25519"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	intake "github.com/starttls-everywhere/policylist/pipeline/tlsrpt"
	"github.com/starttls-everywhere/policylist/policy/tlsrpt"
)

// All names of an organisation are one reporter, by whatever way a report comes: a wildcard in its DNS proves any number.
func TestNamesOfOneReporter(t *testing.T) {
	w := newWorld(t, intake.Options{})
	w.enrolled("a.example")
	in := w.newIntake(intake.IntakeOptions{})
	key := contributorKey()
	for i, name := range []string{"evil.example", "a.evil.example", "b.evil.example"} {
		if err := w.lab.AddRecord(keyRecord(name, key)); err != nil {
			t.Fatal(err)
		}
		body := []byte(reportText("Evil", fmt.Sprint(i), 1, 0, "a.example"))
		for range 2 {
			status, says := post(t, in, w.path("a.example"), body, tlsrpt.ContributorHeader, name, tlsrpt.SignatureHeader, tlsrpt.SignContribution(key, host, domain(t, name), body))
			if status > 201 {
				t.Fatal(status, says)
			}
		}
	}
	if got := rows(t, w.store, "2026-01-10"); len(got) != 1 || got[0] != "a.example evil.example true: 3 reports, 3 sessions, 0 failed" {
		t.Errorf("%q", got)
	}
}

// One source does not use up the hour of a domain whose address it has read: others still report.
func TestOneSourceFloodsADomain(t *testing.T) {
	w := newWorld(t, intake.Options{})
	w.enrolled("a.example", "b.example")
	in := w.newIntake(intake.IntakeOptions{PerToken: 80, PerSource: 1000})
	send := func(from, about, id string) int {
		r := httptest.NewRequest(http.MethodPost, "https://"+host+w.path(about), strings.NewReader(reportText("Sender", id, 1, 0, about)))
		r.RemoteAddr = from + ":1234"
		rec := httptest.NewRecorder()
		in.ServeHTTP(rec, r)
		return rec.Code
	}
	taken := 0
	for i := range 100 {
		if send("192.0.2.1", "a.example", fmt.Sprint(i)) == 201 {
			taken++
		}
	}
	if taken != 10 {
		t.Errorf("%d of one source were taken", taken)
	}
	if got := send("192.0.2.2", "a.example", "other"); got != 201 {
		t.Errorf("another source: %d", got)
	}
	if got := send("192.0.2.1", "b.example", "other"); got != 201 {
		t.Errorf("about another domain: %d", got)
	}
	w.clock.pass(time.Hour)
	if got := send("192.0.2.1", "a.example", "later"); got != 201 {
		t.Errorf("an hour later: %d", got)
	}
}

// A key, and a limit, from a time that has not come yet are none: the clock was set back.
func TestClockSetBack(t *testing.T) {
	w := newWorld(t, intake.Options{})
	w.enrolled("a.example")
	in := w.newIntake(intake.IntakeOptions{PerSource: 3})
	name := tlsrpt.KeyLabel + ".sender.example"
	send := func(key ed25519.PrivateKey, id string) int {
		t.Helper()
		body := []byte(reportText("Sender", id, 1, 0, "a.example"))
		status, _ := post(t, in, w.path("a.example"), body, tlsrpt.ContributorHeader, "sender.example", tlsrpt.SignatureHeader, tlsrpt.SignContribution(key, host, domain(t, "sender.example"), body))
		return status
	}
	if err := w.lab.AddRecord(keyRecord("sender.example", contributorKey())); err != nil {
		t.Fatal(err)
	}
	const ahead = 20 * 24 * time.Hour
	w.clock.pass(ahead)
	for i := range 4 {
		send(contributorKey(), fmt.Sprint("ahead", i))
	}
	w.clock.pass(-ahead)
	other := ed25519.NewKeyFromSeed(bytes.Repeat([]byte{1}, ed25519.SeedSize))
	if err := w.lab.RemoveRecords(name, "TXT"); err != nil {
		t.Fatal(err)
	}
	if err := w.lab.AddRecord(keyRecord("sender.example", other)); err != nil {
		t.Fatal(err)
	}
	if got := send(other, "1"); got != 429 {
		t.Errorf("at once: %d", got)
	}
	w.clock.pass(time.Hour)
	if got := send(other, "2"); got != 201 {
		t.Errorf("an hour later: %d", got)
	}
}
