package pipeline_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/starttls-everywhere/policylist/mirror"
	"github.com/starttls-everywhere/policylist/mirror/storetest/judge"
	"github.com/starttls-everywhere/policylist/mirror/storetest/strace"
	"github.com/starttls-everywhere/policylist/pipeline"
	"github.com/starttls-everywhere/policylist/policy"
	"github.com/starttls-everywhere/policylist/policy/proof"
)

// gatedCrash is a crash world whose releases go by the gate. In the run that is interrupted two changes are due, a move by
// proof after its 24 hours and a demotion after its 48; a third domain's proof is seen for the first time, and a fourth
// asks for what nobody proves.
type gatedCrash struct {
	*crashWorld
	vault   *vaultWorld // nil: the state is on the disk
	domains map[string]*sightOf
	before  string // what the gate remembered before the run that is interrupted
	forgets bool   // the disk then loses what the gate remembers
}

// gatedSource is the list: late moves one day after due, forged never.
const gatedSource = `{"policies": {
	"broken.example": {"mode": "enforce", "mxs": ["mx1.broken.example"]},
	"due.example": {"mode": "testing", "mxs": ["%[1]s.due.example"]},
	"forged.example": {"mode": "testing", "mxs": ["%[1]s.forged.example"]},
	"late.example": {"mode": "testing", "mxs": ["%[1]s.late.example"]}
}}`

// newGatedCrash lives up to the run that is to be interrupted, with its state in a bucket if there is one.
func newGatedCrash(t *testing.T, program string, b *bucket) *gatedCrash {
	t.Helper()
	see := func(name string) *sightOf { return &sightOf{mx: "mx1." + name} }
	g := newGated(t, map[string]*sightOf{"broken.example": see("broken.example"), "due.example": see("due.example"),
		"forged.example": see("forged.example"), "late.example": see("late.example")})
	g.write("list/all.json", fmt.Sprintf(gatedSource, "mx1"))
	g.held = map[string]*policy.Policy{"broken.example": policyOf(t, "enforce", "mx1.broken.example")}
	for _, name := range []string{"due", "forged", "late"} {
		g.held[name+".example"] = policyOf(t, "testing", "mx1."+name+".example")
	}
	if b != nil {
		g.Vault = &pipeline.Vault{Store: b.store("gate"), Term: time.Nanosecond}
	}
	g.Gate = nil // or the entry that enforces would take its weeks
	if changed, held := g.day(); len(changed) != 4 {
		t.Fatal(changed, held)
	}
	g.Gate = &pipeline.Gate{}
	g.domains["broken.example"].expired = true
	g.day()
	g.write("list/all.json", fmt.Sprintf(gatedSource, "mx2"))
	for _, name := range []string{"due.example", "forged.example", "late.example"} {
		g.domains[name].mx = "mx2." + name
	}
	g.prove("due.example")
	if changed, held := g.day(); len(changed) > 0 || !slices.Contains(held, "due.example gate.waiting") {
		t.Fatal(changed, held)
	}
	g.prove("late.example")
	w := &gatedCrash{domains: g.domains, crashWorld: &crashWorld{t: t, program: program, home: g.dir, names: []string{"public"}, now: g.now}}
	if b != nil {
		w.vault = &vaultWorld{crashWorld: w.crashWorld, bucket: b}
		w.vault.settle("gate", nil)
	}
	w.args, w.sets = append(w.args, "-gate"), map[string]int{"broken.example": 2, "due.example": 2, "late.example": 2}
	if err := os.Mkdir(filepath.Join(w.home, "evidence"), 0o755); err != nil {
		t.Fatal(err)
	}
	w.join()
	w.now = w.now.Add(23 * time.Hour)
	w.scan()
	return w
}

// prove puts the proof of the domain's move into the DNS.
func (g *gated) prove(domain string) {
	g.domains[domain].txt = proof.For(*policyOf(g.t, "testing", g.domains[domain].mx), g.now.AddDate(0, 0, 50)).String()
}

func (w *gatedCrash) copy(t *testing.T, name string) *gatedCrash {
	t.Helper()
	c := &gatedCrash{domains: w.domains, before: w.remembered()}
	if w.vault == nil {
		c.crashWorld = w.crashWorld.copy(t)
		return c
	}
	c.vault = w.vault.copy(t, w.vault.prefix+"-"+name)
	c.crashWorld = c.vault.crashWorld
	c.args = append(c.args, "-gate")
	return c
}

// scan lets all vantages look now, before the next run, which is an hour later than the clock.
func (w *gatedCrash) scan() {
	w.t.Helper()
	g := gated{vantagePoints: &vantagePoints{operator: &operator{t: w.t, dir: w.home, now: w.now.Add(time.Hour)}}, domains: w.domains, key: vantageKey}
	for _, name := range vantageNames {
		g.write("evidence/"+name+".jsonl", string(g.scan(name)))
	}
}

