package mirror

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/starttls-everywhere/policylist/policy"
)

// inForce checks what a process that starts now, a daemon, and the mail server have.
func (r *reader) inForce(want *Release) Outcome {
	r.t.Helper()
	out, err := r.Load()
	if err != nil || out.Release == nil || string(out.Release.Source) != want.Leaf.Source || out.Release.Release != want.Leaf.Release || !out.List.Equal(want.List) {
		r.t.Fatalf("in force is %+v, %v; want release %d", out, err, want.Leaf.Release)
	}
	asText, text, err := r.LoadText()
	if err != nil || asText.Release.Release != want.Leaf.Release || text.Len() != want.List.Len() {
		r.t.Fatalf("a daemon has %+v, %v; want release %d", asText, err, want.Leaf.Release)
	}
	return out
}

func (r *reader) back(release int64, until time.Time) Pin {
	r.t.Helper()
	pin, err := r.Rollback(release, "a test", until)
	if err != nil {
		r.t.Fatal(err)
	}
	return pin
}

// TestPin goes back and forth while the world goes on. What was seen of the log never moves back: updates continue from the
// newest release, and older ones of a mirror are refused as ever.
func TestPin(t *testing.T) {
	for _, method := range bothMethods {
		w := newWorld(t, 1)
		w.release(many(3, policy.Testing)...)
		r := w.join(w.mirror())
		r.update()
		r.Method = method
		if _, err := r.Rollback(0, "x", time.Time{}); !errors.Is(err, ErrNotKept) {
			t.Fatalf("back from the first list: %v", err)
		}
		second := w.release(set("x.example", policy.Testing))
		r.update()
		third := w.release(set("y.example", policy.Testing))
		r.update()
		mark := r.Mark()
		pin := r.back(0, time.Time{})
		if pin.Release != 2 || !pin.Until.Equal(second.Leaf.Expires) || r.Mark() == mark {
			t.Errorf("%+v, mark changed: %v", pin, r.Mark() != mark)
		}
		out := r.inForce(second)
		if out.Freshness != Stale || out.Newest != 3 || out.Pin.Reason != "a test" || !strings.Contains(out.Proof, keptDir) {
			t.Errorf("%+v", out)
		}
		fourth := w.release(set("z.example", policy.Testing))
		out = r.update()
		if out.Newest != 4 || out.Release.Release != 2 || r.served.Release.Release != 2 || r.served.List.Len() != second.List.Len() {
			t.Errorf("%+v, the mail server has %+v", out, r.served)
		}
		r.inForce(second)
		r.ask(w.at(3))
		r.refuse("an older release while an older list is in force, " + string(method))
		r.ask(w.at(2))
		r.refuse("the very release that is in force, " + string(method))
		r.ask(w.mirror())
		r.back(0, time.Time{})
		if out := r.inForce(w.releases(t, r, 1)); out.Newest != 4 {
			t.Errorf("%+v", out)
		}
		r.back(3, time.Time{})
		r.inForce(third)
		mark = r.Mark()
		if err := r.Undo(); err != nil || r.Mark() == mark {
			t.Fatal(err)
		}
		if err := r.Undo(); !errors.Is(err, ErrNotPinned) {
			t.Errorf("undone twice: %v", err)
		}
		r.update()
		r.holds(fourth)
		for _, release := range []int64{4, 5} {
			if _, err := r.Rollback(release, "x", time.Time{}); !errors.Is(err, ErrNotKept) {
				t.Errorf("back to release %d of 4: %v", release, err)
			}
		}
	}
}

// releases reads a kept list as a release.
func (w *world) releases(t *testing.T, r *reader, n int64) *Release {
	t.Helper()
	all, err := r.Kept()
	if err != nil {
		t.Fatal(err)
	}
	for _, k := range all {
		if k.Release.Release == n {
			list, err := k.list()
			if err != nil {
				t.Fatal(err)
			}
			return &Release{Leaf: k.Release, List: list}
		}
	}
	t.Fatalf("release %d is not kept", n)
	return nil
}

