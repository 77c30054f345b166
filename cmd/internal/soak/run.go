package soak

import (
	"context"
	"encoding/json"
	"errors"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"github.com/starttls-everywhere/policylist/mirror"
	"github.com/starttls-everywhere/policylist/pipeline"
	"github.com/starttls-everywhere/policylist/policy"
)

// askers is how many connections the daemon is asked over at the same time.
const askers = 2

// Run runs a soak until its time is over and says how it went. The error is one that kept it from being run: what was wrong
// with the list is in the report. When ctx ends it ends early, with what was seen so far.
func Run(ctx context.Context, o Options) (Report, error) {
	if o.FaultEvery == 0 {
		o.FaultEvery = time.Minute
	}
	all, cancel := context.WithCancel(context.WithoutCancel(ctx)) // an update that has begun is judged to its end
	defer cancel()
	w, err := newWorld(all, o)
	if err != nil {
		return Report{}, err
	}
	defer w.close()
	asking, stop := context.WithCancel(all)
	var asked sync.WaitGroup
	for i := range askers {
		asked.Go(func() { w.daemon.ask(asking, rand.New(rand.NewPCG(o.Seed, uint64(3+i))), domains()) })
	}
	err = w.run(ctx, all)
	stop()
	asked.Wait()
	w.note(func(r *Report) {
		r.Seconds, r.Hours = time.Since(w.began).Seconds(), w.now().Sub(w.start).Hours()
		r.Heap, r.RSS = trend(w.heap, heapShare, heapLeast), trend(w.rss, rssShare, rssLeast)
	})
	return w.Report, err
}

// run makes release after release, with a fault in the first half of each period and none in the second, at whose end
// everything has to be as if nothing had happened. It ends after the last period that ctx and the time leave.
func (w *world) run(ctx, all context.Context) error {
	cards := deck{rnd: w.rnd, all: w.kinds()}
	w.began = time.Now()
	for period := 0; ; period++ {
		if ctx.Err() != nil || w.over(period) {
			return nil
		}
		var err error
		if w.fault, err = w.strike(all, cards.draw()); err != nil {
			return err
		}
		if err := w.rounds(ctx, all); err != nil {
			return err
		}
		w.fault.heal()
		w.fault = fault{}
		if err := w.rounds(ctx, all); err != nil {
			return err
		}
		w.settled()
	}
}

// over reports whether the run has had its time.
func (w *world) over(period int) bool {
	if w.o.periods > 0 {
		return period >= w.o.periods
	}
	return time.Since(w.began) >= w.o.For
}

// roundsOfHalf is how many rounds half a period has at least: what a fault does in one shows in the next.
const roundsOfHalf = 2

// rounds is half a period.
func (w *world) rounds(ctx, all context.Context) error {
	began := time.Now()
	for n := 0; n < roundsOfHalf || w.o.periods == 0 && ctx.Err() == nil && time.Since(began) < w.o.FaultEvery/2 && time.Since(w.began) < w.o.For; n++ {
		start := time.Now()
		if err := w.next(all); err != nil {
			return err
		}
		sleep(ctx, w.o.Pace-time.Since(start))
	}
	return nil
}

// next is one release and what comes of it.
func (w *world) next(ctx context.Context) error {
	w.time.Add(int64(interval))
	if w.o.tamper != nil {
		if err := w.o.tamper(w, w.round); err != nil {
			return err
		}
	}
	w.round++
	w.source.edit()
	if err := w.source.write(w.path(pipeline.SourceDir)); err != nil {
		return err
	}
	if w.o.periods == 0 { // a short run has few rounds
		w.measure()
	}
	w.release(ctx)
	w.lookAround(ctx)
	if w.o.periods == 0 {
		w.measure()
	}
	err := w.follow(ctx)
	w.measure()
	return err
}

// strikes reports whether the fault is one of these and strikes this time.
func (w *world) strikes(these ...kind) bool {
	if !slices.Contains(these, w.fault.kind) || w.fault.shots == 0 {
		return false
	}
	w.fault.shots--
	return true
}

// release lets the publisher run once.
func (w *world) release(ctx context.Context) {
	var err error
	if k := w.fault.kind; w.strikes(publisherKilled, publisherFull) {
		err = w.breakRelease(ctx, k)
	} else {
		err = w.releaseHere(ctx)
	}
	switch {
	case err == nil:
	case errors.Is(err, pipeline.ErrFork), errors.Is(err, pipeline.ErrAhead), errors.Is(err, mirror.ErrConflict):
		w.wrong(fork, "the publisher: %v", err)
	case w.fault.kind == "":
		w.wrong(lost, "the publisher, with nothing in its way: %v", err)
	default:
		w.note(func(r *Report) { r.Failed++ })
	}
}