// remembered is the file of the gate's memory, "" when there is none.
func (w *gatedCrash) remembered() string {
	w.t.Helper()
	folder := filepath.Join(w.home, pipeline.StateDir)
	if w.state != nil {
		folder = w.state()
	}
	data, err := os.ReadFile(filepath.Join(folder, "looks.jsonl.zst"))
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		w.t.Fatal(err)
	}
	return string(data)
}

// goesOn is all that follows the interrupted run: what was due comes once, and what began in it takes its day, no less, and
// no more: only the look of a run that had not decided yet is lost.
func (w *gatedCrash) goesOn() {
	w.t.Helper()
	w.poll()
	first := w.now
	interrupted := w.outbox(4)
	kept := w.remembered() != w.before
	if w.forgets {
		kept = false // the outbox has the evidence of what was released
		if err := os.Remove(filepath.Join(w.home, pipeline.StateDir, "looks.jsonl.zst")); err != nil {
			w.t.Fatal(err)
		}
	}
	if interrupted == nil && !kept {
		first = first.Add(time.Hour)
	}
	w.scan()
	end := w.run(crashRun{})
	w.is(end, "forged.example proof.missing", "late.example gate.waiting")
	w.poll()
	w.keeps(4, interrupted)
	w.now = first.Add(23*time.Hour - time.Minute)
	w.scan()
	w.is(w.run(crashRun{}), "forged.example proof.missing", "late.example gate.waiting")
	w.now = first.Add(23 * time.Hour)
	w.scan()
	w.is(w.run(crashRun{}), "forged.example proof.missing")
	w.poll()
	w.check(4)
	w.explained(first)
}

// is looks whether a run ended well, and what the gate holds after it, beside the entry that it demoted.
func (w *gatedCrash) is(end crashEnd, held ...string) {
	w.t.Helper()
	end.held = slices.DeleteFunc(end.held, func(h string) bool { return strings.HasPrefix(h, "broken.example ") })
	if end.killed || end.err != nil {
		w.fail(&w.wrong.lost, "started again: killed %v, %v", end.killed, end.err)
	} else if !slices.Equal(end.held, held) {
		w.fail(&w.wrong.lost, "held %q, want %q", end.held, held)
	}
}

// explained reads from the log alone that each change has its reason, and came no sooner than its row of the table allows.
func (w *gatedCrash) explained(first time.Time) {
	w.t.Helper()
	signed := map[string]time.Time{"mxs.replaced late.example": first.Add(24 * time.Hour)}
	for _, c := range w.logged() {
		switch what := c.reason + " " + c.domain; what {
		case "mxs.replaced due.example", "demote.auto broken.example":
		case "mxs.replaced late.example":
			if c.at.Before(signed[what]) {
				w.fail(&w.wrong.forks, "%s at %s, not before %s", what, c.at, signed[what])
			}
		default:
			w.fail(&w.wrong.forks, "the log has %s", what)
		}
	}
}

// loggedChange is a change of the log after the first release.
type loggedChange struct {
	reason, domain string
	at             time.Time
}

func (w *gatedCrash) logged() (out []loggedChange) {
	w.t.Helper()
	chain, r := w.chain(), w.stores[0]
	pointer, err := r.Get(w.t.Context(), mirror.PointerPath, 1<<20)
	if err != nil {
		w.t.Fatal(err)
	}
	_, cp, err := mirror.OpenPointer(pointer, chain)
	if err != nil {
		w.t.Fatal(err)
	}
	entries, err := mirror.ReadEntries(w.t.Context(), r, 0, cp.Tree.N)
	if err != nil {
		w.t.Fatal(err)
	}
	replay := mirror.NewReplay(chain, nil)
	for _, e := range entries {
		got := replay.Add(e)
		if got == nil || got.Leaf.Release == 1 {
			continue
		}
		for _, c := range replay.Changes() {
			out = append(out, loggedChange{c.Reason, c.Domain.String(), got.Leaf.Timestamp})
		}
	}
	return out
}

