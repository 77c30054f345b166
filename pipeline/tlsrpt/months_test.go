package tlsrpt_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	intake "github.com/starttls-everywhere/policylist/pipeline/tlsrpt"
	"github.com/starttls-everywhere/policylist/pipeline/tlsrpt/cells"
	"github.com/starttls-everywhere/policylist/policy/tlsrpt"
)

// contribute stores what a contributor tells of a day, and returns its pseudonym.
func (w *world) contribute(name, text string) (string, error) {
	w.t.Helper()
	d := day(w.t, text)
	c := tlsrpt.Contribution{ID: strings.Repeat("0", 32), Day: d, Entries: []tlsrpt.Contributed{{Domain: domain(w.t, "listed.example"), Type: tlsrpt.STS, Successful: 100}}}
	if err := w.store.Contribute(w.t.Context(), domain(w.t, name), c); err != nil {
		return "", err
	}
	found := ""
	return found, w.store.Contributions(w.t.Context(), d, d, func(c intake.Contributed) error {
		found = c.Pseudonym
		return nil
	})
}

// A contributor has one pseudonym in a month, another in the next, and none that can be made again once the month is closed.
func TestMonths(t *testing.T) {
	w := newWorld(t, intake.Options{})
	must := func(s string, err error) string {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	w.clock.t = time.Date(2026, 2, 1, 12, 0, 0, 0, time.UTC)
	first, second := must(w.contribute("sender.example", "2026-01-30")), must(w.contribute("sender.example", "2026-01-31"))
	w.clock.pass(48 * time.Hour)
	third := must(w.contribute("sender.example", "2026-02-01"))
	if first != second || second == third {
		t.Errorf("%s, %s, %s", first, second, third)
	}
	if other := must(w.contribute("other.example", "2026-02-02")); other == third {
		t.Error("two contributors have one pseudonym")
	}
	january := cells.MonthOf(day(t, "2026-01-30"))
	path := filepath.Join(w.dir, "months", "2026-01")
	if secret, err := os.ReadFile(path); err != nil || len(secret) != 64+1 {
		t.Errorf("%q, %v", secret, err)
	}
	// A second name for the file shows what becomes of its blocks.
	old := filepath.Join(t.TempDir(), "old")
	if err := os.Link(path, old); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(w.store.CloseMonth(t.Context(), january), w.store.CloseMonth(t.Context(), january)); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(path); !os.IsNotExist(err) {
		t.Errorf("the secret stays: %v", err)
	}
	if text, err := os.ReadFile(old); err != nil || strings.Trim(string(text), "\x00") != "" {
		t.Errorf("the secret's bytes stay: %q, %v", text, err)
	}
	if _, err := w.contribute("sender.example", "2026-01-30"); !errors.Is(err, intake.ErrClosed) {
		t.Errorf("a contribution to a closed month: %v", err)
	}
	if _, err := os.Stat(path); !os.IsNotExist(err) {
		t.Errorf("a contribution that was refused made the secret anew: %v", err)
	}
}

// Nobody has to publish for a month to be closed.
func TestOldMonthsClose(t *testing.T) {
	w := newWorld(t, intake.Options{})
	if _, err := w.contribute("sender.example", "2026-01-10"); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		at   string
		want string
	}{{"2026-02-14", "[]"}, {"2026-02-15", "[2026-01]"}, {"2026-02-16", "[]"}} {
		w.clock.t = day(t, c.at).Begin()
		if gone, err := w.store.Prune(t.Context()); err != nil || fmt.Sprint(gone.Months) != c.want {
			t.Errorf("%s: %v, %v; want %s", c.at, gone.Months, err, c.want)
		}
	}
}

// A day that is not over, or long gone, is no contributor's.
func TestContributionTimes(t *testing.T) {
	w := newWorld(t, intake.Options{})
	for text, ok := range map[string]bool{"2026-01-12": false, "2026-01-11": false, "2026-01-10": true, "2026-01-07": true, "2026-01-06": false} {
		if _, err := w.contribute("sender.example", text); ok != (err == nil) || !ok && !errors.Is(err, intake.ErrOutOfTime) {
			t.Errorf("%s: %v", text, err)
		}
	}
	if _, err := w.contribute("sender.example", "2026-01-10"); !errors.Is(err, intake.ErrSecond) {
		t.Errorf("a second: %v", err)
	}
}
