package leaveout

import (
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/starttls-everywhere/policylist/mirror/socketmap"
	"github.com/starttls-everywhere/policylist/policy"
	"github.com/starttls-everywhere/policylist/policy/discovery"
)

// lines are spelled as a book has them.
var lines = []string{
	"a.example 2026-03-01T12:00:00Z dane 2026-03-01T12:00:00Z 2026-03-01T12:00:00Z",
	"b.example 2026-03-02T12:00:00Z none 2026-03-01T12:00:00Z -",
	"c.example 2026-03-02T12:00:00Z - - -",
	"d.example - - - -",
}

// What a book says reads back; every other spelling of it is refused.
func TestAnswerLines(t *testing.T) {
	for _, line := range lines {
		d, a, err := parseAnswer(line)
		if err != nil || a.format(d) != line {
			t.Errorf("%q: %+v, %v", line, a, err)
		}
	}
	for _, bad := range []string{
		"", "a.example", "a.example - - - - -", "a..example - - - -", "A.example - - - -", "a.example  - - -",
		"a.example 2026-03-01T12:00:00+00:00 - - -",
		"a.example 2026-03-01T12:00:00Z dane - -",                    // an answer without a time
		"a.example 2026-03-01T12:00:00Z - 2026-03-01T12:00:00Z -",    // a time without an answer
		"a.example 2026-03-01T12:00:00Z DANE 2026-03-01T12:00:00Z -", //
		"a.example - none 2026-13-01T12:00:00Z -",
	} {
		if _, a, err := parseAnswer(bad); !errors.Is(err, ErrAnswer) {
			t.Errorf("%q: %+v, %v", bad, a, err)
		}
	}
}

func FuzzAnswer(f *testing.F) {
	for _, line := range lines {
		f.Add(line)
	}
	f.Fuzz(func(t *testing.T, line string) {
		d, a, err := parseAnswer(line)
		if err == nil && a.format(d) != line {
			t.Errorf("%q is accepted and spelled %q", line, a.format(d))
		}
	})
}

// A damaged line costs its own domain's answer and no other's, and is told.
func TestDamagedBook(t *testing.T) {
	path := filepath.Join(t.TempDir(), "book")
	text := lines[0] + "\n" + strings.Replace(lines[1], "none", "some", 1) + "\n" + lines[2] + "\n"
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	live := &socketmap.Live{Now: time.Now}
	b, err := Open(path, live)
	if !errors.Is(err, ErrAnswer) || !strings.Contains(err.Error(), "1 lines left out: line 2") {
		t.Errorf("%v", err)
	}
	if len(b.answers) != 2 {
		t.Errorf("%d answers", len(b.answers))
	}
	if err := b.Save(); err != nil {
		t.Fatal(err)
	}
	if got, _ := os.ReadFile(path); string(got) != lines[0]+"\n"+lines[2]+"\n" {
		t.Errorf("saved:\n%s", got)
	}
	if err := os.WriteFile(path, []byte(lines[0]+"\n"+strings.Repeat("x", 2*maxLine)+"\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	if b, err := Open(path, live); err == nil || len(b.answers) != 1 {
		t.Errorf("with an endless line: %d answers, %v", len(b.answers), err)
	}
	if _, err := Open(filepath.Dir(path), live); err == nil {
		t.Error("a folder is no book, and nobody is told")
	}
}

// Whose turn it is: first who is left out, then who was never asked, then who was not asked for longest; nobody twice a day.
func TestTurns(t *testing.T) {
	now := time.Date(2026, 3, 10, 12, 0, 0, 0, time.UTC)
	live := &socketmap.Live{Now: func() time.Time { return now }, DANE: true}
	ago := func(d time.Duration) time.Time { return now.Add(-d) }
	known := func(d time.Duration) Answer { return Answer{Asked: ago(d), DANEAt: ago(d)} }
	secure := known(24 * time.Hour)
	secure.DANE = true
	b := &Book{live: live, answers: map[policy.Domain]Answer{
		domain(t, "fresh.example"):    known(time.Hour),
		domain(t, "old.example"):      known(48 * time.Hour),
		domain(t, "older.example"):    known(96 * time.Hour),
		domain(t, "secure.example"):   secure,
		domain(t, "failed.example"):   {Asked: ago(2 * time.Hour)},
		domain(t, "failing.example"):  {Asked: ago(time.Minute)},
		domain(t, "future.example"):   known(-48 * time.Hour),
		domain(t, "unlisted.example"): known(48 * time.Hour),
	}}
	var listed []policy.Domain
	for _, name := range []string{"failed.example", "failing.example", "fresh.example", "future.example", "new.example", "old.example", "older.example", "secure.example"} {
		listed = append(listed, domain(t, name))
	}
	got := ""
	for _, d := range b.due(listed) {
		got += d.String() + " "
	}
	if want := "secure.example new.example older.example old.example failed.example future.example "; got != want {
		t.Errorf("%s\nwant %s", got, want)
	}
	if _, ok := b.answers[domain(t, "unlisted.example")]; ok {
		t.Error("who is listed no longer is remembered")
	}
}

func domain(t *testing.T, name string) policy.Domain {
	t.Helper()
	d, err := policy.ParseDomain(name)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// A resolver that is down costs an update a moment, not its whole time; one that fails only for some is asked on.
func TestRoundIsGivenUp(t *testing.T) {
	silent, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()
	dns, err := discovery.NewClient(discovery.Options{Resolver: silent.LocalAddr().(*net.UDPAddr).AddrPort(), Timeout: time.Millisecond, Attempts: 1})
	if err != nil {
		t.Fatal(err)
	}
	live := &socketmap.Live{Now: time.Now, DNS: dns, DANE: true}
	var all []policy.Domain
	for i := range 10 * givenUp {
		all = append(all, domain(t, fmt.Sprintf("d%d.example", i)))
	}
	book := &Book{live: live, answers: make(map[policy.Domain]Answer)}
	r := book.Ask(t.Context(), all, Limits{Most: len(all), Within: time.Minute})
	if !r.GivenUp || r.Asked < givenUp || r.Asked > givenUp+askers || r.Unanswered != r.Asked || r.Waiting != len(all)-r.Asked {
		t.Errorf("%+v", r)
	}
}

// What the end of the round cuts short was not asked: neither is the answer forgotten, nor the attempt counted.
func TestCutShort(t *testing.T) {
	silent, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()
	dns, err := discovery.NewClient(discovery.Options{Resolver: silent.LocalAddr().(*net.UDPAddr).AddrPort(), TrustAD: true})
	if err != nil {
		t.Fatal(err)
	}
	now := time.Date(2026, 3, 10, 12, 0, 0, 0, time.UTC)
	live := &socketmap.Live{Now: func() time.Time { return now }, DNS: dns, DANE: true, Fetcher: &discovery.Fetcher{}}
	a, b := domain(t, "a.example"), domain(t, "b.example")
	old := Answer{Asked: now.Add(-24 * time.Hour), DANE: true, DANEAt: now.Add(-24 * time.Hour)}
	book := &Book{live: live, answers: map[policy.Domain]Answer{a: old}}
	if r := book.Ask(t.Context(), []policy.Domain{a, b}, Limits{Most: 10, Within: 50 * time.Millisecond}); r != (Round{Waiting: 2}) {
		t.Errorf("%+v", r)
	}
	if got := book.answers[a]; got != old || len(book.answers) != 1 {
		t.Errorf("%+v", book.answers)
	}
}
