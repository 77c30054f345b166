package pipeline_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/starttls-everywhere/policylist/mirror/storetest/judge"
)

// crashGroups are the mirrors of a publisher, and which of them it cannot reach when it is killed and started again.
var crashGroups = []struct {
	name    string
	mirrors []string
	down    string
}{
	{"1 mirror", []string{"a"}, ""},
	{"3 mirrors", []string{"a", "b", "c"}, ""},
	{"3 mirrors, the first down", []string{"a", "b", "c"}, "a"},
}

// crashFigures is what the matrix came to.
type crashFigures struct {
	mu            sync.Mutex
	points, fired int
	verdict
}

// TestFiguresCrash kills a publisher, a process of its own, before and after everything that it does to its log, its
// mirrors and with its keys, or lets it do that and tells it that it failed. Clients ask all along. Then it is started
// again, with a change more in the source; and there must be one history, in which nothing is missing or twice.
func TestFiguresCrash(t *testing.T) {
	t.Parallel()
	program := buildPublisher(t)
	f := &crashFigures{}
	for _, g := range crashGroups {
		t.Run(g.name, func(t *testing.T) { f.group(t, newCrashWorld(t, program, g.mirrors...), g.down) })
	}
	t.Logf("figures: crash points %d, fired %d, lost %d, doubled %d, forks %d, client errors %d",
		f.points, f.fired, f.lost, f.doubled, f.forks, f.clients)
	if f.points < 150 || f.fired != f.points {
		t.Errorf("%d points, %d of them fired", f.points, f.fired)
	}
}

func buildPublisher(t testing.TB) string {
	t.Helper()
	program := filepath.Join(t.TempDir(), "publisher")
	cmd := exec.Command("go", "build", "-buildvcs=false", "-o", program, "./testdata/publisher")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	return program
}

// group lets every moment of a release be the one. With several mirrors each moment goes wrong in one way only, the three
// in turn, unless POLICYLIST_FULL=1.
func (f *crashFigures) group(t *testing.T, base *crashWorld, down string) {
	all := len(base.names) == 1 || os.Getenv("POLICYLIST_FULL") == "1"
	base.change("third", 9)
	undisturbed := base.copy(t)
	end := undisturbed.run(crashRun{down: down, at: func(string) { undisturbed.poll() }})
	if end.err != nil {
		t.Fatal(end.err)
	}
	for i, moment := range end.moments {
		for j, mode := range []string{"before", "after", "lied"} {
			// After a look, or a note in the journal, is before what comes next.
			idle := strings.HasPrefix(moment, "step.") || strings.Contains(moment, ".get.")
			if idle && mode != "before" || !idle && !all && j != i%3 {
				continue
			}
			t.Run(mode+" "+moment, func(t *testing.T) {
				t.Parallel()
				f.point(t, base.copy(t), crashRun{down: down, point: moment, mode: mode})
			})
		}
	}
	t.Run("judge", func(t *testing.T) {
		undisturbed.t = t
		undisturbed.finish()
		for _, name := range undisturbed.names {
			url := "file://" + filepath.Join(undisturbed.home, name)
			if err := judge.Fsck(t, url, undisturbed.chain().Newest().LogVKey()); err != nil {
				t.Error(err)
			}
		}
	})
}

// point is the story of one crash.
func (f *crashFigures) point(t *testing.T, w *crashWorld, r crashRun) {
	end := w.run(r)
	fired := end.killed == (r.mode != "lied") && end.lied == (r.mode == "lied")
	if !fired {
		t.Errorf("killed %v, lied %v: %v", end.killed, end.lied, end.err)
	}
	w.poll()
	third := w.outbox(3)
	w.change("fourth", 1)
	w.finish(r.down)
	if r.down != "" {
		w.finish()
	}
	w.poll()
	w.keeps(3, third)
	w.check(5 + crashFill + 1 + 9 + 1)
	f.mu.Lock()
	defer f.mu.Unlock()
	f.points++
	if fired {
		f.fired++
	}
	f.verdict.add(w.wrong)
}
