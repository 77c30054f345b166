package main

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/starttls-everywhere/policylist/mirror"
	"github.com/starttls-everywhere/policylist/mirror/audit"
	"github.com/starttls-everywhere/policylist/policy"
	"github.com/starttls-everywhere/policylist/transparency/witness/witnesstest"
)

// A year in the life of a monitor: every alert is told once, by its code, and a second look at the same tells nothing.
func TestMonitorTellsWhatHappens(t *testing.T) {
	op := newOperator(t)
	op.write("mx.d0.example", "mx.d1.example", "mx.d2.example")
	op.release(0)
	all, one := newWatcher(t, op), newWatcher(t, op, "d1.example", "d3.example")
	if out := all.look(); !out.First || out.Release != 1 || out.Size == 0 {
		t.Errorf("the first round: %+v", out)
	}
	if out := one.look(); len(out.Watched) != 1 || out.Watched[0].Domain.String() != "d1.example" {
		t.Errorf("the watched domains that are listed: %+v", out.Watched)
	}
	quiet := func() {
		t.Helper()
		if out := all.look(); out.First || out.Read != 0 {
			t.Errorf("a second look: %+v", out)
		}
		one.look()
	}
	quiet() // the same size

	op.release(0) // one entry more
	if out := all.look(); out.Read != 1 || out.Release != 2 {
		t.Errorf("a renewal: %+v", out)
	}
	one.look()

	op.write("mx.d0.example", "mx.other.example", "mx.d2.example", "mx.d3.example")
	op.release(0)
	all.look(audit.AlertWeakened)
	one.look(audit.AlertWeakened, audit.AlertChanged)
	if a := one.only(audit.AlertWeakened); a.Domain != "d1.example" || a.Release != 3 || a.Entry == nil || a.Reason == "" || a.Change == nil || a.Change.Class != policy.MXsReplaced {
		t.Errorf("replaced hosts: %+v", a)
	}
	quiet()

	op.write("mx.d0.example", "mx.other.example")
	op.release(0)
	all.look(audit.AlertRemoved, audit.AlertRemoved)
	one.look(audit.AlertRemoved)
	if a := one.only(audit.AlertRemoved); a.Domain != "d3.example" {
		t.Errorf("removed: %+v", a)
	}

	op.abandon([]byte("rubbish"))
	all.look() // nobody has published it yet
	op.release(0)
	all.look(audit.AlertNoEffect)
	one.look(audit.AlertNoEffect)

	put(t, op.path("trust/2"), op.nextTrust(op.now.Add(60*24*time.Hour)).Note())
	op = all.reopen(op)
	one.reopen(op)
	op.release(0)
	all.look(audit.AlertTrust)
	one.look(audit.AlertTrust)
	quiet()

	op.now = op.now.Add(49 * time.Hour)
	all.look(audit.AlertStale)
	if out := all.look(); len(out.Standing) != 1 { // told already
		t.Errorf("standing: %+v", out.Standing)
	}
	op.now = op.now.Add(25 * time.Hour)
	all.look(audit.AlertStale) // a day later it is told again
	op.now = op.now.Add(20 * 24 * time.Hour)
	all.look(audit.AlertExpired)
	op.now = op.now.Add(60 * 24 * time.Hour)
	all.look(audit.AlertExpired, audit.AlertTrustExpired)

	for _, w := range []*watcher{one, watchWitness(t), watchMirror(t), watchState(t)} {
		for code := range w.told {
			all.told[code] = true
		}
	}
	for _, c := range audit.Codes() {
		if strings.HasPrefix(c.ID, "monitor.") && !all.told[c.ID] && c.ID != audit.AlertFork { // TestMonitorKeepsEvidence
			t.Errorf("nothing here leads to %s", c.ID)
		}
	}
}

// reopen takes the operator's folder anew, with the trust that is in it, and the monitor its clock.
func (w *watcher) reopen(op *operator) *operator {
	next := openOperator(w.t, op.dir, op.now)
	w.Now = func() time.Time { return next.now }
	return next
}

// watchWitness tells of a witness that fell silent, and of the end of a list.
func watchWitness(t *testing.T) *watcher {
	op := newOperator(t)
	op.release(0)
	w := newWatcher(t, op)
	w.look()
	fake := witnesstest.StartFake(t, "ours", op.p.Trust.Newest().LogVKey(), func() time.Time { return op.now })
	put(t, op.path("trust/2"), op.nextTrustWith(op.p.Trust.Newest().Expires, fake.Line()+"quorum ours\n").Note())
	op = w.reopen(op)
	fake.Now = func() time.Time { return op.now }
	op.release(0)
	w.look(audit.AlertTrust)
	if _, err := op.p.Final(t.Context()); err != nil {
		t.Fatal(err)
	}
	var want []string
	for range 5 { // the example list's domains
		want = append(want, audit.AlertRemoved)
	}
	w.look(append(want, audit.AlertOverride)...)
	op.now = op.now.Add(49 * time.Hour)
	w.look(audit.AlertStale, audit.AlertWitness)
	return w
}

