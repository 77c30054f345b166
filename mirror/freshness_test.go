package mirror

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/starttls-everywhere/policylist/policy"
)

// Clocks that are wrong, and mirrors that are frozen: what a client believes of its list, and that a right clock or a
// good mirror makes everything good again.
func TestClock(t *testing.T) {
	const day = 24 * time.Hour
	for _, c := range []struct {
		clock string
		want  Freshness
		shift time.Duration // of the client's clock, after its update
	}{
		{"1970", Fresh, time.Unix(0, 0).Sub(worldStart)},
		{"a day slow", Fresh, -day},
		{"an hour slow", Fresh, -time.Hour},
		{"right", Fresh, 0},
		{"an hour fast", Fresh, time.Hour},
		{"+47 h", Fresh, 47 * time.Hour},
		{"+49 h", Stale, 49 * time.Hour},
		{"+13 d", Stale, 13 * day},
		{"+15 d", Expired, 15 * day},
		{"+10 y", Expired, 3653 * day},
	} {
		for _, method := range bothMethods {
			w := newWorld(t, 2)
			held := w.release(many(3, policy.Testing)...)
			r := w.join(w.mirror())
			r.update()
			r.Method = method
			r.Now = func() time.Time { return w.now.Add(c.shift) }

			out := r.update() // nothing new
			if out.Freshness != c.want || out.Method != "none" {
				t.Errorf("%s, nothing new: %s by %s, want %s", c.clock, out.Freshness, out.Method, c.want)
			}
			if out.ClockBehind != max(0, -c.shift) {
				t.Errorf("%s: told as %s behind", c.clock, out.ClockBehind)
			}
			if emptied := r.served.List.Len() == 0; emptied != (c.want == Expired) || out.List.Len() != r.served.List.Len() {
				t.Errorf("%s: the mail server has %d entries, the outcome %d", c.clock, r.served.List.Len(), out.List.Len())
			}
			r.ask(&shelf{})
			if out := r.refuse(c.clock); out.Freshness != c.want || out.Release.Release != 1 {
				t.Errorf("%s, no mirror: %+v", c.clock, out)
			}
			r.ask(w.mirror())
			r.Now = func() time.Time { return w.now }
			if out := r.update(); out.Freshness != Fresh {
				t.Errorf("%s, then a right clock: %s", c.clock, out.Freshness)
			}
			r.holds(held)
			want := w.release(set("x.example", policy.Testing))
			r.Now = func() time.Time { return w.now.Add(c.shift) }
			r.update()
			r.holds(want)
		}
	}
}

// A clock that is set back does not make an old list young, as far as a day.
func TestClockSetBack(t *testing.T) {
	w := newWorld(t, 1)
	held := w.release(many(3, policy.Testing)...)
	r := w.join(w.mirror())
	r.update()
	w.now = held.Leaf.Expires.Add(-time.Hour)
	w.publish(1, w.now) // the witnesses sign the same tree again
	if out := r.update(); out.Freshness != Stale || !out.QuorumTime.Equal(w.now) {
		t.Errorf("an old release with a young quorum time is %s, %s", out.Freshness, out.QuorumTime)
	}
	r.Now = func() time.Time { return held.Leaf.Timestamp }
	if out, err := r.Load(); err != nil || out.Freshness != Fresh {
		t.Errorf("the floor may lead by no more than a day: %s, %v", out.Freshness, err)
	}
	r.Now = func() time.Time { return held.Leaf.Expires.Add(-20 * time.Hour) }
	if out, err := r.Load(); err != nil || out.Freshness != Stale {
		t.Errorf("got %s, %v", out.Freshness, err)
	}
}

// The witnesses saw the log after the list had expired: a clock that says otherwise by less than a day is wrong.
func TestClockBehindTheWitnesses(t *testing.T) {
	w := newWorld(t, 1)
	held := w.release(many(3, policy.Testing)...)
	r := w.join(w.mirror())
	r.update()
	w.publish(1, held.Leaf.Expires.Add(time.Hour))
	for early, want := range map[time.Duration]Freshness{-time.Hour: Expired, 2 * time.Hour: Expired, 22 * time.Hour: Expired, 25 * time.Hour: Stale} {
		r.Now = func() time.Time { return held.Leaf.Expires.Add(-early) }
		if out := r.update(); out.Freshness != want || r.served.Freshness != want {
			t.Errorf("%s before the end by the local clock: %s, want %s", early, out.Freshness, want)
		}
	}
}

