package site

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"slices"
	"sync"

	"golang.org/x/sync/errgroup"

	"github.com/starttls-everywhere/policylist/mirror"
)

// Sink takes the site: any mirror.Store, as of the folder that a web server publishes.
type Sink interface {
	mirror.Reader
	Put(ctx context.Context, o mirror.Object) error
	Delete(ctx context.Context, path string) error
}

// Options say how to build.
type Options struct {
	Full     bool                                // write every object, whatever is there already
	Progress func(stage string, done, total int) // called now and then; nil for never
}

// Report is what a build did.
type Report struct {
	Release int64 `json:"release"`
	Domains int   `json:"domains"` // on the list
	Objects int   `json:"objects"`
	Written int   `json:"written"`
	Deleted int   `json:"deleted"`
	Bytes   int64 `json:"bytes"` // of what was written
}

// writers is how many objects are made and written at once: a folder waits for its disk at each.
const writers = 16

// builder collects the objects of a site.
type builder struct {
	*Model
	all     []Status
	events  []Event // of all domains, newest first
	modes   map[string]int
	digits  int
	objects []object
}

// object is one file, rendered when its turn comes.
type object struct {
	path   string
	render func() ([]byte, error)
}

func (b *builder) add(path string, render func() ([]byte, error)) {
	b.objects = append(b.objects, object{path, render})
}

func newBuilder(m *Model) *builder {
	b := &builder{Model: m, all: m.statuses(), modes: map[string]int{StatusEnforce: 0, StatusTesting: 0}}
	b.digits = shardDigits(len(b.all))
	for _, d := range m.Domains {
		b.events = append(b.events, d.Events...)
	}
	slices.SortFunc(b.events, func(x, y Event) int { return int(y.Index - x.Index) })
	for _, p := range m.List.All() {
		b.modes[p.Mode.String()]++
	}
	return b
}

// Build writes the site below site/, and index.html. What the manifest of the last build says is there already is not
// written again, and what no page leads to any more is deleted. The same model gives the same bytes.
//
// A build that ends midway, by an error or a crash, leaves a manifest that says so: the next one writes everything.
func Build(ctx context.Context, m *Model, sink Sink, o Options) (Report, error) {
	b := newBuilder(m)
	b.addAPI()
	b.addFeeds()
	if err := b.addPages(); err != nil {
		return Report{}, err
	}
	old, err := readManifest(ctx, sink)
	if err == nil && !o.Full {
		err = old.occupied(ctx, sink)
	}
	if err != nil {
		return Report{}, err
	}
	w := &writer{ctx: ctx, sink: sink, old: old, full: o.Full || old.State != stateDone, objects: map[string]string{},
		report: Report{Release: m.Newest().Release, Domains: m.List.Len(), Objects: len(b.objects)}}
	for _, obj := range b.objects {
		w.objects[obj.path] = ""
	}
	g, gctx := errgroup.WithContext(ctx)
	w.ctx = gctx
	g.SetLimit(writers)
	for i, obj := range b.objects {
		if gctx.Err() != nil {
			break
		}
		if o.Progress != nil && i%64 == 0 {
			o.Progress("pages", i, len(b.objects))
		}
		g.Go(func() error { return w.write(obj) })
	}
	if err := g.Wait(); err != nil {
		return w.report, err
	}
	w.ctx = ctx
	return w.finish()
}

// writer compares objects with the manifest and writes what differs.
type writer struct {
	ctx  context.Context
	sink Sink
	old  manifest
	full bool

	mu      sync.Mutex
	begun   bool
	objects map[string]string // digests by path; "" for what is not made yet
	report  Report
}

func (w *writer) write(obj object) error {
	data, err := obj.render()
	if err != nil {
		return fmt.Errorf("%s: %w", obj.path, err)
	}
	sum := sha256.Sum256(data)
	digest := hex.EncodeToString(sum[:])
	w.mu.Lock()
	w.objects[obj.path] = digest
	w.mu.Unlock()
	if !w.full && w.old.Objects[obj.path] == digest {
		return nil
	}
	if err := w.begin(); err != nil {
		return err
	}
	if err := w.sink.Put(w.ctx, mirror.NewObject(obj.path, data)); err != nil {
		return err
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.report.Written++
	w.report.Bytes += int64(len(data))
	return nil
}

// begin says in the manifest that what is there is neither the old site nor the new one, before the first change.
func (w *writer) begin() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.begun {
		return nil
	}
	both := manifest{Format: manifestFormat, State: stateUnfinished, Objects: map[string]string{}}
	for _, objects := range []map[string]string{w.old.Objects, w.objects} {
		for path := range objects {
			both.Objects[path] = ""
		}
	}
	if err := both.write(w.ctx, w.sink); err != nil {
		return err
	}
	w.begun = true
	return nil
}

// finish deletes what is no part of the site any more, and writes the manifest last.
func (w *writer) finish() (Report, error) {
	for path := range w.old.Objects {
		if _, ok := w.objects[path]; ok {
			continue
		}
		if err := w.begin(); err != nil {
			return w.report, err
		}
		if err := w.sink.Delete(w.ctx, path); err != nil {
			return w.report, err
		}
		w.report.Deleted++
	}
	if !w.begun {
		return w.report, nil
	}
	return w.report, manifest{Format: manifestFormat, State: stateDone, Objects: w.objects}.write(w.ctx, w.sink)
}