// watchMirror tells of a mirror that goes back, or is damaged; it changes nothing.
func watchMirror(t *testing.T) *watcher {
	op := newOperator(t)
	op.release(0)
	old := op.copyPublic()
	op.release(3)
	w := newWatcher(t, op)
	w.look()
	w.at(old)
	if out := w.look(audit.AlertBehind); out.Release != 2 {
		t.Errorf("it went back with the mirror: %+v", out)
	}
	op.release(4)
	bad := op.copyPublic()
	paths, err := filepath.Glob(filepath.Join(bad, "tile/entries/000.p/*"))
	if err != nil || len(paths) == 0 {
		t.Fatal(paths, err)
	}
	for _, p := range paths { // at the end, where the entries are that the monitor has not seen
		data, err := os.ReadFile(p)
		if err != nil {
			t.Fatal(err)
		}
		data[len(data)-2] ^= 1
		put(t, p, data)
	}
	w.at(bad)
	w.look(audit.AlertInvalid)
	remove(t, filepath.Join(bad, mirror.PointerPath))
	w.look()
	w.at(op.public())
	if out := w.look(); out.Release != 3 || out.Read == 0 {
		t.Errorf("after the mirror was mended: %+v", out)
	}

	signRubbishRelease(t, op, bad)
	w.at(bad)
	w.look(audit.AlertTail)
	w.at(op.public())
	w.look() // it did not follow
	return w
}

// watchState tells that a state was damaged. A state whose list is lost, as a crash between the two files leaves it, loses
// nothing: the log has the list.
func watchState(t *testing.T) *watcher {
	op := newOperator(t)
	op.release(3)
	w := newWatcher(t, op)
	w.look()
	op.write("mx.d0.example")
	op.release(0)
	for _, name := range []string{"gone", "other"} {
		remove(t, w.State+".list")
		if name == "other" {
			put(t, w.State+".list", []byte("{}"))
		}
		before, err := os.ReadFile(w.State)
		if err != nil {
			t.Fatal(err)
		}
		w.look(audit.AlertRemoved, audit.AlertRemoved)
		w.look()
		put(t, w.State, before)
	}
	flip(t, w.State)
	if out := w.look(audit.AlertUnseen); !out.First {
		t.Errorf("after damage: %+v", out)
	}
	w.look()

	other := newStranger(t)
	other.release(0)
	stranger := newWatcher(t, other)
	stranger.State = w.State
	if _, err := stranger.Round(t.Context()); !errors.Is(err, audit.ErrCursor) {
		t.Errorf("the state of another list: %v", err)
	}
	return w
}

// Alerts that were not delivered are told again, with the same IDs, and only then the monitor goes on.
func TestMonitorKeepsItsPlaceUntilTold(t *testing.T) {
	op := newOperator(t)
	op.release(3)
	w := newWatcher(t, op)
	w.look()
	op.write("mx.d0.example")
	op.release(0)
	w.box.fail = errors.New("no")
	var ids [][]string
	for range 3 {
		w.box.got = nil
		if _, err := w.Round(t.Context()); (err == nil) != (w.box.fail == nil) || err != nil && !errors.Is(err, audit.ErrUndelivered) {
			t.Fatalf("undelivered: %v", err)
		}
		w.compare([]string{audit.AlertRemoved, audit.AlertRemoved})
		var round []string
		for _, a := range w.box.got {
			round = append(round, a.ID)
		}
		if ids = append(ids, round); !slices.Equal(ids[0], round) || round[0] == round[1] {
			t.Errorf("IDs %v", ids)
		}
		if len(ids) == 2 {
			w.box.fail = nil
		}
	}
	w.look()
}

// An empty mirror, whose list was never released, is nothing to worry about; neither is one without state.
func TestMonitorBeforeTheFirstRelease(t *testing.T) {
	op := newOperator(t)
	if err := os.MkdirAll(op.path("public/trust"), 0o755); err != nil {
		t.Fatal(err)
	}
	put(t, op.path("public/trust/1"), op.p.Trust.Newest().Note())
	w := newWatcher(t, op)
	if out := w.look(); out.Size != 0 {
		t.Errorf("%+v", out)
	}
	op.release(0)
	if out := w.look(); !out.First || out.Release != 1 {
		t.Errorf("%+v", out)
	}
}

// Two histories under one key, the second as long as the first, longer, or shorter: the evidence is kept, a stranger can
// check it, and the monitor stays where it is.
func TestMonitorKeepsEvidence(t *testing.T) {
	op := newOperator(t)
	op.release(0)
	for _, c := range []struct {
		name         string
		ours, theirs int
	}{{"equal", 3, 3}, {"longer", 3, 4}, {"shorter", 4, 3}} {
		t.Run(c.name, func(t *testing.T) {
			ours, twin := op.fork(), op.fork()
			ours.now, twin.now = ours.now.Add(time.Minute), twin.now.Add(2*time.Minute)
			ours.release(c.ours)
			twin.release(c.theirs)
			w := newWatcher(t, ours)
			w.look()
			if c.name == "shorter" { // a mirror that has both histories' tiles, as one that follows both would
				if err := os.CopyFS(filepath.Join(t.TempDir(), "x"), os.DirFS(twin.public())); err != nil {
					t.Fatal(err)
				}
				for name, data := range files(t, ours.public()) {
					if path := filepath.Join(twin.public(), filepath.FromSlash(name)); strings.HasPrefix(name, "tile/") {
						put(t, path, []byte(data))
					}
				}
			}
			w.at(twin.public())
			out := w.look(audit.AlertFork)
			if !out.Fork || out.Release != 2 {
				t.Errorf("%+v", out)
			}
			confirms(t, w.only(audit.AlertFork).Evidence, ours)
			if out := w.look(); !out.Fork || len(out.Standing) != 1 {
				t.Errorf("a second look at the fork: %+v", out)
			}
			w.at(ours.public())
			w.look()
		})
	}
}

