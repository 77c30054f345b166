package live

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/starttls-everywhere/policylist/policy"
)

// A domain is looked at once in a cooldown, whoever asks; who asks gets the same answer.
func TestCooldown(t *testing.T) {
	w := newWorld(t, nil)
	first := w.result(w.ask("a.example", home))
	w.wait()
	w.pass(10*time.Minute - time.Second)
	if again := w.result(w.ask("A.example", "198.51.100.1:1")); again != first || w.seen("a.example") != 1 {
		t.Errorf("%s, %s, %d looks", first, again, w.seen("a.example"))
	}
	w.pass(time.Second)
	second := w.result(w.ask("a.example", home))
	w.wait()
	if second == first || w.seen("a.example") != 2 {
		t.Errorf("after the cooldown %s, %d looks", second, w.seen("a.example"))
	}
	if rec := w.get(first, home); rec.Code != http.StatusNotFound {
		t.Errorf("the older result: %d", rec.Code)
	}
	w.pass(resultLife)
	if rec := w.get(second, home); rec.Code != http.StatusNotFound {
		t.Errorf("an hour later: %d", rec.Code)
	}
}

// A network asks a few times an hour, and then has to wait; others do not.
func TestPerHour(t *testing.T) {
	w := newWorld(t, func(o *Options) { o.PerHour = 3 })
	for i := range 3 {
		w.result(w.ask(fmt.Sprintf("a%d.example", i), home))
		w.wait()
	}
	rec := w.ask("b.example", home)
	if rec.Code != http.StatusTooManyRequests || rec.Header().Get("Retry-After") != "1201" {
		t.Errorf("a fourth: %d %v", rec.Code, rec.Header())
	}
	if rec := w.ask("c.example", "198.51.100.1:1"); rec.Code != 303 {
		t.Errorf("another: %d", rec.Code)
	}
	w.pass(21 * time.Minute)
	if rec := w.ask("b.example", home); rec.Code != 303 {
		t.Errorf("later: %d", rec.Code)
	}
}

// Forms that a network's limit turns away use up no room for others' tokens.
func TestTurnedAwayTokens(t *testing.T) {
	w := newWorld(t, func(o *Options) { o.PerHour = 3 })
	for range 10 {
		w.ask("a.example", home)
	}
	if n := len(w.server.tokens.spent); n != 3 {
		t.Errorf("one network used up %d tokens", n)
	}
}

// A look that brings the program down is the end of that look only, and the log does not tell whose it was.
func TestPanic(t *testing.T) {
	w := newWorld(t, nil)
	good := w.report
	w.report = func(d policy.Domain) (Report, error) { panic("at " + d.String()) }
	path := w.result(w.ask("a.example", home))
	w.wait()
	if page, doc := w.get(path, home), w.get(path+"/json", home); page.Code != http.StatusInternalServerError || doc.Code != http.StatusInternalServerError {
		t.Errorf("%d, %d", page.Code, doc.Code)
	}
	if log := w.log.String(); !strings.Contains(log, "panicked") || strings.Contains(log, "a.example") {
		t.Errorf("the log: %q", log)
	}
	w.report = good
	w.read(w.ask("b.example", home))
}

// A few looks go on at a time, a few wait in order, and one network has two of them; then it is not now.
func TestQueue(t *testing.T) {
	w := newWorld(t, func(o *Options) { o.Parallel, o.Queue, o.PerHour = 2, 2, 100 })
	w.held, w.entered = make(chan struct{}), make(chan struct{}, 100)
	from := func(i int) string { return fmt.Sprintf("198.51.100.%d:1", i) }
	var sent []string
	for i := range 4 {
		sent = append(sent, w.result(w.ask(fmt.Sprintf("a%d.example", i), from(i/2))))
	}
	if rec := w.ask("b.example", from(9)); rec.Code != http.StatusServiceUnavailable || rec.Header().Get("Retry-After") == "" {
		t.Errorf("one too many: %d", rec.Code)
	}
	if rec := w.ask("a3.example", from(9)); rec.Code != 303 {
		t.Errorf("what is waited for already: %d", rec.Code)
	}
	for i, want := range map[int]string{0: "being looked at", 2: "is the next", 3: "1 looks come first"} {
		if page := w.get(sent[i], home).Body.String(); !strings.Contains(page, want) {
			t.Errorf("%d: %s", i, page)
		}
	}
	<-w.entered
	<-w.entered
	close(w.held)
	w.wait()
	if w.most != 2 || w.seen("a3.example") != 1 || w.seen("b.example") != 0 {
		t.Errorf("%d at a time, %v", w.most, w.looks)
	}
	w.held = make(chan struct{})
	for i := range 3 {
		if rec := w.ask(fmt.Sprintf("c%d.example", i), home); (rec.Code == http.StatusTooManyRequests) != (i == 2) {
			t.Errorf("look %d of one network: %d", i, rec.Code)
		}
		w.pass(time.Second)
	}
	close(w.held)
	w.wait()
	if len(w.server.jobs.shares) != 0 {
		t.Errorf("shares are left: %v", w.server.jobs.shares)
	}
}

