package pipeline_test

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/starttls-everywhere/policylist/mirror"
	"github.com/starttls-everywhere/policylist/mirror/s3"
	"github.com/starttls-everywhere/policylist/mirror/storetest/faulty"
	"github.com/starttls-everywhere/policylist/pipeline"
)

// TestFiguresFaultyS3 keeps state and mirror in a bucket, and lets releases meet everything that can go wrong on the way
// there and back: first each request of a release each fault, once or as often as it is tried again; then many faults at
// once, by schedules that a number stands for. Clients of the mirror ask whenever it changes. A release succeeds, and then
// clients have it, or it ends with an error that says where; the next one, undisturbed, goes on from there, also when what
// was given up for lost arrives after all; and in the end there is one history in which nothing is missing or twice.
//
// In the short form one request in four meets one fault, the faults in turn. POLICYLIST_FAULTY_SEED=N replays schedule N alone.
func TestFiguresFaultyS3(t *testing.T) {
	t.Parallel()
	f := &faultyFigures{kinds: map[faulty.Kind]int{}, ends: map[string]int{}, sorts: map[string]bool{}}
	seed, single := os.LookupEnv("POLICYLIST_FAULTY_SEED")
	if !single {
		t.Run("requests", func(t *testing.T) { f.requestsAndFaults(t, newFaultyWorld(t, 2)) })
		t.Run("requests of the first release", func(t *testing.T) { f.requestsAndFaults(t, newFaultyWorld(t, 0)) })
	}
	t.Run("schedules", func(t *testing.T) { f.random(t, newFaultyWorld(t, 2), seed) })
	t.Logf("figures: faulty S3: %d requests of a release in %d sorts, %d releases disturbed of which %d by random schedules, faults met %d, requests made in all %d",
		f.single, len(f.sorts), f.stories, f.schedules, f.faults, f.requests)
	t.Logf("figures: faulty S3: met by kind %v", f.kinds)
	t.Logf("figures: faulty S3: ended in %v; the lease outlived the run %d times", f.ends, f.leased)
	t.Logf("figures: faulty S3: wrong: lost %d, doubled %d, forks %d, client errors %d, unclear errors %d", f.lost, f.doubled, f.forks, f.clients, f.unclear)
	for _, k := range faulty.Kinds {
		if f.kinds[k] == 0 && f.single > 0 && f.schedules >= schedulesInCI { // else only a part was asked for
			t.Errorf("no request met: %s", k)
		}
	}
}

// faultyFigures is what the stories came to.
type faultyFigures struct {
	requests, single, stories, schedules, faults, leased, unclear int

	kinds map[faulty.Kind]int // met
	sorts map[string]bool     // of requests
	ends  map[string]int
	verdict
}

// faultyRun is a release under a schedule.
type faultyRun struct {
	name     string
	schedule func(faulty.Request) faulty.Kind
	patience time.Duration // 0: nothing is slow
	term     time.Duration // of the lease
	strict   bool          // the fault must be met
}

// faultyPatience is how long a request waits for a store that says nothing. It is short enough for a request that is only
// slow to be given up as well, which is a fault like others.
const faultyPatience = 250 * time.Millisecond

// perSort is how many requests of one sort meet every fault in a first release. It differs from others in that the store
// is probed, by many requests that are all alike.
const perSort = 3

// requestsAndFaults lets each request of a release meet each fault.
func (f *faultyFigures) requestsAndFaults(t *testing.T, w *faultyWorld) {
	w.reset(t)
	w.change("third", 1)
	w.proxy.Arm(func(faulty.Request) faulty.Kind { return faulty.None })
	if _, err := w.publish(t, 0); err != nil {
		t.Fatal(err)
	}
	all, turn := os.Getenv("POLICYLIST_FULL") == "1", 0
	for i, h := range w.proxy.Disarm() {
		f.single++
		f.sorts[h.Method+" "+h.Name] = true
		if w.base == 0 && h.Nth > perSort {
			continue
		}
		turn++
		for _, k := range f.faultsFor(h.Method, all, turn) {
			// Once, or as often as it is tried again: both happen to every sort of request.
			times := 1 + (turn/shortForm+slices.Index(faulty.Kinds, k))%2*2
			if all {
				times = 1 + (h.Nth+slices.Index(faulty.Kinds, k))%2*2
			}
			run := faultyRun{name: fmt.Sprintf("%d %s %s %d, %s, %d times", i+1, h.Method, h.Name, h.Nth, k, times),
				schedule: faulty.One(h.Request, k, times), strict: true}
			if k == faulty.Slow || k == faulty.Mute {
				run.patience = faultyPatience
			}
			t.Run(run.name, func(t *testing.T) { f.story(t, w, run) })
		}
	}
}