// TestFiguresCrashGate is TestFiguresCrash where the gate decides: after every crash what was due is released once, what
// waits is neither let through early nor made to begin its time again, and what nobody asked for stays out. In the short
// form each moment goes wrong in one way, and with the state in a bucket only what decides there.
func TestFiguresCrashGate(t *testing.T) {
	program, f := buildPublisher(t), &crashFigures{}
	t.Run("on a disk", func(t *testing.T) { f.gateGroup(t, newGatedCrash(t, program, nil)) })
	t.Run("in a bucket", func(t *testing.T) { f.gateGroup(t, newGatedCrash(t, program, newBucket(t))) })
	t.Logf("figures: crash points with a gate %d, fired %d, lost %d, doubled %d, forks or early changes %d, client errors %d",
		f.points, f.fired, f.lost, f.doubled, f.forks, f.clients)
	if f.points < 20 || f.fired != f.points {
		t.Errorf("%d points, %d of them fired", f.points, f.fired)
	}
}

func (f *crashFigures) gateGroup(t *testing.T, base *gatedCrash) {
	undisturbed := base.copy(t, "undisturbed")
	end := undisturbed.run(crashRun{at: func(string) { undisturbed.poll() }})
	undisturbed.is(end, "forged.example proof.missing", "late.example gate.waiting")
	for i, moment := range end.moments {
		for j, mode := range []string{"before", "after", "lied"} {
			idle := strings.HasPrefix(moment, "step.") || strings.Contains(moment, ".get")
			if idle && mode != "before" || !full() && !(base.inShort(moment) && (j == i%3 || moment == "evidence.get#1")) {
				continue
			}
			for _, forgets := range []bool{false, true} {
				if forgets && base.vault != nil || !full() && forgets != (i%2 == 0 && base.vault == nil) {
					continue
				}
				t.Run(fmt.Sprintf("%s %s, forgets=%v", mode, moment, forgets), func(t *testing.T) {
					t.Parallel()
					w := base.copy(t, fmt.Sprintf("%d-%s", i, mode))
					w.forgets = forgets
					f.gatePoint(t, w, crashRun{point: moment, mode: mode})
				})
			}
		}
	}
	t.Run("judge", func(t *testing.T) {
		if err := judge.Fsck(t, "file://"+filepath.Join(undisturbed.home, "public"), undisturbed.chain().Newest().LogVKey()); err != nil {
			t.Error(err)
		}
	})
}

// inShort reports whether the short form has a moment.
func (w *gatedCrash) inShort(moment string) bool {
	if w.vault != nil {
		return strings.HasPrefix(moment, "vault.swap.state")
	}
	return !strings.HasPrefix(moment, "public.get")
}

func (f *crashFigures) gatePoint(t *testing.T, w *gatedCrash, r crashRun) {
	end := w.run(r)
	f.count(t, end.killed == (r.mode != "lied") && end.lied == (r.mode == "lied"), end.err)
	w.goesOn()
	f.mu.Lock()
	defer f.mu.Unlock()
	f.verdict.add(w.wrong)
}

// count counts a point.
func (f *crashFigures) count(t *testing.T, fired bool, said any) {
	t.Helper()
	if !fired {
		t.Errorf("it did not go wrong there: %v", said)
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.points++
	if fired {
		f.fired++
	}
}

// gateCalls are the system calls by which the gate's memory becomes durable.
var gateCalls = []struct{ call, path string }{{"/^rename", "state/looks.jsonl.zst"}, {"fsync", "state"}, {"/^open", "state/looks.jsonl.zst"}}

// TestFiguresCrashGateSyscalls fails and kills the publisher in the middle of writing what the gate remembers.
func TestFiguresCrashGateSyscalls(t *testing.T) {
	tracer, program := strace.Find(t), buildPublisher(t)
	base, f := newGatedCrash(t, program, nil), &crashFigures{}
	t.Run("points", func(t *testing.T) {
		for _, call := range gateCalls {
			for _, inject := range []string{"signal=KILL", "error=EIO"} {
				t.Run(call.call+" "+call.path+" "+inject, func(t *testing.T) {
					t.Parallel()
					w := base.copy(t, "")
					r := strace.Run(t, tracer, strace.Point{Path: filepath.Join(w.home, call.path), Call: call.call, Inject: inject}, program, w.deaf()...)
					f.count(t, r.Fired && r.Killed == (inject == "signal=KILL"), r.Output)
					w.goesOn()
					f.mu.Lock()
					defer f.mu.Unlock()
					f.verdict.add(w.wrong)
				})
			}
		}
	})
	t.Logf("figures: crash points at the gate's memory %d, fired %d, lost %d, doubled %d, forks or early changes %d, client errors %d",
		f.points, f.fired, f.lost, f.doubled, f.forks, f.clients)
}

// deaf are the arguments of a run under a tracer, an hour later.
func (w *crashWorld) deaf(more ...string) []string {
	w.now = w.now.Add(time.Hour)
	args := append([]string{"-home", w.home, "-now", w.now.Format(policy.TimeFormat), "-deaf"}, w.args...)
	return append(append(args, more...), w.names...)
}