func confirms(t *testing.T, path string, op *operator) {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	e, err := mirror.ParseEvidence(data)
	if err == nil {
		err = e.Check(op.p.Trust)
	}
	if err != nil {
		t.Errorf("%s: %v", path, err)
	}
}

// The exit code says what a timer needs to know; the webhook and the hook get what the terminal shows.
func TestMonitorCommand(t *testing.T) {
	op := newOperator(t)
	op.p.Observer = nil
	op.release(0)
	op.p.Observer = allPass{}
	t.Chdir(op.dir)
	transcript(t, newMonitorCommand().Example)

	twin := op.fork()
	twin.now = twin.now.Add(time.Minute)
	twin.release(3)
	op.write("mx.d0.example")
	op.release(0)
	contains(t, list(t, exitPass, "monitor", "public", "--trust", "trust/1", "--state", "monitor.state", "--domain", "one.example"), "no alerts")
	op.release(2)
	out := list(t, exitFail, "monitor", "public", "--trust", "trust/1", "--state", "monitor.state", "--domain", "d1.example", "--on-alert", "cat")
	contains(t, out, "monitor.changed", "d1.example: added in release 3", "reason: ", `"code":"monitor.changed"`, "1 alert")
	contains(t, list(t, exitPass, "monitor", "public", "--trust", "trust/1", "--domain", "gone.example", "--domain", "d1.example"),
		"without --state every run is the first", "gone.example: not listed", `d1.example: {"mode":"testing"`)

	op.write("mx.d0.example")
	op.release(0)
	out = list(t, exitInconclusive, "monitor", "public", "--trust", "trust/1", "--state", "monitor.state", "--on-alert", "false", "--json")
	contains(t, out, "monitor.removed", "alerts were not delivered", `"told":1`)
	list(t, exitInconclusive, "monitor", "http://127.0.0.1:1/", "--trust", "trust/1", "--state", "monitor.state")
	out = list(t, exitFork, "monitor", twin.public(), "--trust", "trust/1", "--state", "monitor.state")
	contains(t, out, "monitor.fork", "evidence: fork-", "two histories")
	confirms(t, firstMatch(t, ".", "fork-*.json"), op)

	for _, args := range [][]string{
		{"public"}, {}, {"public", "--trust", "trust/2"}, {"public", "--trust", "trust/1", "--domain", "x y"},
		{"public", "--trust", "trust/1", "--interval", "1s"}, {"public", "--trust", "trust/1", "--interval", "1h", "--once"},
		{"public", "--trust", "trust/1", "--webhook", "nowhere"}, {"nothing-here", "--trust", "trust/1"},
	} {
		list(t, exitUsage, append([]string{"monitor"}, args...)...)
	}
}

// interrupter is an output that interrupts its program once something is printed.
type interrupter struct {
	strings.Builder
	when string
	stop context.CancelFunc
}

func (i *interrupter) Write(p []byte) (int, error) {
	defer func() {
		if strings.Contains(i.String(), i.when) {
			i.stop()
		}
	}()
	return i.Builder.Write(p)
}

// With an interval it goes on after a round, whatever that found, until it is interrupted; two histories end it.
func TestMonitorInterval(t *testing.T) {
	op := newOperator(t)
	op.release(0)
	twin := op.fork()
	twin.now = twin.now.Add(time.Minute)
	twin.release(3)
	op.release(3)
	state := filepath.Join(t.TempDir(), "state")
	args := func(public string) []string {
		return []string{"monitor", public, "--trust", op.path("trust/1"), "--state", state, "--evidence", t.TempDir(), "--interval", "1h"}
	}
	for _, c := range []struct {
		public, when string
		code         int
	}{
		{op.public(), "no alerts", 0},
		{filepath.Join(t.TempDir(), "gone"), "no such file", exitUsage},
		{"http://127.0.0.1:1", "cannot be read", 0}, // a mirror that is away comes back
		{twin.public(), "never printed", exitFork},
	} {
		ctx, stop := context.WithCancel(t.Context())
		out := &interrupter{when: c.when, stop: stop}
		if code := run(ctx, args(c.public), strings.NewReader(""), out, out); code != c.code {
			t.Errorf("%s: exit code %d, want %d\n%s", c.public, code, c.code, out.String())
		}
		stop()
	}
}
