package pipeline_test

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/mod/sumdb/tlog"

	"github.com/starttls-everywhere/policylist/mirror"
	"github.com/starttls-everywhere/policylist/mirror/durable"
	"github.com/starttls-everywhere/policylist/mirror/storetest"
	"github.com/starttls-everywhere/policylist/pipeline"
	"github.com/starttls-everywhere/policylist/policy"
)

// racers begin a release at the same moment, rounds times in each world.
const (
	racers     = 8
	raceRounds = 50

	// fierce is one round in so many, in which leases end as soon as they begin and who is turned away comes again:
	// everybody takes over from everybody, and only the state itself decides.
	fierce = 5
)

// raceFigures is what races came to.
type raceFigures struct {
	rounds, releases, refused, taken int
	verdict
}

// TestFiguresRaces lets eight publishers of one list release at once, again and again: on one state folder, and each with
// an empty folder on one state in a bucket. Each round the list has a change that was not there before. Some publish, one
// after the other; the others are turned away and are told by whom, or find that they were taken over. In the end there is one history in which every change
// stands once. The rounds with POLICYLIST_FULL=1 are 1,000 of each.
func TestFiguresRaces(t *testing.T) {
	worlds := 1
	if os.Getenv("POLICYLIST_FULL") == "1" {
		worlds = 20
	}
	b := newBucket(t)
	b.pause = time.Millisecond
	for _, place := range []string{"one folder", "one bucket"} {
		var f raceFigures
		for n := range worlds {
			t.Run(fmt.Sprintf("%s %d", place, n), func(t *testing.T) {
				w := newRaceWorld(t)
				if place == "one bucket" {
					w.buckets(b, fmt.Sprintf("state%d", n))
				}
				for range raceRounds {
					w.round(&f)
				}
				w.now = w.now.Add(time.Hour)
				if _, err := w.racer(0).Release(t.Context()); err != nil { // a mirror that somebody set back is brought up
					t.Error(err)
				}
				w.check(&f)
			})
		}
		t.Logf("figures: publisher races in %s: %d publishers x %d rounds, %d releases, turned away %d, taken over %d, forks %d, lost %d, doubled %d",
			place, racers, f.rounds, f.releases, f.refused, f.taken, f.forks, f.lost, f.doubled)
	}
}

// raceWorld is one list and those who publish it.
type raceWorld struct {
	*operator
	clock  atomic.Int64 // seconds since the operator's now; it goes on with each look
	rounds int
	vaults []pipeline.VaultStore // of each publisher; nil: they share the folder
	seen   []*pipeline.Published
}

func newRaceWorld(t *testing.T) *raceWorld {
	w := &raceWorld{operator: newOperator(t)}
	w.dir = moved(t, w.dir)
	t.Setenv("TMPDIR", memoryDir(t)) // for publishers that begin with an empty folder
	return w
}

func (w *raceWorld) buckets(b *bucket, prefix string) {
	for range racers {
		w.vaults = append(w.vaults, b.store(prefix))
	}
}

// racer is a new publisher, like a process of its own: locks of one process's open files exclude each other.
func (w *raceWorld) racer(i int) *pipeline.Publisher {
	p := w.publisher("public")
	p.Now = func() time.Time { return w.now.Add(time.Duration(w.clock.Add(1)) * time.Second) }
	p.SkipVerify = true
	if w.vaults != nil {
		p.State, p.Vault = "", &pipeline.Vault{Store: w.vaults[i]}
		if w.rounds%fierce == 0 {
			p.Vault.Term = time.Nanosecond
		}
	}
	return p
}

// change is what the next round is about.
func (w *raceWorld) change() {
	w.t.Helper()
	w.rounds++
	w.write("list/domains/race.json", `{"policies":{"race.example":`+racePolicy(w.rounds)+`}}`)
}

func racePolicy(round int) string {
	return fmt.Sprintf(`{"mode":"testing","mxs":["mx%d.race.example"]}`, round)
}

// round lets all racers go at once.
func (w *raceWorld) round(f *raceFigures) {
	w.t.Helper()
	w.change()
	var publishers []*pipeline.Publisher
	for i := range racers {
		publishers = append(publishers, w.racer(i))
	}
	start, ends := make(chan struct{}), make([]error, racers)
	outs := make([]*pipeline.Published, racers)
	var published atomic.Bool
	var group sync.WaitGroup
	for i, p := range publishers {
		group.Go(func() {
			<-start
			for tries := 0; ; tries++ {
				outs[i], ends[i] = p.Release(w.t.Context())
				if w.rounds%fierce != 0 || !errors.Is(ends[i], pipeline.ErrLeased) || published.Load() || tries > 100 {
					break
				}
			}
			if ends[i] == nil {
				published.Store(true)
			}
		})
	}
	close(start)
	group.Wait()
	won := 0
	for i, err := range ends {
		switch {
		case err == nil:
			won++
			w.seen = append(w.seen, outs[i])
		case errors.Is(err, pipeline.ErrFenced):
			f.taken++
		case errors.Is(err, durable.ErrLocked) && strings.Contains(err.Error(), "another release is running"),
			errors.Is(err, pipeline.ErrLeased) && strings.Contains(err.Error(), "another publisher is at work"):
			f.refused++
		default:
			w.t.Errorf("round %d: %v", w.rounds, err)
		}
	}
	if won == 0 {
		f.lost++
		w.t.Errorf("round %d: nobody published: %v", w.rounds, ends)
	}
	f.rounds++
	f.releases += won
}