func (w *world) releaseHere(ctx context.Context) error {
	w.calls.n.Store(0)
	out, err := w.publisher.Release(ctx)
	if err != nil {
		return err
	}
	if policy.HasErrors(out.Findings) || len(out.Held) > 0 {
		w.wrong(lost, "release %d holds %d changes back; its source has %d findings", out.Leaf().Release, len(out.Held), len(out.Findings))
	}
	for _, m := range out.Mirrors {
		if m.Err != nil && w.fault.kind == "" {
			w.wrong(lost, "mirror %s, with nothing in its way: %v", m.Name, m.Err)
		}
	}
	return nil
}

// lookAround lets the judge see every mirror, the one with the most first by chance or not: it follows whatever is larger.
func (w *world) lookAround(ctx context.Context) {
	for _, p := range w.places {
		w.judge.look(ctx, p.Name, p.reader)
	}
}

// follow lets both clients update, and the daemon take up what its own has.
func (w *world) follow(ctx context.Context) error {
	for _, f := range []*follower{w.static, w.behind} {
		if f == w.fault.follower && w.fault.kind == clientDamaged && w.strikes(clientDamaged) {
			if err := w.damage(f); err != nil {
				return err
			}
		}
		if k := w.fault.kind; f == w.fault.follower && w.strikes(clientKilled, clientFull) {
			_ = w.breakUpdate(ctx, k, f) // to fail is its lot; the files are judged
			w.judge.holds(f)
			continue
		}
		w.update(ctx, f)
	}
	return nil
}

// updateTime bounds an update, and with it a mirror that would make the run stand still.
const updateTime = time.Minute

// update lets a client update, which has to end well: two mirrors out of three are always good.
func (w *world) update(ctx context.Context, f *follower) {
	ctx, cancel := context.WithTimeout(ctx, updateTime)
	defer cancel()
	f.calls.n.Store(0)
	f.client.First = w.edits.IntN(len(f.client.Sources))
	if w.fault.kind != "" && f == w.static {
		f.client.First = w.fault.place // to meet what is wrong
	}
	out, err := f.client.Update(ctx)
	w.note(func(r *Report) {
		r.Updates++
		if len(out.Problems) > 0 {
			r.Refused++
		}
	})
	switch {
	case errors.Is(err, mirror.ErrSecurity):
		w.wrong(fork, "client %s: %v", f.name, err)
		return
	case err != nil:
		w.wrong(lost, "client %s: %v; %q", f.name, err, out.Problems)
		return
	case out.Held != "" || len(out.Alarms) > 0:
		w.wrong(doubled, "client %s: held back %q, alarms %v", f.name, out.Held, out.Alarms)
	}
	w.judge.updated(f, out.Release.Release)
	if f == w.behind {
		w.reload()
	}
}

// reload lets the daemon take up what its client holds.
func (w *world) reload() {
	data, err := os.ReadFile(filepath.Join(w.behind.folder, tableFile))
	if err == nil {
		err = w.daemon.reload(w.behind.client, data)
	}
	if err != nil {
		w.wrong(misanswer, "the daemon: %v", err)
	}
}

// settled judges what has to be so when nothing has been wrong for a while: every mirror and client has the newest release,
// and that says what the source says.
func (w *world) settled() {
	newest, size := w.judge.newest(), w.judge.rng.Size()
	for _, p := range w.places {
		if n := w.judge.shown[p.Name]; n != size {
			w.wrong(lost, "mirror %s has %d of %d log entries, with nothing in its way", p.Name, n, size)
		}
	}
	for _, f := range []*follower{w.static, w.behind} {
		if f.release != newest {
			w.wrong(lost, "client %s has release %d of %d, with nothing in its way", f.name, f.release, newest)
		}
	}
	want := w.source.entries()
	for domain, text := range w.judge.policies {
		var got entry
		if err := json.Unmarshal([]byte(text), &got); err != nil || !same(got, want[domain]) {
			w.wrong(lost, "release %d says %s of %s, the source says %v", newest, text, domain, want[domain])
		}
		delete(want, domain)
	}
	for domain := range want {
		w.wrong(lost, "release %d lacks %s", newest, domain)
	}
}

func same(a, b entry) bool {
	slices.Sort(a.MXs)
	slices.Sort(b.MXs)
	return a.Mode == b.Mode && slices.Equal(a.MXs, b.MXs)
}

// measure takes a sample of the memory, now and then.
func (w *world) measure() {
	at := time.Since(w.began)
	if n := len(w.heap); n > 0 && w.o.periods == 0 && at-w.heap[n-1].at < w.o.For/samplesOfRun {
		return
	}
	w.heap = append(w.heap, sample{at, heap()})
	if size, ok := resident(); ok {
		w.rss = append(w.rss, sample{at, size})
	}
}

// samplesOfRun is how many samples a run has, at most.
const samplesOfRun = 200