// A pin ends at its date, and with its list: then the newest is in force, and who watches the mark notices.
func TestPinEnds(t *testing.T) {
	w := newWorld(t, 1)
	first := w.release(many(3, policy.Testing)...)
	r := w.join(w.mirror())
	r.update()
	w.now = w.now.Add(48 * time.Hour)
	second := w.release(set("x.example", policy.Testing))
	r.update()
	start := w.now
	for _, until := range []time.Time{start.Add(24 * time.Hour), first.Leaf.Expires.Add(time.Hour), {}} {
		w.now = start
		pin := r.back(1, until)
		if pin.Until.After(first.Leaf.Expires) {
			t.Errorf("asked for %s, it ends at %s, after its list's end at %s", until, pin.Until, first.Leaf.Expires)
		}
		w.now = pin.Until.Add(-time.Second)
		r.inForce(first)
		mark := r.Mark()
		w.now = pin.Until
		if out := r.inForce(second); out.Pin != nil || r.Mark() == mark {
			t.Errorf("at its end: %+v", out.Pin)
		}
		w.now = pin.Until.Add(-time.Second) // the clock is put back: the floor is only as high as what the witnesses said
		r.inForce(first)
	}
	w.now = start
	if _, err := r.Rollback(1, "x", start); err == nil {
		t.Error("a pin that is over was taken")
	}
	w.now = first.Leaf.Expires
	if _, err := r.Rollback(1, "x", time.Time{}); !errors.Is(err, ErrNotKept) {
		t.Errorf("an expired list: %v", err)
	}
}

// Renewals with the same entries do not push earlier lists out, changes do, and space stays bounded; what is in force stays.
func TestKeptIsBounded(t *testing.T) {
	w := newWorld(t, 0)
	first := w.release(many(3, policy.Testing)...)
	r := w.join(w.mirror())
	r.update()
	for range 2 * maxEarlier / 4 {
		w.now = w.now.Add(time.Minute)
		first = w.release()
		r.update()
	}
	w.release(set("x.example", policy.Testing))
	r.update()
	if all, err := r.Kept(); err != nil || len(all) != 1 || all[0].Release.Release != first.Leaf.Release {
		t.Fatalf("of a run of renewals is kept %+v, %v; want only release %d", all, err, first.Leaf.Release)
	}
	r.back(0, time.Time{})
	writeFile(t, r.Dir, keptDir+"/.tmp-left-1", "by a killed process")
	for i := range maxEarlier + 3 {
		w.now = w.now.Add(time.Minute)
		w.release(set(fmt.Sprintf("n%d.example", i), policy.Testing))
		r.update()
	}
	r.inForce(first)
	all, err := r.Kept()
	if err != nil || len(all) != maxEarlier+1 || all[len(all)-1].Release.Release != first.Leaf.Release {
		t.Errorf("%d are kept, %v", len(all), err)
	}
	files, err := os.ReadDir(filepath.Join(r.Dir, keptDir))
	if err != nil || len(files) != 2*len(all) {
		t.Errorf("%d files for %d lists, %v", len(files), len(all), err)
	}
}

// Whatever happens to a pin and its list on the disk, a list that was verified is in force, and the damage is told.
func TestPinDamaged(t *testing.T) {
	w := newWorld(t, 1)
	first := w.release(many(3, policy.Testing)...)
	r := w.join(w.mirror())
	r.update()
	newest := w.release(set("x.example", policy.Testing))
	r.update()
	r.back(0, time.Time{})
	digest := fmt.Sprintf("%x", first.Leaf.ListDigest)
	for _, name := range []string{pinFile, keptDir + "/" + digest + keptList, keptDir + "/" + digest + keptProof} {
		whole := r.files()[name]
		for flaw, f := range flaws {
			r.damage(name, f)
			out, err := r.Load()
			switch {
			case err != nil:
				t.Fatalf("%s, %s: %v", name, flaw, err)
			case out.Pin != nil && out.List.Equal(first.List): // such as a newline more behind the pin
			case out.Release.Release != 2 || !out.List.Equal(newest.List):
				t.Errorf("%s, %s: in force is %+v", name, flaw, out)
			case out.Damaged == nil && flaw != "gone" || out.Damaged == nil && name != pinFile:
				t.Errorf("%s, %s: nothing is said", name, flaw)
			}
			if name != pinFile {
				if _, err := r.Rollback(1, "x", time.Time{}); err == nil {
					t.Errorf("%s, %s: back to a damaged list", name, flaw)
				}
			}
			writeFile(t, r.Dir, name, whole)
		}
	}
	r.inForce(first)
	r.damage(ListPath, flaws["gone"]) // the newest one is lost, the earlier one is not
	r.inForce(first)
	r.update()
	r.inForce(first)
	if err := r.Undo(); err != nil {
		t.Fatal(err)
	}
	r.update()
	r.holds(newest)
}