// Both the witnesses' word and the release must be young.
func TestFreshNeedsBothTimes(t *testing.T) {
	for name, c := range map[string]struct{ dated, cosigned time.Duration }{
		"old cosignatures": {45 * time.Minute, 0}, "an old release": {0, 45 * time.Minute},
	} {
		w := newWorld(t, 1)
		w.edit = func(leaf *ReleaseLeaf) {
			leaf.Timestamp = w.now.Add(c.dated)
			w.relist(leaf, many(3, policy.Testing)...)
		}
		w.release(many(3, policy.Testing)...)
		w.publish(1, w.now.Add(c.cosigned))
		r := w.join(w.mirror())
		r.update()
		start := w.now
		for after, want := range map[time.Duration]Freshness{freshFor: Fresh, freshFor + 30*time.Minute: Stale} {
			w.now = start.Add(after)
			if out, err := r.Load(); err != nil || out.Freshness != want {
				t.Errorf("%s, after %s: %s, %v", name, after, out.Freshness, err)
			}
		}
	}
}

// A mirror cannot take the newer cosignatures away by serving the older ones of the same tree.
func TestOlderCosignaturesOfTheSameTree(t *testing.T) {
	w := newWorld(t, 2)
	w.release(many(3, policy.Testing)...)
	w.publish(1, w.now.Add(time.Hour))
	r := w.join(w.mirror())
	newer := r.update().QuorumTime
	note := r.files()[stateFile]
	w.publish(1, w.now)
	if out := r.update(); !out.QuorumTime.Equal(newer) {
		t.Errorf("the quorum time went from %s to %s", newer, out.QuorumTime)
	}
	if r.files()[stateFile] != note {
		t.Errorf("the state changed from\n%s\nto\n%s", note, r.files()[stateFile])
	}
	r.holds(w.last)
}

func TestKeepStale(t *testing.T) {
	w := newWorld(t, 0)
	held := w.release(many(3, policy.Testing)...)
	r := w.join(w.mirror())
	r.KeepStale = true
	r.update()
	w.now = held.Leaf.Expires.Add(time.Hour)
	for _, mirrors := range [][]Reader{{w.mirror()}, {&shelf{}}} {
		r.ask(mirrors...)
		out, err := r.Update(context.Background())
		if out.Freshness != Expired || err != nil && !errors.Is(err, ErrNoMirror) || r.served.List.Len() != 3 {
			t.Errorf("got %+v, %v; the mail server has %d entries", out, err, r.served.List.Len())
		}
	}
	if out, err := r.Load(); err != nil || out.List.Len() != 3 {
		t.Errorf("load: %+v, %v", out, err)
	}
	r.KeepStale = false
	if out, err := r.Load(); err != nil || out.List.Len() != 0 || out.Freshness != Expired {
		t.Errorf("load: %+v, %v", out, err)
	}
}