// check replays the log and counts what each round wanted to say.
func (w *raceWorld) check(f *raceFigures) {
	w.t.Helper()
	fail := func(count *int, format string, args ...any) {
		w.t.Helper()
		*count++
		w.t.Errorf(format, args...)
	}
	r := w.publisher("public").Mirrors[0].Store
	data, err := r.Get(w.t.Context(), mirror.PointerPath, 1<<20)
	if err != nil {
		w.t.Fatal(err)
	}
	last, cp, err := mirror.OpenPointer(data, w.Trust)
	if err != nil {
		w.t.Fatal(err)
	}
	entries, err := mirror.ReadEntries(w.t.Context(), r, 0, cp.Tree.N)
	if err != nil {
		w.t.Fatal(err)
	}
	replay, next, said := mirror.NewReplay(w.Trust, nil), int64(1), map[string]int{}
	var hashes hashList
	for i, e := range entries {
		stored, err := tlog.StoredHashes(int64(i), e, hashes)
		if err != nil {
			w.t.Fatal(err)
		}
		hashes = append(hashes, stored...)
		if got := replay.Add(e); got != nil {
			if got.Leaf.Release != next {
				fail(&f.lost, "release %d where %d should be", got.Leaf.Release, next)
			}
			next++
			for _, c := range replay.Changes() {
				if c.Policy != nil {
					said[string(c.Policy.AppendJSON(nil))]++
				}
			}
		}
	}
	if alarms, _ := replay.Alarms(); len(alarms) > 0 || next != last.Leaf.Release+1 {
		fail(&f.doubled, "%d releases in the log, the pointer shows %d; alarms %v", next-1, last.Leaf.Release, alarms)
	}
	if root, err := tlog.TreeHash(cp.Tree.N, hashes); err != nil || root != cp.Tree.Hash {
		fail(&f.forks, "the checkpoint's root is not that of the entries: %v", err)
	}
	w.claims(f, hashes, cp.Tree.N)
	for round := 1; round <= w.rounds; round++ {
		switch n := said[racePolicy(round)]; {
		case n == 0:
			fail(&f.lost, "nobody published what round %d was about", round)
		case n > 1:
			fail(&f.doubled, "what round %d was about was published %d times", round, n)
		}
	}
}

// claims looks whether what publishers say that they published is what everybody sees.
func (w *raceWorld) claims(f *raceFigures, hashes hashList, size int64) {
	w.t.Helper()
	number := map[int64]bool{}
	for _, p := range w.seen {
		n := p.Leaf().Release
		if number[n] {
			f.doubled++
			w.t.Errorf("two publishers published a release %d", n)
		}
		number[n] = true
		if tree := p.Tree(); tree.N > size {
			f.forks++
			w.t.Errorf("a publisher signed a tree of %d entries, the mirror has %d", tree.N, size)
		} else if root, err := tlog.TreeHash(tree.N, hashes); err != nil || root != tree.Hash {
			f.forks++
			w.t.Errorf("a publisher signed another tree of %d entries: %v", tree.N, err)
		}
	}
}

// TestRacingProcesses is the race in one folder with processes.
func TestRacingProcesses(t *testing.T) {
	program := buildPublisher(t)
	w := newRaceWorld(t)
	var f raceFigures
	for round := range 5 {
		w.change()
		commands, said := make([]*exec.Cmd, racers), make([]bytes.Buffer, racers)
		for i := range commands {
			at := w.now.Add(time.Duration(round*racers+i+1) * time.Minute)
			commands[i] = exec.Command(program, "-home", w.dir, "-now", at.Format(policy.TimeFormat), "public")
			commands[i].Stdin, commands[i].Stderr = strings.NewReader(strings.Repeat("\n", 10_000)), &said[i]
		}
		for _, c := range commands {
			if err := c.Start(); err != nil {
				t.Fatal(err)
			}
		}
		won := 0
		for i, c := range commands {
			switch err := c.Wait(); {
			case err == nil:
				won++
			case strings.Contains(said[i].String(), "another release is running"):
				f.refused++
			case !strings.Contains(said[i].String(), "clock"): // it came after one whose time is later
				t.Errorf("round %d: %v: %s", w.rounds, err, said[i].String())
			}
		}
		if f.releases += won; won == 0 {
			t.Errorf("round %d: nobody published", w.rounds)
		}
	}
	w.check(&f)
	t.Logf("figures: racing processes: %d x 5 rounds, %d releases, turned away %d, forks %d, lost %d, doubled %d",
		racers, f.releases, f.refused, f.forks, f.lost, f.doubled)
}

// TestReleaseOnARacingPair: two gateways over one folder do not decide between two writers, and share the requests among
// them. Who does not name the one publisher gets nothing published there; whether a probe hits a race is a matter of luck.
func TestReleaseOnARacingPair(t *testing.T) {
	a, second := storetest.StartRacingPair(t)
	b := &bucket{t: t, gateway: a, endpoint: storetest.Between(t, a.Endpoint, second.Endpoint)}
	for n := range 20 {
		o := newOperator(t, "public").remote(b.store(fmt.Sprintf("state%d", n)))
		_, err := o.Release(t.Context())
		if err == nil {
			continue
		}
		if !errors.Is(err, pipeline.ErrPublisher) || !strings.Contains(err.Error(), "two winners") {
			t.Fatal(err)
		}
		if left, _ := filepath.Glob(o.path("public/[a-z]*")); len(left) > 0 {
			t.Errorf("it published %v all the same", left)
		}
		o.Vault.Publisher = "ci"
		o.release()
		return
	}
	t.Error("twenty stores were probed and none was found to race")
}
