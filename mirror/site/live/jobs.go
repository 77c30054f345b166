package live

import (
	"container/list"
	"context"
	"crypto/rand"
	"encoding/base32"
	"errors"
	"strings"
	"sync"
	"time"

	"github.com/starttls-everywhere/policylist/policy"
)

// Bounds of what is kept of looks that have ended. Results make room for others' in the order of their age; then a domain may
// be looked at again before Options.Cooldown, which the Prober's own manners still bound.
const (
	maxResults     = 2048
	maxResultBytes = 32 << 20
)

// perSource is how many looks one network has under way or waiting.
const perSource = 2

var (
	errBusy  = errors.New("too many looks are waiting")
	errShare = errors.New("you have two looks under way")
)

// job is one look at a domain, found by an unguessable name.
type job struct {
	id     string
	domain policy.Domain
	source string // who asked first; "" when it has ended

	// What follows is guarded by jobs.mu.
	began, ended time.Time // zero: not yet
	page         []byte    // with ended: what the visitor gets
	document     []byte    // the same as JSON
	place        *list.Element
}

// size is what a result costs.
func (j *job) size() int { return len(j.page) + len(j.document) }

// look is what jobs have done: page and document, however it ends.
type look func(context.Context, policy.Domain) (page, document []byte)

// jobs has looks done, a few at a time and in order.
type jobs struct {
	ctx    context.Context // ends the looks; it is the server's life, not a caller's
	opts   *Options
	look   look
	ending context.CancelFunc

	working sync.WaitGroup

	mu      sync.Mutex // guards what follows
	stopped bool
	running int
	waiting []*job
	byID    map[string]*job
	byName  map[policy.Domain]*job
	shares  map[string]int
	done    *list.List // of *job, oldest first
	bytes   int
}

func newJobs(o *Options, do look) *jobs {
	js := &jobs{opts: o, look: do, byID: map[string]*job{}, byName: map[policy.Domain]*job{}, shares: map[string]int{}, done: list.New()}
	js.ctx, js.ending = context.WithCancel(context.Background())
	return js
}

var idEncoding = base32.StdEncoding.WithPadding(base32.NoPadding)

// fresh returns the look at d that goes on, waits, or ended within the cooldown. It is called with mu held.
func (js *jobs) fresh(d policy.Domain) (*job, bool) {
	j := js.byName[d]
	return j, j != nil && (j.ended.IsZero() || js.opts.Now().Before(j.ended.Add(js.opts.Cooldown)))
}

// ask has d looked at for source, unless it was just now, or is.
func (js *jobs) ask(d policy.Domain, source string) (*job, error) {
	js.mu.Lock()
	defer js.mu.Unlock()
	if j, ok := js.fresh(d); ok {
		return j, nil
	}
	switch {
	case js.stopped, js.running >= js.opts.Parallel && len(js.waiting) >= js.opts.Queue:
		return nil, errBusy
	case js.shares[source] >= perSource:
		return nil, errShare
	}
	var id [16]byte
	rand.Read(id[:])
	j := &job{id: strings.ToLower(idEncoding.EncodeToString(id[:])), domain: d, source: source}
	if old := js.byName[d]; old != nil {
		js.drop(old)
	}
	js.byID[j.id], js.byName[d] = j, j
	js.shares[source]++
	if js.running < js.opts.Parallel {
		js.start(j)
	} else {
		js.waiting = append(js.waiting, j)
	}
	return j, nil
}

// start is called with mu held.
func (js *jobs) start(j *job) {
	js.running++
	j.began = js.opts.Now()
	js.working.Go(func() {
		ctx, cancel := context.WithTimeout(js.ctx, js.opts.Deadline)
		page, document := js.look(ctx, j.domain)
		cancel()
		js.finish(j, page, document)
	})
}

// finish keeps the result and begins the next look.
func (js *jobs) finish(j *job, page, document []byte) {
	js.mu.Lock()
	defer js.mu.Unlock()
	js.running--
	if js.shares[j.source]--; js.shares[j.source] == 0 {
		delete(js.shares, j.source)
	}
	j.source, j.ended, j.page, j.document = "", js.opts.Now(), page, document
	j.place = js.done.PushBack(j)
	js.bytes += j.size()
	for js.done.Len() > maxResults || js.bytes > maxResultBytes {
		js.drop(js.done.Front().Value.(*job))
	}
	if len(js.waiting) > 0 && !js.stopped {
		next := js.waiting[0]
		js.waiting = js.waiting[1:]
		js.start(next)
	}
}

// drop forgets a look that has ended.
func (js *jobs) drop(j *job) {
	js.done.Remove(j.place)
	js.bytes -= j.size()
	delete(js.byID, j.id)
	if js.byName[j.domain] == j {
		delete(js.byName, j.domain)
	}
}

// state is how far a look is.
type state struct {
	Domain         string
	Before         int // looks that come first
	Running        bool
	Ended          time.Time
	page, document []byte
}

// find returns the state of the look of that name.
func (js *jobs) find(id string) (state, bool) {
	js.mu.Lock()
	defer js.mu.Unlock()
	js.forget()
	j := js.byID[id]
	if j == nil {
		return state{}, false
	}
	s := state{Domain: j.domain.String(), Running: !j.began.IsZero(), Ended: j.ended, page: j.page, document: j.document}
	for _, w := range js.waiting {
		if w == j {
			break
		}
		s.Before++
	}
	return s, true
}

// forget drops results that are too old to be of use; they are about others' servers.
func (js *jobs) forget() {
	for e := js.done.Front(); e != nil; e = js.done.Front() {
		j := e.Value.(*job)
		if js.opts.Now().Before(j.ended.Add(max(js.opts.Cooldown, resultLife))) {
			return
		}
		js.drop(j)
	}
}

// resultLife is how long a result can be read, at least.
const resultLife = time.Hour

// stop takes in nothing more, lets the looks that go on end until ctx does, and then ends them.
func (js *jobs) stop(ctx context.Context) {
	js.mu.Lock()
	js.stopped, js.waiting = true, nil
	js.mu.Unlock()
	over := context.AfterFunc(ctx, js.ending)
	js.working.Wait()
	over()
	js.ending()
}