// The guard keeps a release back that does too much at once; acceptance, or a later release that does less, ends that.
func TestGuard(t *testing.T) {
	domains := func(from, to int, edit func(string) policy.Edit) (edits []policy.Edit) {
		for i := from; i < to; i++ {
			edits = append(edits, edit(fmt.Sprintf("d%03d.example", i)))
		}
		return edits
	}
	removed := func(d string) policy.Edit { return del(d) }
	enforced := func(d string) policy.Edit { return set(d, policy.Enforce) }
	moved := func(d string) policy.Edit { return set(d, policy.Testing, "mx.evil.example") }
	widened := func(d string) policy.Edit { return set(d, policy.Testing, "mx."+d, "mx2."+d) }
	for name, c := range map[string]struct {
		size, n int
		edit    func(string) policy.Edit
		held    bool
	}{
		"a fifth removed":            {100, 20, removed, false},
		"more than a fifth":          {100, 21, removed, true},
		"nineteen of a short list":   {40, 19, removed, false},
		"twenty of a short list":     {40, 20, removed, true},
		"all of a very short list":   {10, 10, removed, false},
		"many newly enforcing":       {100, 30, enforced, true},
		"many moved":                 {100, 30, moved, true},
		"many with one host more":    {100, 90, widened, false},
		"many added as enforcing":    {100, 30, func(d string) policy.Edit { return set("new."+d, policy.Enforce) }, true},
		"many added as testing":      {100, 90, func(d string) policy.Edit { return set("new."+d, policy.Testing) }, false},
		"a large list, a tenth gone": {400, 40, removed, false},
	} {
		for _, method := range bothMethods {
			w := newWorld(t, 0)
			first := w.release(many(c.size, policy.Testing)...)
			r := w.join(w.mirror())
			r.update()
			r.Method = method
			quorum, honest := w.now, w.fork()
			second := w.release(domains(0, c.n, c.edit)...)
			out := r.update()
			if !c.held {
				r.holds(second)
				continue
			}
			if out.HeldRelease != 2 || out.Held == "" || out.Release.Release != 1 || out.List.Len() != c.size || !out.QuorumTime.Equal(quorum) {
				t.Errorf("%s, %s: %+v", name, method, out)
			}
			r.holds(first)
			r.ask(honest.mirror()) // a mirror without the release: it stays held back
			if out := r.update(); out.HeldRelease != 2 || out.Method != "none" {
				t.Errorf("%s, %s, asked again: %+v", name, method, out)
			}
			r.ask(w.mirror())
			r.Accept = 7
			if out := r.update(); out.HeldRelease != 2 {
				t.Errorf("%s, %s: accepting release 7 let release 2 pass", name, method)
			}
			r.Accept = 2
			if out := r.update(); out.HeldRelease != 0 || out.Held != "" || out.Previous != 1 {
				t.Errorf("%s, %s, accepted: %+v", name, method, out)
			}
			r.holds(second)
		}
	}
}

// A release that was held back is followed by one that undoes it.
func TestHeldReleaseDoesNotBlockLaterOnes(t *testing.T) {
	for _, method := range bothMethods {
		w := newWorld(t, 1)
		w.release(many(50, policy.Testing)...)
		r := w.join(w.mirror())
		r.update()
		r.Method = method
		var gone []policy.Edit
		for _, e := range many(25, policy.Testing) {
			e.Policy = nil
			gone = append(gone, e)
		}
		w.release(gone...)
		r.update()
		w.release(set("x.example", policy.Testing))
		if out := r.update(); out.HeldRelease != 3 || out.Release.Release != 1 {
			t.Errorf("%s: got %+v", method, out)
		}
		want := w.release(many(25, policy.Testing)...)
		if out := r.update(); out.HeldRelease != 0 || out.Previous != 1 {
			t.Errorf("%s: got %+v", method, out)
		}
		r.holds(want)
	}
}

// The list ends: everything goes, whatever the guard thinks, and mirrors are asked once a week.
func TestFinalRelease(t *testing.T) {
	for _, method := range bothMethods {
		w := newWorld(t, 0)
		w.release(many(100, policy.Testing)...)
		m := w.mirror()
		r := w.join(m)
		r.update()
		r.Method = method
		var gone []policy.Edit
		for _, e := range many(100, policy.Testing) {
			e.Policy = nil
			gone = append(gone, e)
		}
		w.edit = func(leaf *ReleaseLeaf) { leaf.Override = OverrideFinal }
		want := w.release(gone...)
		if out := r.update(); !out.Release.IsFinal() || out.HeldRelease != 0 || out.List.Len() != 0 {
			t.Errorf("got %+v", out)
		}
		r.holds(want)
		r.Method = Auto
		for hour := 0; hour < 30*24; hour += 6 {
			w.now = w.now.Add(6 * time.Hour)
			m.forget()
			sunk := r.sunk
			out := r.update()
			if asked := len(m.asked) > 0; asked != (hour%(7*24) == 7*24-6) {
				t.Errorf("after %d hours: asked %v", hour+6, m.asked)
			}
			if r.sunk == sunk || !out.Release.IsFinal() {
				t.Errorf("after %d hours: %+v", hour+6, out)
			}
		}
	}
}

// "list.final" on a list that is not empty is no reason to let everything pass.
func TestFinalReleaseIsEmpty(t *testing.T) {
	w := newWorld(t, 0)
	w.release(many(50, policy.Testing)...)
	r := w.join(w.mirror())
	r.update()
	w.edit = func(leaf *ReleaseLeaf) { leaf.Override = OverrideFinal }
	w.release(many(50, policy.Enforce)...)
	if out := r.update(); out.HeldRelease != 2 || !strings.Contains(out.Held, "50 entries") {
		t.Errorf("got %+v", out)
	}
}
