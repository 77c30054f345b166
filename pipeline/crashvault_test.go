package pipeline_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/starttls-everywhere/policylist/mirror/storetest/judge"
	"github.com/starttls-everywhere/policylist/pipeline"
	"github.com/starttls-everywhere/policylist/transparency/tilelog"
	"github.com/starttls-everywhere/policylist/transparency/witness/witnesstest"
)

// TestFiguresCrashVault is TestFiguresCrash for a publisher whose state is in a bucket: killed before and after every
// write to it, or told that the write failed that succeeded, with a witness and without. The next process begins with
// nothing on its disk. With POLICYLIST_FULL=1 it is also killed at all else that it does.
func TestFiguresCrashVault(t *testing.T) {
	t.Parallel()
	program := buildPublisher(t)
	b := newBucket(t)
	f := &crashFigures{}
	for _, witnessed := range []bool{false, true} {
		t.Run(fmt.Sprint("witness=", witnessed), func(t *testing.T) { f.vaultGroup(t, newVaultWorld(t, program, b, witnessed)) })
	}
	t.Logf("figures: crash points with the state on S3 %d, fired %d, lost %d, doubled %d, forks %d, client errors %d",
		f.points, f.fired, f.lost, f.doubled, f.forks, f.clients)
	least := 25
	if full() {
		least = 200
	}
	if f.points < least || f.fired != f.points {
		t.Errorf("%d points, %d of them fired", f.points, f.fired)
	}
}

func full() bool { return os.Getenv("POLICYLIST_FULL") == "1" }

// vaultWorld is a crash world with the state in a bucket and, perhaps, a witness.
type vaultWorld struct {
	*crashWorld
	bucket *bucket
	prefix string
	hub    *witnessHub // nil: the trust asks for no witness
}

func newVaultWorld(t *testing.T, program string, b *bucket, witnessed bool) *vaultWorld {
	t.Helper()
	o := newOperator(t)
	w := &vaultWorld{bucket: b, crashWorld: &crashWorld{t: t, program: program, home: o.dir, names: []string{"a"}, now: o.now}}
	if witnessed {
		w.hub = newWitnessHub(t, o.Trust.Newest().LogVKey())
		o.askWitnesses(w.hub.base.Line() + "quorum w\n")
	}
	w.settle(fmt.Sprintf("base%v", witnessed), nil)
	w.begin()
	return w
}

// settle gives the world its place in the bucket, and its witness with the memory of another.
func (w *vaultWorld) settle(prefix string, memory *witnesstest.Fake) {
	w.t.Helper()
	w.prefix, w.env = prefix, w.bucket.gateway.Env()
	w.args = []string{"-vault", w.bucket.gateway.URL(prefix)}
	w.state = w.copyState
	if w.hub != nil {
		w.args = append(w.args, "-agent", prefix)
		guest := w.hub.guest(prefix, memory, func() time.Time { return w.now })
		w.started = guest.watch
	}
}

// copy is the same world elsewhere, the bucket's objects with their headers among it.
func (w *vaultWorld) copy(t *testing.T, prefix string) *vaultWorld {
	t.Helper()
	c := &vaultWorld{crashWorld: w.crashWorld.copy(t), bucket: w.bucket, hub: w.hub}
	from, to := filepath.Join(w.bucket.gateway.Folder, w.prefix), filepath.Join(w.bucket.gateway.Folder, prefix)
	if out, err := exec.Command("cp", "-a", from, to).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	var memory *witnesstest.Fake
	if w.hub != nil {
		memory = w.hub.of(w.prefix).fake
	}
	c.settle(prefix, memory)
	return c
}

// copyState brings the state from the bucket, as a dry run does.
func (w *vaultWorld) copyState() string {
	w.t.Helper()
	folder := w.t.TempDir()
	p := pipeline.Publisher{
		Source: filepath.Join(w.home, pipeline.SourceDir), State: folder, Vault: &pipeline.Vault{Store: w.bucket.store(w.prefix)}, Trust: w.chain(),
		OpenLog: func(dir string) (pipeline.Log, error) { return tilelog.Open(dir) }, Now: func() time.Time { return w.now }, Log: quiet(),
	}
	p.Plan(w.t.Context()) // whatever would be released
	return folder
}

