package tlsrpt_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/starttls-everywhere/policylist/mirror/durable"
	intake "github.com/starttls-everywhere/policylist/pipeline/tlsrpt"
)

// What counts, what is only shown, and what is dropped.
func TestAdd(t *testing.T) {
	w := newWorld(t, intake.Options{})
	w.enrolled("a.example", "b.example")
	for _, c := range []struct {
		name, body, submitter, recipient string
		want                             string
	}{
		{"authenticated", reportText("Sender", "1", 5, 2, "a.example"), "sender.example", "", "[a.example] true 0 0 0"},
		{"the same again", reportText("Sender", "1", 5, 2, "a.example"), "sender.example", "", "[] true 1 0 0"},
		{"another report", reportText("Sender", "2", 1, 0, "a.example"), "sender.example", "", "[a.example] true 0 0 0"},
		{"another submitter, the same id", reportText("Sender", "1", 1, 0, "a.example"), "other.example", "", "[a.example] true 0 0 0"},
		{"nobody proven", reportText("Sender", "1", 9, 9, "a.example"), "", "", "[a.example] false 0 0 0"},
		{"nobody proven, again", reportText("Sender", "1", 9, 9, "a.example"), "", "", "[] false 1 0 0"},
		{"two domains", reportText("Sender", "3", 1, 0, "a.example", "b.example"), "sender.example", "", "[a.example b.example] true 0 0 0"},
		{"half of it known", reportText("Sender", "3", 1, 0, "a.example", "b.example", "c.example"), "sender.example", "", "[] true 2 1 0"},
		{"not enrolled (case 32)", reportText("Sender", "4", 1, 0, "c.example"), "sender.example", "", "[] true 0 1 0"},
		{"sent to another's address", reportText("Sender", "5", 1, 0, "a.example", "b.example"), "sender.example", "b.example", "[b.example] true 0 1 0"},
		{"unattributed (case 5)", strings.Replace(reportText("Sender", "6", 1, 2, "a.example"), `,"policy-domain":"a.example"`, "", 1), "sender.example", "", "[] true 0 0 3"},
		{"no policies (case 23)", reportText("Sender", "7", 1, 0), "sender.example", "", "[] true 0 0 0"},
	} {
		d := document(t, c.body, c.submitter)
		if c.recipient != "" {
			d.Recipient = domain(t, c.recipient)
		}
		out, err := w.store.Add(t.Context(), d)
		if got := fmt.Sprint(out.Counted, out.Authenticated, out.Duplicates, out.Foreign, out.Unattributed); err != nil || got != c.want {
			t.Errorf("%s: %s, %v; want %s", c.name, got, err, c.want)
		}
		if out.Empty != (c.name == "no policies (case 23)") {
			t.Errorf("%s: empty is %v", c.name, out.Empty)
		}
	}
	want := []string{
		"a.example other.example true: 1 reports, 1 sessions, 0 failed",
		"a.example sender.example true: 3 reports, 9 sessions, 2 failed",
		"a.example Sender false: 1 reports, 18 sessions, 9 failed",
		"b.example sender.example true: 2 reports, 2 sessions, 0 failed",
	}
	if got := rows(t, w.store, "2026-01-10"); !slices.Equal(got, want) {
		t.Errorf("rows\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	counts, err := w.store.DayCounts(t.Context(), day(t, "2026-01-11"), day(t, "2026-01-11"))
	wanted := map[intake.Count]int64{intake.CountReports: 5, intake.CountShown: 1, intake.CountDuplicates: 4, intake.CountForeign: 3, intake.CountUnattributed: 1, intake.CountEmpty: 1}
	if fmt.Sprint(counts) != fmt.Sprint(wanted) || err != nil {
		t.Errorf("counts %v, %v; want %v", counts, err, wanted)
	}
}

// The day's lines are the documents, each once; a document that tells of others as well is kept without them.
func TestLines(t *testing.T) {
	w := newWorld(t, intake.Options{})
	w.enrolled("a.example")
	whole := strings.Replace(reportText("Sender", "1", 5, 2, "a.example"), "Sender", `S\u001b[2J`, 1)
	for _, d := range []intake.Document{
		document(t, whole, "sender.example"), document(t, whole, "sender.example"), document(t, reportText("Sender", "2", 1, 0, "a.example", "secret.example"), ""),
	} {
		if _, err := w.store.Add(t.Context(), d); err != nil {
			t.Fatal(err)
		}
	}
	var all []*intake.Line
	err := w.store.Lines(t.Context(), day(t, "2026-01-11"), func(line []byte) error {
		l, err := intake.ParseLine(line)
		all = append(all, l)
		return err
	})
	if err != nil || len(all) != 2 {
		t.Fatalf("%d lines, %v", len(all), err)
	}
	if l := all[0]; string(l.Body) != whole || l.Standing != "authenticated" || l.Reporter != "sender.example" || l.Received != "2026-01-11T12:00:00Z" {
		t.Errorf("%+v", l)
	}
	if l := all[1]; strings.Contains(string(l.Body), "secret") || l.Standing != "shown" || l.Reporter != "Sender" || fmt.Sprint(l.Domains) != "[a.example]" {
		t.Errorf("%+v\n%s", l, l.Body)
	}
	if r, err := all[1].Report(); err != nil || len(r.Policies) != 1 || r.Policies[0].Successful != 1 {
		t.Errorf("%+v, %v", r, err)
	}
}

// A report of a day that is long gone, or to come, fills no tallies.
func TestOutOfTime(t *testing.T) {
	w := newWorld(t, intake.Options{})
	w.enrolled("a.example")
	text := reportText("Sender", "1", 5, 2, "a.example")
	w.clock.pass(-72 * time.Hour)
	if _, err := w.store.Add(t.Context(), document(t, text, "")); !errors.Is(err, intake.ErrOutOfTime) {
		t.Errorf("a day ahead: %v", err)
	}
	w.clock.pass(34 * 24 * time.Hour)
	if _, err := w.store.Add(t.Context(), document(t, text, "")); !errors.Is(err, intake.ErrOutOfTime) {
		t.Errorf("a month ago: %v", err)
	}
	if _, err := w.store.Add(t.Context(), document(t, `{"report-id":"1","policies":[]}`, "")); !errors.Is(err, intake.ErrNoDay) {
		t.Errorf("no range: %v", err)
	}
}

// Whoever makes up names of reporters gets a number of rows, and one for the rest.
func TestCrowdOfReporters(t *testing.T) {
	w := newWorld(t, intake.Options{})
	w.enrolled("a.example")
	for i := range 100 {
		if _, err := w.store.Add(t.Context(), document(t, reportText(fmt.Sprint("org", i), "1", 1, 0, "a.example"), "")); err != nil {
			t.Fatal(err)
		}
	}
	got := rows(t, w.store, "2026-01-10")
	if len(got) != 65 || got[0] != "a.example (others) false: 36 reports, 36 sessions, 0 failed" {
		t.Errorf("%d rows, the first %q", len(got), got[0])
	}
}

// Two processes write at once, and somebody reads: nothing is lost, counted twice or refused.
func TestShared(t *testing.T) {
	w := newWorld(t, intake.Options{})
	w.enrolled("a.example")
	stores := []*intake.Store{w.store, w.open(intake.Options{}), w.open(intake.Options{})}
	const writers, each = 8, 25
	var group sync.WaitGroup
	errs := make(chan error, writers*each*2)
	for i := range writers {
		group.Go(func() {
			for j := range each {
				d := document(t, reportText("Sender", fmt.Sprint(i/2, "-", j), 1, 0, "a.example"), "sender.example") // each by two writers
				_, err := stores[i%len(stores)].Add(t.Context(), d)
				errs <- err
			}
		})
	}
	group.Go(func() {
		for range 20 {
			errs <- stores[2].Rows(t.Context(), 0, day(t, "2026-02-01"), func(intake.Row) error { return nil })
		}
	})
	group.Wait()
	close(errs)
	for err := range errs {
		if err != nil {
			t.Error(err)
		}
	}
	if got := rows(t, w.store, "2026-01-10"); len(got) != 1 || got[0] != "a.example sender.example true: 100 reports, 100 sessions, 0 failed" {
		t.Errorf("%q", got)
	}
}

// What a killed process wrote behind its last transaction is no line, and is gone with the next.
func TestTornLines(t *testing.T) {
	w := newWorld(t, intake.Options{})
	w.enrolled("a.example")
	add := func(id string) {
		t.Helper()
		if _, err := w.store.Add(t.Context(), document(t, reportText("Sender", id, 1, 0, "a.example"), "")); err != nil {
			t.Fatal(err)
		}
	}
	lines := func() (n int) {
		t.Helper()
		err := w.store.Lines(t.Context(), day(t, "2026-01-11"), func(line []byte) error {
			_, err := intake.ParseLine(line)
			n++
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	add("1")
	path := filepath.Join(w.dir, "raw", "2026-01-11.jsonl")
	f, err := os.OpenFile(path, os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.WriteString(strings.Repeat("{\"torn", 1000)); err != nil {
		t.Fatal(err)
	}
	f.Close()
	if n := lines(); n != 1 {
		t.Errorf("%d lines", n)
	}
	add("2")
	if n := lines(); n != 2 {
		t.Errorf("%d lines", n)
	}
	if text, err := os.ReadFile(path); err != nil || strings.Contains(string(text), "torn") {
		t.Errorf("%s, %v", text, err)
	}
}

// A full store says so, changes nothing, and takes in again once there is room.
func TestFull(t *testing.T) {
	w := newWorld(t, intake.Options{Space: 1 << 17})
	w.enrolled("a.example")
	big := reportText(strings.Repeat("x", 2000), "%s", 1, 0, "a.example")
	n := 0
	var err error
	for ; err == nil && n < 1000; n++ {
		_, err = w.store.Add(t.Context(), document(t, fmt.Sprintf(strings.Replace(big, `"contact-info":`, `"x":"`+strings.Repeat("y", 4000)+`","contact-info":`, 1), fmt.Sprint(n)), "sender.example"))
	}
	if !errors.Is(err, intake.ErrFull) || n < 3 {
		t.Fatalf("after %d documents: %v", n, err)
	}
	want := fmt.Sprintf("a.example sender.example true: %d reports, %d sessions, 0 failed", n-1, n-1)
	if got := rows(t, w.store, "2026-01-10"); len(got) != 1 || got[0] != want {
		t.Errorf("%q, want %q", got, want)
	}
	w.clock.pass(8 * 24 * time.Hour)
	if _, err := w.store.Prune(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := w.store.Add(t.Context(), document(t, fmt.Sprintf(big, "new"), "sender.example")); err != nil {
		t.Errorf("after a week: %v", err)
	}
}

// Another user's store is an error that says so; root may look at it, and leaves nothing in it that its owner cannot write.
func TestOtherUser(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("needs root, to be two users")
	}
	const user = 65533
	w := newWorld(t, intake.Options{})
	w.enrolled("a.example")
	if err := os.Chown(w.dir, user, user); err != nil {
		t.Fatal(err)
	}
	s := w.open(intake.Options{})
	if _, err := s.Add(t.Context(), document(t, reportText("Sender", "1", 1, 0, "a.example"), "")); !errors.Is(err, intake.ErrDenied) {
		t.Errorf("root writes: %v", err)
	}
	w.store = s
	if _, err := w.contribute("sender.example", "2026-01-10"); !errors.Is(err, intake.ErrDenied) {
		t.Errorf("root makes a secret: %v", err)
	}
	if all, err := s.Enrolments(t.Context()); err != nil || len(all) != 1 {
		t.Errorf("root reads: %v, %v", all, err)
	}
	done := make(chan error)
	go func() {
		runtime.LockOSThread() // and never unlocked: the thread ends with this goroutine
		if err := syscall.Setfsuid(user - 1); err != nil {
			done <- err
			return
		}
		_, err := intake.Open(w.dir, intake.Options{})
		done <- err
	}()
	if err := <-done; !errors.Is(err, intake.ErrDenied) {
		t.Errorf("a stranger opens it: %v", err)
	}
}

// A store that somebody holds is waited for, and then an error that says so; nothing of the document is left.
func TestBusy(t *testing.T) {
	w := newWorld(t, intake.Options{})
	w.enrolled("a.example")
	s := w.open(intake.Options{Wait: 20 * time.Millisecond})
	w.store = s
	in := w.newIntake(intake.IntakeOptions{})
	unlock, err := durable.Lock(filepath.Join(w.dir, "lock"))
	if err != nil {
		t.Fatal(err)
	}
	d := document(t, reportText("Sender", "1", 1, 0, "a.example"), "")
	if _, err := s.Add(t.Context(), d); !errors.Is(err, intake.ErrBusy) {
		t.Errorf("while it is held: %v", err)
	}
	if _, err := s.Enrolments(t.Context()); !errors.Is(err, intake.ErrBusy) {
		t.Errorf("reading while it is held: %v", err)
	}
	unlock()
	if out, err := s.Add(t.Context(), d); err != nil || len(out.Counted) != 1 {
		t.Errorf("once it is free: %+v, %v", out, err)
	}
	unlock, err = durable.Lock(filepath.Join(w.dir, "lock"))
	if err != nil {
		t.Fatal(err)
	}
	defer unlock()
	if status, says := post(t, in, w.path("a.example"), d.Body); status != 503 {
		t.Errorf("a POST while it is held: %d %s", status, says)
	}
}

// Documents stay 7 days, tallies 90, and nothing longer.
func TestPrune(t *testing.T) {
	w := newWorld(t, intake.Options{})
	w.enrolled("a.example")
	if _, err := w.store.Add(t.Context(), document(t, reportText("Sender", "1", 1, 0, "a.example"), "")); err != nil {
		t.Fatal(err)
	}
	raw := filepath.Join(w.dir, "raw", "2026-01-11.jsonl")
	kept := func() (documents, tallies bool) {
		t.Helper()
		if _, err := w.store.Prune(t.Context()); err != nil {
			t.Fatal(err)
		}
		_, err := os.Stat(raw)
		return err == nil, len(rows(t, w.store, "2026-01-10")) == 1
	}
	for _, c := range []struct {
		pass               int // days
		documents, tallies bool
	}{{0, true, true}, {6, true, true}, {1, false, true}, {81, false, true}, {1, false, false}} {
		w.clock.pass(time.Duration(c.pass) * 24 * time.Hour)
		if d, ta := kept(); d != c.documents || ta != c.tallies {
			t.Errorf("at %s: documents %v, tallies %v; want %v, %v", w.clock.now(), d, ta, c.documents, c.tallies)
		}
	}
	counts, err := w.store.DayCounts(t.Context(), 0, 30000)
	w.clock.pass(24 * time.Hour)
	kept()
	if after, _ := w.store.DayCounts(t.Context(), 0, 30000); err != nil || len(counts) != 1 || len(after) != 0 {
		t.Errorf("counts %v, %v, then %v", counts, err, after)
	}
}

// A row's day comes back; the reader judges any line.
func FuzzParseLine(f *testing.F) {
	l := intake.Line{Body: []byte("{}"), Codes: []string{}, Domains: []string{"a.example"}, Kind: "tlsrpt", Standing: "shown", Via: intake.ViaFile,
		SHA256: "44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a"}
	text, err := l.Append(nil)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(text)
	f.Add([]byte("{}"))
	f.Fuzz(func(t *testing.T, data []byte) {
		l, err := intake.ParseLine(data)
		if err != nil {
			return
		}
		if again, err := l.Append(nil); err != nil || string(again) != string(data) {
			t.Errorf("%q becomes %q, %v", data, again, err)
		}
	})
}
