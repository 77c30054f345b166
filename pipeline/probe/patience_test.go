package probe

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/starttls-everywhere/policylist/pipeline/lab"
	"github.com/starttls-everywhere/policylist/policy"
)

// patienceCases are troubles that the last scan saw too (cases 20 and 39).
func patienceCases() []liveCase {
	since := func(code string, d time.Duration) func(*Options) {
		return func(o *Options) {
			o.Previous = make(map[policy.Domain]Past)
			for i := range 400 { // whatever number the case gets
				o.Previous[domain(fmt.Sprintf("case%d.example", i))] = Past{
					Verdict: Inconclusive, Since: time.Now().Add(-d), Waiting: code, WaitingSince: time.Now().Add(-d),
				}
			}
		}
	}
	const days = 24 * time.Hour
	return []liveCase{
		{name: "STARTTLS refused for three days", set: serve(lab.StartTLS454), verdict: Fail,
			codes: []string{"starttls.refused-long", "starttls.refused-temp"}, opts: since("starttls.refused-temp", 3*days+time.Minute)},
		{name: "STARTTLS refused for less", set: serve(lab.StartTLS454), verdict: Inconclusive,
			codes: []string{"starttls.refused-temp"}, opts: since("starttls.refused-temp", 3*days-time.Hour)},
		{name: "STARTTLS refused since today, dead before", set: serve(lab.StartTLS454), verdict: Inconclusive,
			codes: []string{"starttls.refused-temp"}, opts: since("smtp.unreachable", 4*days)},
		{name: "all hosts dead for three days (case 20)", set: serve(lab.Refusing, lab.Refusing), verdict: Fail,
			codes: []string{"smtp.dead", "smtp.unreachable"}, opts: since("smtp.unreachable", 4*days)},
		{name: "one host dead for three days, one turns us away", set: serve(lab.Refusing, lab.Greeting421), verdict: Inconclusive,
			codes: []string{"smtp.refused-temp", "smtp.unreachable"}, opts: since("smtp.unreachable", 4*days)},
		{name: "good after three days", set: serve(lab.Good), verdict: Pass, opts: since("smtp.unreachable", 4*days)},
	}
}

// TestWaitingIsCarried runs a scan a day, each with the evidence of the last: only trouble in a row counts.
func TestWaitingIsCarried(t *testing.T) {
	l := startLab(t)
	serve(lab.StartTLS454)(t, l, "a.example")
	clock := &fakeClock{now: time.Now()}
	var previous map[policy.Domain]Past
	scan := func() Result {
		p := newProber(t, l, false, func(o *Options) { o.Clock, o.Previous = clock, previous })
		var file bytes.Buffer
		h, err := p.Header(t.Context(), "")
		must(t, err)
		w, err := NewEvidence(&file, h)
		must(t, err)
		r := probeOne(t, p, Target{Domain: domain("a.example")})
		must(t, w.Add(r))
		previous, err = ReadPast(&file, 1<<20, "lab")
		must(t, err)
		clock.Sleep(t.Context(), 24*time.Hour)
		return r
	}
	var said []string
	for day := range 12 {
		switch day {
		case 6: // a day that says nothing about STARTTLS
			must(t, l.SetBehaviour("mx1.a.example", lab.Greeting421))
		case 7:
			must(t, l.SetBehaviour("mx1.a.example", lab.StartTLS454))
		}
		r := scan()
		rejudge(t, r, policy.Policy{})
		said = append(said, string(r.Verdict))
	}
	want := strings.Fields("inconclusive inconclusive inconclusive fail fail fail inconclusive inconclusive inconclusive inconclusive fail fail")
	if !slices.Equal(said, want) {
		t.Errorf("day by day: %q, want %q", said, want)
	}
}