// vaultGroup lets every moment be the one: in the short form those of the vault and the witness, each in one way.
func (f *crashFigures) vaultGroup(t *testing.T, base *vaultWorld) {
	base.change("third", 9)
	undisturbed := base.copy(t, base.prefix+"-undisturbed")
	end := undisturbed.run(crashRun{at: func(string) { undisturbed.poll() }})
	if end.err != nil {
		t.Fatal(end.err)
	}
	moments := end.moments
	if base.hub != nil {
		moments = append(moments, witnessPoint)
	}
	for i, moment := range moments {
		kept := strings.HasPrefix(moment, "vault.") || moment == witnessPoint
		for j, mode := range []string{"before", "after", "lied"} {
			idle := strings.HasPrefix(moment, "step.") || strings.Contains(moment, ".get.")
			if idle && mode != "before" || !full() && !(kept && (j == i%3 && base.inShort(moment) || moment == witnessPoint)) {
				continue
			}
			t.Run(mode+" "+moment, func(t *testing.T) {
				t.Parallel()
				f.vaultPoint(t, base.copy(t, fmt.Sprintf("%s-%d-%s", base.prefix, i, mode)), crashRun{point: moment, mode: mode})
			})
		}
	}
	t.Run("judge", func(t *testing.T) {
		undisturbed.t = t
		undisturbed.finish()
		if err := judge.Fsck(t, "file://"+filepath.Join(undisturbed.home, "a"), undisturbed.chain().Newest().LogVKey()); err != nil {
			t.Error(err)
		}
	})
}

// inShort reports whether the short form has a moment: without a witness only what decides.
func (w *vaultWorld) inShort(moment string) bool {
	return w.hub != nil || strings.HasPrefix(moment, "vault.swap.state")
}

// vaultPoint is the story of one crash.
func (f *crashFigures) vaultPoint(t *testing.T, w *vaultWorld, r crashRun) {
	var guest *witnessGuest
	if w.hub != nil {
		guest = w.hub.of(w.prefix)
		if r.point == witnessPoint {
			guest.disturb(r.mode)
		}
	}
	end := w.run(r)
	fired := end.killed == (r.mode != "lied") && end.lied == (r.mode == "lied")
	if r.point == witnessPoint {
		fired = guest.done() && end.killed == (r.mode != "lied")
	}
	if !fired {
		t.Errorf("killed %v, lied %v: %v", end.killed, end.lied, end.err)
	}
	w.poll()
	third := w.outbox(3)
	w.change("fourth", 1)
	w.finish()
	w.poll()
	w.keeps(3, third)
	w.check(5 + crashFill + 1 + 9 + 1)
	if guest != nil && guest.fake.Size() == 0 {
		t.Error("the witness was not asked")
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.points++
	if fired {
		f.fired++
	}
	f.verdict.add(w.wrong)
}

// witnessPoint is the moment in which a witness is asked.
const witnessPoint = "witness.add"

// witnessHub is one witness, by its address and key, for many worlds that know nothing of each other: they ask under
// different names.
type witnessHub struct {
	base *witnesstest.Fake

	mu     sync.Mutex
	guests map[string]*witnessGuest
}

func newWitnessHub(t *testing.T, logVKey string) *witnessHub {
	t.Helper()
	h := &witnessHub{base: witnesstest.StartFake(t, "w", logVKey, time.Now), guests: map[string]*witnessGuest{}}
	s := httptest.NewServer(h)
	t.Cleanup(s.Close)
	h.base.URL = s.URL
	return h
}

func (h *witnessHub) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	g := h.of(r.UserAgent())
	if g == nil {
		http.NotFound(w, r)
		return
	}
	g.ServeHTTP(w, r)
}

func (h *witnessHub) of(name string) *witnessGuest {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.guests[name]
}

// guest opens a world's own witness.
func (h *witnessHub) guest(name string, memory *witnesstest.Fake, now func() time.Time) *witnessGuest {
	if memory == nil {
		memory = h.base
	}
	g := &witnessGuest{fake: memory.Clone()}
	g.fake.Now = now
	h.mu.Lock()
	defer h.mu.Unlock()
	h.guests[name] = g
	return g
}

// witnessGuest is the witness of one world, whose publisher it can kill.
type witnessGuest struct {
	fake *witnesstest.Fake

	mu      sync.Mutex
	process *os.Process
	mode    string // what is to go wrong with the next question
	fired   bool
}

func (g *witnessGuest) watch(p *os.Process) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.process = p
}

func (g *witnessGuest) disturb(mode string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.mode = mode
}

func (g *witnessGuest) done() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.fired
}

func (g *witnessGuest) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	g.mu.Lock()
	mode, process := g.mode, g.process
	if r.Method == http.MethodPost && mode != "" {
		g.mode, g.fired = "", true
	}
	g.mu.Unlock()
	if mode == "" || r.Method != http.MethodPost {
		g.fake.ServeHTTP(w, r)
		return
	}
	if mode != "before" {
		g.fake.ServeHTTP(httptest.NewRecorder(), r)
	}
	if mode != "lied" {
		process.Signal(syscall.SIGKILL)
	}
	panic(http.ErrAbortHandler) // no answer
}