// Results make room for newer ones, by their number and by their size; looks that go on are not touched.
func TestResultsMakeRoom(t *testing.T) {
	o := Options{Now: time.Now, Parallel: 1, Queue: 1, Cooldown: time.Hour, Deadline: time.Hour}
	page := make([]byte, maxResultBytes/4)
	held := make(chan struct{})
	js := newJobs(&o, func(_ context.Context, d policy.Domain) ([]byte, []byte) {
		if d.String() == "held.example" {
			<-held
		}
		return page, nil
	})
	var jobs []*job
	for i := range 8 {
		d, err := policy.ParseDomain(fmt.Sprintf("a%d.example", i))
		must(t, err)
		j, err := js.ask(d, "x")
		must(t, err)
		js.working.Wait()
		jobs = append(jobs, j)
	}
	if _, ok := js.find(jobs[3].id); ok || js.bytes > maxResultBytes || js.done.Len() != 4 {
		t.Errorf("%d results of %d bytes", js.done.Len(), js.bytes)
	}
	if _, ok := js.find(jobs[7].id); !ok {
		t.Error("the newest is gone")
	}
	page = nil
	d, err := policy.ParseDomain("held.example")
	must(t, err)
	j, err := js.ask(d, "x")
	must(t, err)
	if s, ok := js.find(j.id); !ok || !s.Running {
		t.Error("a look that goes on is gone")
	}
	close(held)
	js.working.Wait()
	if len(js.byID) != js.done.Len() || len(js.byName) != js.done.Len() {
		t.Errorf("%d, %d, %d", len(js.byID), len(js.byName), js.done.Len())
	}
}

// What goes wrong here is told without names, and a look that takes too long is said to be unfinished.
func TestUnfinished(t *testing.T) {
	w := newWorld(t, func(o *Options) { o.Deadline = time.Millisecond })
	w.held = make(chan struct{})
	if page := w.read(w.ask("slow.example", home)); !strings.Contains(page, "was not finished") {
		t.Error(page)
	}
	w.held = nil
	w.report = func(d policy.Domain) (Report, error) { return Report{}, fmt.Errorf("cannot read about %s", d) }
	if page := w.read(w.ask("broken.example", home)); !strings.Contains(page, "was not finished") || strings.Contains(page, "cannot read") {
		t.Error(page)
	}
	if log := w.log.String(); !strings.Contains(log, "cannot read about (domain)") || strings.Contains(log, "broken.example") || strings.Contains(log, "slow.example") {
		t.Error(log)
	}
}

// A server that stops takes in no more, and breaks off what does not end in time.
func TestStop(t *testing.T) {
	w := newWorld(t, func(o *Options) { o.Parallel = 1 })
	w.held = make(chan struct{})
	going, next := w.ask("a.example", home), w.ask("b.example", home)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	w.server.Stop(ctx)
	if rec := w.ask("c.example", home); rec.Code != http.StatusServiceUnavailable {
		t.Errorf("after the stop: %d", rec.Code)
	}
	if page := w.get(w.result(going), home).Body.String(); !strings.Contains(page, "was not finished") {
		t.Error(page)
	}
	if w.result(next); w.seen("b.example") != 0 {
		t.Error("a look began after the stop")
	}
	calm := newWorld(t, nil)
	calm.ask("a.example", home)
	calm.server.Stop(t.Context())
	if calm.seen("a.example") != 1 {
		t.Error("the stop did not wait")
	}
}