// A state that was lost and fetched anew from a mirror that lags leaves kept lists that are not earlier: none to go back to.
func TestPinIsNoWayForth(t *testing.T) {
	w := newWorld(t, 1)
	w.release(many(3, policy.Testing)...)
	r := w.join(w.mirror())
	r.update()
	for _, d := range []string{"x.example", "y.example"} {
		w.release(set(d, policy.Testing))
		r.update()
	}
	for _, name := range []string{stateFile, stateOldFile, PointerPath} {
		r.damage(name, flaws["gone"])
	}
	r.ask(w.at(2))
	r.update()
	if out, err := r.Load(); err != nil || out.Release.Release != 2 {
		t.Fatalf("%+v, %v", out, err)
	}
	if pin, err := r.Rollback(2, "x", time.Time{}); !errors.Is(err, ErrNotKept) {
		t.Errorf("back to the newest: %+v, %v", pin, err)
	}
	r.back(1, time.Time{})
}

// Kills at every stage while an earlier list is in force: it stays, and the newest follows the world.
func TestPinKilledAtEveryStage(t *testing.T) {
	for _, stage := range []string{"list", "sinks"} {
		w := newWorld(t, 1)
		first := w.release(many(3, policy.Testing)...)
		r := w.join(w.mirror())
		r.update()
		w.release(set("x.example", policy.Testing))
		r.killed(stage)
		r.update()
		r.back(0, time.Time{})
		for i := range 3 {
			newest := w.release(set(fmt.Sprintf("k%d.example", i), policy.Testing))
			r.killed(stage)
			r.inForce(first)
			r.update()
			if out := r.inForce(first); out.Newest != newest.Leaf.Release {
				t.Errorf("%s: the newest is %d, want %d", stage, out.Newest, newest.Leaf.Release)
			}
		}
		if all, err := r.Kept(); err != nil || len(all) != 4 {
			t.Errorf("%s: kept are %+v, %v", stage, all, err)
		}
	}
}

// A newcomer took two lists that never were valid, and went back to the first. Once the log shows what they were, neither
// is in force, nor there to go back to.
func TestPinOnAListThatNeverWasValid(t *testing.T) {
	w := newWorld(t, 1)
	w.release(many(40, policy.Testing)...)
	bad := w.usurp(listOf(t, set("evil.example", policy.Enforce)), func(*ReleaseLeaf) {})
	newcomer := w.join(w.mirror())
	newcomer.update()
	more, digest := set("more.example", policy.Enforce), sum(bad.Raw)
	from := w.add(ChangeLeaf{more.Domain, more.Policy, "add.owner", bad.Leaf.Release + 1}.Append(nil))
	w.usurp(listOf(t, set("evil.example", policy.Enforce), more), func(l *ReleaseLeaf) {
		l.Release, l.Previous, l.From = bad.Leaf.Release+1, &digest, from
	})
	newcomer.update()
	newcomer.back(0, time.Time{})
	newcomer.inForce(bad)
	want := w.release(set("y.example", policy.Testing))
	newcomer.update()
	newcomer.holds(want)
	if all, err := newcomer.Kept(); err != nil || len(all) > 0 {
		t.Errorf("kept are %+v, %v", all, err)
	}
	if err := newcomer.Undo(); !errors.Is(err, ErrNotPinned) {
		t.Errorf("the pin is still there: %v", err)
	}
}

// The end of a list can be taken back as well, for a thief of its keys could declare it; and it is asked for as seldom as ever.
func TestPinBeforeTheEnd(t *testing.T) {
	w := newWorld(t, 1)
	first := w.release(set("a.example", policy.Enforce))
	r := w.join(w.mirror())
	r.update()
	w.edit = func(leaf *ReleaseLeaf) { leaf.Override = OverrideFinal }
	w.release(del("a.example"))
	w.edit = nil
	if out := r.update(); !out.Release.IsFinal() {
		t.Fatalf("%+v", out)
	}
	r.back(0, time.Time{})
	m := w.mirror()
	r.ask(m)
	if out := r.update(); len(m.asked) > 0 || !out.List.Equal(first.List) || !r.served.List.Equal(first.List) {
		t.Errorf("asked %q; in force are %d domains, the mail server has %d", m.asked, out.List.Len(), r.served.List.Len())
	}
	w.now = first.Leaf.Expires
	r.update()
	if out, err := r.Load(); err != nil || out.List.Len() != 0 || r.served.List.Len() != 0 {
		t.Errorf("after the end of both: %+v, %v", out, err)
	}
}
