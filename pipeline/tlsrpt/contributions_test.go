package tlsrpt_test

import (
	"bytes"
	"crypto/ed25519"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/starttls-everywhere/policylist/pipeline/lab"
	intake "github.com/starttls-everywhere/policylist/pipeline/tlsrpt"
	"github.com/starttls-everywhere/policylist/policy/tlsrpt"
)

// contributorKey is of the seed 00…00.
func contributorKey() ed25519.PrivateKey {
	return ed25519.NewKeyFromSeed(make([]byte, ed25519.SeedSize))
}

// contribution is a signed contribution of 2026-01-10.
func contribution(t testing.TB, name, id string) (body []byte, headers []string) {
	t.Helper()
	body, err := tlsrpt.MarshalContribution(tlsrpt.Contribution{ID: strings.Repeat(id, 32), Day: day(t, "2026-01-10"),
		Entries: []tlsrpt.Contributed{{Domain: domain(t, "listed.example"), Type: tlsrpt.STS, Successful: 100}}})
	if err != nil {
		t.Fatal(err)
	}
	return body, []string{tlsrpt.ContributorHeader, name, tlsrpt.SignatureHeader, tlsrpt.SignContribution(contributorKey(), host, domain(t, name), body)}
}

func keyRecord(name string, key ed25519.PrivateKey) string {
	return fmt.Sprintf("%s.%s 60 IN TXT %q", tlsrpt.KeyLabel, name, tlsrpt.KeyRecord(key.Public().(ed25519.PublicKey)))
}

// A contribution counts once for its contributor and day, under a name that nobody can take back, and not without its key.
func TestContributions(t *testing.T) {
	w := newWorld(t, intake.Options{})
	w.startLab()
	if err := w.lab.AddRecord(keyRecord("sender.example", contributorKey())); err != nil {
		t.Fatal(err)
	}
	canary := func(tlsrpt.Contribution) []tlsrpt.Notice { return []tlsrpt.Notice{tlsrpt.NoticeCanary} }
	in := w.newIntake(intake.IntakeOptions{Notices: canary})
	body, signed := contribution(t, "sender.example", "0")
	second, signedToo := contribution(t, "sender.example", "1")
	stranger, signedByStranger := contribution(t, "stranger.example", "2")
	plain := []byte(reportText("Sender", "1", 100, 0, "listed.example"))
	signedPlain := []string{signed[0], signed[1], signed[2], tlsrpt.SignContribution(contributorKey(), host, domain(t, "sender.example"), plain)}
	for _, c := range []struct {
		name    string
		body    []byte
		headers []string
		status  int
		want    tlsrpt.ReceiptStatus
	}{
		{"no signature", body, nil, 403, tlsrpt.ReceiptRefused},
		{"another body", second, signed, 403, tlsrpt.ReceiptRefused},
		{"no key", stranger, signedByStranger, 403, tlsrpt.ReceiptRefused},
		{"no contribution", plain, signedPlain, 400, tlsrpt.ReceiptRefused},
		{"good", body, signed, 201, tlsrpt.ReceiptAccepted},
		{"good again", body, signed, 200, tlsrpt.ReceiptDuplicate},
		{"a second of the day", second, signedToo, 200, tlsrpt.ReceiptDuplicate},
		{"too large", bytes.Repeat([]byte(" "), tlsrpt.MaxContribution+1), signed, 413, tlsrpt.ReceiptRefused},
	} {
		status, text := post(t, in, tlsrpt.FeedbackPath, c.body, c.headers...)
		var r tlsrpt.Receipt
		if err := json.Unmarshal([]byte(text), &r); err != nil || status != c.status || r.Status != c.want || (r.Reason == "") != (c.want != tlsrpt.ReceiptRefused) {
			t.Errorf("%s: %d %s, %v", c.name, status, text, err)
		}
		if accepted := c.want == tlsrpt.ReceiptAccepted; accepted != (len(r.Notices) == 1) {
			t.Errorf("%s: notices %v", c.name, r.Notices)
		}
	}
	n := 0
	err := w.store.Contributions(t.Context(), 0, 30000, func(c intake.Contributed) error {
		n++
		if c.ID != strings.Repeat("0", 32) || len(c.Pseudonym) != 32 || c.Day != day(t, "2026-01-10") || len(c.Entries) != 1 {
			t.Errorf("%+v", c)
		}
		return nil
	})
	if n != 1 || err != nil {
		t.Errorf("%d contributions, %v", n, err)
	}
	w.clock.pass(8 * 24 * time.Hour)
	late, signedLate := contribution(t, "sender.example", "3")
	if status, _ := post(t, in, tlsrpt.FeedbackPath, late, signedLate...); status != 400 {
		t.Errorf("a week late: %d", status)
	}
}

// A key is looked up once a day, and at once when it was changed; without the DNS nothing is refused for good.
func TestContributorKeys(t *testing.T) {
	w := newWorld(t, intake.Options{})
	w.enrolled("a.example")
	name := tlsrpt.KeyLabel + ".sender.example"
	other := ed25519.NewKeyFromSeed(bytes.Repeat([]byte{1}, ed25519.SeedSize))
	in := w.newIntake(intake.IntakeOptions{})
	n := 0
	send := func(key ed25519.PrivateKey) int {
		t.Helper()
		n++
		body := []byte(reportText("Sender", fmt.Sprint(n), 1, 0, "a.example"))
		status, _ := post(t, in, w.path("a.example"), body, tlsrpt.ContributorHeader, "Sender.Example", tlsrpt.SignatureHeader, tlsrpt.SignContribution(key, host, domain(t, "sender.example"), body))
		return status
	}
	if err := w.lab.SetFault(name, "TXT", lab.DNSServFail); err != nil {
		t.Fatal(err)
	}
	if got := send(contributorKey()); got != 503 {
		t.Errorf("no DNS: %d", got)
	}
	if err := w.lab.SetFault(name, "TXT", ""); err != nil {
		t.Fatal(err)
	}
	set := func(key ed25519.PrivateKey) {
		t.Helper()
		if err := w.lab.RemoveRecords(name, "TXT"); err != nil {
			t.Fatal(err)
		}
		if err := w.lab.AddRecord(keyRecord("sender.example", key)); err != nil {
			t.Fatal(err)
		}
	}
	set(contributorKey())
	before := w.lab.Asked(name, "TXT")
	if a, b := send(contributorKey()), send(contributorKey()); a != 201 || b != 201 || w.lab.Asked(name, "TXT") != before+1 {
		t.Errorf("%d, %d, after %d questions", a, b, w.lab.Asked(name, "TXT")-before)
	}
	set(other)
	if got := send(other); got != 403 {
		t.Errorf("a key that was changed within five minutes: %d", got)
	}
	w.clock.pass(6 * time.Minute)
	if a, b := send(other), send(contributorKey()); a != 201 || b != 403 {
		t.Errorf("the new key: %d, the old: %d", a, b)
	}
	want := "a.example sender.example true: 3 reports, 3 sessions, 0 failed"
	if got := rows(t, w.store, "2026-01-10"); len(got) != 1 || got[0] != want {
		t.Errorf("%q", got)
	}
}
