package probe

import (
	"errors"
	"fmt"
	"reflect"
	"slices"
	"testing"
	"time"

	"github.com/starttls-everywhere/policylist/pipeline/lab"
)

// goodTargets publishes n good domains.
func goodTargets(t *testing.T, l *lab.Lab, n int) []Target {
	t.Helper()
	var targets []Target
	for i := range n {
		d := fmt.Sprintf("d%d.example", i)
		serve(lab.Good)(t, l, d)
		targets = append(targets, Target{Domain: domain(d)})
	}
	return targets
}

// TestCanaryFirst: the canary is looked at before all others, once more when it looks wrong, and not by every domain; a
// vantage that withdrew visits nobody.
func TestCanaryFirst(t *testing.T) {
	l := startLab(t)
	serve(lab.NoStartTLS)(t, l, "canary.example")
	p := newProber(t, l, false, func(o *Options) { o.Canary, o.Samples = domain("canary.example"), 1 })
	results, err := p.Probe(t.Context(), goodTargets(t, l, 5))
	must(t, err)
	for _, r := range results {
		if r.Verdict != Inconclusive || !slices.Equal(r.Codes, []string{"vantage.withdrawn"}) {
			t.Errorf("%s %q", r, r.Codes)
		}
	}
	if s, _ := l.Stats("mx1.canary.example"); s.Sessions != 2 {
		t.Errorf("the canary was visited %d times", s.Sessions)
	}
	if s, _ := l.Stats("mx1.d0.example"); s.Sessions != 0 {
		t.Errorf("a vantage that withdrew went on")
	}
}

// TestCanarySecondLook: what passes is no reason to withdraw.
func TestCanarySecondLook(t *testing.T) {
	l := startLab(t)
	servePool(lab.NoStartTLS, lab.Good)(t, l, "canary.example")
	p := newProber(t, l, false, func(o *Options) { o.Canary, o.Samples = domain("canary.example"), 1 })
	if r, err := p.Canary(t.Context()); err != nil || r.Verdict != Pass {
		t.Errorf("%s %q, %v", r, r.Codes, err)
	}
}

// TestVantageBreaks: a network that begins to strip STARTTLS in the middle of a scan spoils all of it: whoever streams
// the results is told, whoever waits for them gets nothing to believe.
func TestVantageBreaks(t *testing.T) {
	for name, c := range map[string]struct {
		after int // results
		every time.Duration
	}{
		"noticed on the way": {2, 15 * time.Minute},
		"noticed at the end": {19, 24 * time.Hour},
	} {
		t.Run(name, func(t *testing.T) {
			l := startLab(t)
			serve(lab.Good)(t, l, "canary.example")
			targets := goodTargets(t, l, 20)
			clock := &fakeClock{now: time.Now()}
			options := func(o *Options) {
				o.Canary, o.Clock, o.Domains, o.CanaryEvery = domain("canary.example"), clock, 1, c.every
			}
			n := 0
			spoil := func() {
				if n++; n == c.after {
					must(t, l.SetBehaviour("mx1.canary.example", lab.Stripped))
					clock.Sleep(t.Context(), 20*time.Minute)
				}
			}
			err := newProber(t, l, false, options).Each(t.Context(), targets, func(r Result) error {
				if spoil(); r.Verdict != Pass {
					t.Errorf("%s was handed out", r)
				}
				return nil
			})
			if !errors.Is(err, ErrVantage) || c.every < time.Hour && n == len(targets) {
				t.Errorf("after %d results: %v", n, err)
			}
			must(t, l.SetBehaviour("mx1.canary.example", lab.Good))
			p := newProber(t, l, false, options)
			_, err = p.Canary(t.Context())
			must(t, err)
			must(t, l.SetBehaviour("mx1.canary.example", lab.Stripped))
			clock.Sleep(t.Context(), time.Hour)
			results, err := p.Probe(t.Context(), targets)
			must(t, err)
			if len(results) != len(targets) {
				t.Fatalf("%d results", len(results))
			}
			for i, r := range results {
				if r.Domain != targets[i].Domain || !slices.Equal(r.Codes, []string{"vantage.withdrawn"}) {
					t.Errorf("%s %q", r, r.Codes)
				}
			}
			if h, err := p.Header(t.Context(), ""); err != nil || h.Canary.Verdict != Fail {
				t.Errorf("header %+v, %v", h, err)
			}
		})
	}
}

// TestCanaryAtTheEnd: a scan that lasted looks again, a short one does not.
func TestCanaryAtTheEnd(t *testing.T) {
	for took, want := range map[time.Duration]int{time.Second: 2, 2 * time.Minute: 4} {
		l := startLab(t)
		serve(lab.Good)(t, l, "canary.example")
		clock := &fakeClock{now: time.Now()}
		p := newProber(t, l, false, func(o *Options) { o.Canary, o.Clock = domain("canary.example"), clock })
		err := p.Each(t.Context(), goodTargets(t, l, 1), func(Result) error { return clock.Sleep(t.Context(), took) })
		must(t, err)
		if s, _ := l.Stats("mx1.canary.example"); s.Sessions != want {
			t.Errorf("a scan of %v visited the canary %d times, want %d", took, s.Sessions, want)
		}
	}
}

// TestAfresh: who looks without regard to what was seen has all else.
func TestAfresh(t *testing.T) {
	l := startLab(t)
	p := newProber(t, l, false, nil)
	was, is := reflect.ValueOf(p).Elem(), reflect.ValueOf(p.afresh()).Elem()
	for i := range was.NumField() {
		if name := was.Type().Field(i).Name; name != "watch" && (was.Field(i).IsZero() != is.Field(i).IsZero()) {
			t.Errorf("%s is missing", name)
		}
	}
	if _, err := p.addresses(t.Context(), domain("a.example")); err != nil || len(p.hosts.calls) != 1 {
		t.Errorf("%d calls, %v", len(p.hosts.calls), err)
	}
	if q := p.afresh(); len(q.hosts.calls) != 0 {
		t.Error("it remembers")
	}
}