// shortForm is one request in so many that meets a fault in the short form.
const shortForm = 4

// faultsFor are the faults that a request meets: in the short form the one that was met least, and for most requests none.
func (f *faultyFigures) faultsFor(method string, all bool, turn int) (out []faulty.Kind) {
	for _, k := range faulty.Kinds {
		if k.Applies(method) {
			out = append(out, k)
		}
	}
	switch {
	case all:
		return out
	case turn%shortForm != 0:
		return nil
	}
	return []faulty.Kind{slices.MinFunc(out, func(a, b faulty.Kind) int { return f.kinds[a] - f.kinds[b] })}
}

// schedulesInCI are the seeds of the short form.
const schedulesInCI = 50

// random lets releases meet many faults.
func (f *faultyFigures) random(t *testing.T, w *faultyWorld, only string) {
	seeds := schedulesInCI
	if os.Getenv("POLICYLIST_FULL") == "1" {
		seeds = 500
	}
	for seed := range seeds {
		if only != "" && only != strconv.Itoa(seed) {
			continue
		}
		run := faultyRun{name: fmt.Sprintf("POLICYLIST_FAULTY_SEED=%d", seed), schedule: faulty.Seeded(uint64(seed), 8+seed%32), patience: faultyPatience}
		if seed%2 == 1 {
			run.term = time.Nanosecond // the lease is renewed at each look
		}
		t.Run(run.name, func(t *testing.T) {
			f.schedules++
			f.story(t, w, run)
		})
	}
}

// story lets a release go wrong, and then others go on from there undisturbed.
func (f *faultyFigures) story(t *testing.T, w *faultyWorld, run faultyRun) {
	w.reset(t)
	w.change("third", 1)
	w.bucket.endpoint, w.bucket.patience = w.proxy.URL, run.patience
	w.proxy.Arm(run.schedule)
	var out *pipeline.Published
	var err error
	w.watched(func() { out, err = w.publish(t, run.term) })
	if met := f.count(w.proxy.Disarm()); met == 0 && run.strict {
		t.Error("the fault was not met")
	}
	w.bucket.patience = 0
	w.poll()
	f.judge(t, w, out, err)

	w.bucket.endpoint = w.bucket.gateway.Endpoint // nothing goes wrong any more
	w.change("fourth", 1)
	if _, err = w.publish(t, 0); errors.Is(err, pipeline.ErrLeased) {
		f.leased++
		w.expire(t)
		_, err = w.publish(t, 0)
	}
	w.undisturbed(err)
	if len(w.clients) == 0 {
		w.join()
	}
	w.poll()
	if w.proxy.Land() > 0 {
		w.lagging()
		_, err := w.publish(t, 0)
		w.undisturbed(err)
	}
	w.poll()
	w.check(5 + w.base + 2)
	f.stories++
	f.verdict.add(w.wrong)
}

// count adds up what was met.
func (f *faultyFigures) count(hits []faulty.Hit) (met int) {
	for _, h := range hits {
		f.requests++
		if h.Fault != faulty.None {
			f.kinds[h.Fault]++
			met++
		}
	}
	f.faults += met
	return met
}

// judge looks at how the disturbed run ended: after a success clients have the release, and an error says what failed and
// where. Nobody else writes here, so that no error may speak of two histories.
func (f *faultyFigures) judge(t *testing.T, w *faultyWorld, out *pipeline.Published, err error) {
	t.Helper()
	if err == nil {
		f.ends["success"]++
		for _, c := range w.clients {
			if n := out.Leaf().Release; w.number[c.Dir] != n {
				w.fail(&w.wrong.clients, "release %d was published, and a client has %d", n, w.number[c.Dir])
			}
		}
		return
	}
	t.Log(err)
	end := ""
	for _, e := range []struct {
		error
		name string
	}{
		{pipeline.ErrFork, "fork"}, {pipeline.ErrAhead, "ahead"}, {mirror.ErrConflict, "conflict"}, {pipeline.ErrFenced, "fenced"},
		{pipeline.ErrLeased, "leased"}, {pipeline.ErrVault, "damaged state"}, {s3.ErrUnknown, "unknown outcome"}, {pipeline.ErrMirrors, "mirrors"},
	} {
		if errors.Is(err, e.error) {
			end = e.name
			break
		}
	}
	switch {
	case end == "fork" || end == "ahead":
		w.fail(&w.wrong.forks, "two histories: %v", err)
	case end == "" && strings.Contains(err.Error(), "s3 store mirror/"):
		end = "store"
	case end == "":
		f.unclear++
		t.Errorf("not a clear error: %v", err)
	}
	f.ends[end]++
}
