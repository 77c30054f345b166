package site

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"runtime"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/starttls-everywhere/policylist/mirror"
	"github.com/starttls-everywhere/policylist/mirror/durable"
)

const (
	// writers is how many objects are made and written at once: a store answers each of them in its time.
	writers = 16
	// batchObjects is how many are made between two commits to a folder, which has them twice until then.
	batchObjects = 16384
	// lastWords is how long a build whose time is up may take to write down how far it came.
	lastWords = 10 * time.Second
)

// ErrBusy means that another build writes to the same place, or did so meanwhile.
var ErrBusy = errors.New("another build of the site writes there")

// locker is a Sink that keeps two builds apart, as folders do.
type locker interface {
	Lock(folder string) (unlock func(), err error)
}

// Write writes the site below site/, and index.html. What the manifest of the last build says is there already is not
// written again, and what no page leads to any more is deleted. The same model gives the same bytes. To another sink it
// makes again only what that one lacks.
//
// Before the first change the manifest says "unfinished", and knows nothing: after a crash the next build writes
// everything. A build that ends by an error writes down what it knows, so that the next one goes on from there; and one
// that finds at its end that another build wrote there takes nothing for granted, and leaves it to the next.
func (s *Site) Write(ctx context.Context, sink Sink, o Options) (Report, error) {
	if l, ok := sink.(locker); ok {
		unlock, err := l.Lock(siteFolder)
		if errors.Is(err, durable.ErrLocked) {
			err = fmt.Errorf("%w: %w", ErrBusy, err)
		}
		if err != nil {
			return Report{}, err
		}
		defer unlock()
	}
	old, err := readManifest(ctx, sink)
	if err == nil && !o.Full {
		err = old.occupied(ctx, sink)
	}
	if err != nil {
		return Report{}, err
	}
	w := &writer{Site: s, sink: sink, old: old, full: o.Full, there: map[string]string{}, written: map[string]string{},
		report: Report{Release: s.Newest().Release, Domains: s.List.Len(), Objects: len(s.objects)}}
	if b, ok := sink.(mirror.Batcher); ok {
		w.batch = b.Batch()
		defer w.batch.Discard()
	}
	if err := w.all(ctx, o.Progress); err != nil {
		return w.report, errors.Join(err, w.giveUp(ctx))
	}
	return w.report, nil
}

// writer compares objects with the manifest and writes what differs.
type writer struct {
	*Site
	sink  Sink
	batch mirror.Batch // nil: what is written to sink is durable at once
	old   manifest
	full  bool

	mu      sync.Mutex
	begun   string            // the mark of this build in the manifest, "" before its first change
	there   map[string]string // digests of what is durable, by path: found or written
	written map[string]string // digests of what the next commit makes durable; "" for what it deletes
	report  Report
}

// all makes and writes every object, deletes what is no part of the site any more, and writes the manifest last.
func (w *writer) all(ctx context.Context, progress func(string, int, int)) error {
	for at := 0; at < len(w.objects); at += batchObjects {
		g, gctx := errgroup.WithContext(ctx)
		g.SetLimit(w.workers())
		for i, obj := range w.objects[at:min(at+batchObjects, len(w.objects))] {
			if gctx.Err() != nil {
				break
			}
			if progress != nil && i%64 == 0 {
				progress("pages", at+i, len(w.objects))
			}
			g.Go(func() error { return w.object(gctx, obj) })
		}
		if err := g.Wait(); err != nil {
			return err
		}
		if err := w.commit(ctx); err != nil {
			return err
		}
	}
	return w.finish(ctx)
}

// workers is how many objects are made at once. A batch waits for nothing, so more than there are processors would only
// stand in each other's way.
func (w *writer) workers() int {
	if w.batch != nil {
		return runtime.GOMAXPROCS(0)
	}
	return writers
}

// object writes one object unless it is there.
func (w *writer) object(ctx context.Context, obj object) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	held := w.old.Objects[obj.path]
	if digest := w.digest(obj.path); !w.full && digest != "" && digest == held {
		w.found(obj.path, digest)
		return nil
	}
	data, err := render(obj)
	if err != nil {
		return fmt.Errorf("%s: %w", obj.path, err)
	}
	sum := sha256.Sum256(data)
	digest := hex.EncodeToString(sum[:])
	w.made(obj.path, digest)
	if !w.full && digest == held {
		w.found(obj.path, digest)
		return nil
	}
	if err := w.begin(ctx); err != nil {
		return err
	}
	if err := w.put(ctx, obj.path, data, digest); err != nil {
		return err
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.report.Written++
	w.report.Bytes += int64(len(data))
	return nil
}

// render makes an object. Pages are made of other people's text: one that brings a template down is an error like others.
func render(obj object) (data []byte, err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("panic: %v", r)
		}
	}()
	return obj.render()
}

func (w *writer) found(path, digest string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.there[path] = digest
}

func (w *writer) put(ctx context.Context, path string, data []byte, digest string) error {
	o := mirror.NewObject(path, data)
	if w.batch != nil {
		if err := w.batch.Put(ctx, o); err != nil {
			return err
		}
		w.mu.Lock()
		defer w.mu.Unlock()
		w.written[path] = digest
		return nil
	}
	if err := w.sink.Put(ctx, o); err != nil {
		return err
	}
	w.found(path, digest)
	return nil
}

// commit makes durable what a batch has.
func (w *writer) commit(ctx context.Context) error {
	if w.batch == nil || len(w.written) == 0 {
		return nil
	}
	if err := w.batch.Commit(ctx); err != nil {
		return err
	}
	for path, digest := range w.written {
		if w.there[path] = digest; digest == "" {
			delete(w.there, path)
		}
	}
	clear(w.written)
	return nil
}

// finish deletes what is no part of the site any more, and writes the manifest.
func (w *writer) finish(ctx context.Context) error {
	part := make(map[string]bool, len(w.objects))
	for _, obj := range w.objects {
		part[obj.path] = true
	}
	for path := range w.old.Objects {
		if part[path] {
			continue
		}
		if err := w.begin(ctx); err != nil {
			return err
		}
		if err := w.remove(ctx, path); err != nil {
			return err
		}
		w.report.Deleted++
	}
	if err := w.commit(ctx); err != nil {
		return err
	}
	if w.begun == "" && w.old.State == stateDone {
		return nil
	}
	if err := w.mine(ctx); err != nil {
		return err
	}
	return manifest{Format: manifestFormat, State: stateDone, Objects: w.there}.write(ctx, w.sink)
}

func (w *writer) remove(ctx context.Context, path string) error {
	if w.batch == nil {
		return w.sink.Delete(ctx, path)
	}
	w.written[path] = ""
	return w.batch.Delete(ctx, path)
}

// giveUp writes down what is there after all, of which the next build need write nothing again. Without it, as after a
// crash, the next one writes everything.
func (w *writer) giveUp(ctx context.Context) error {
	if w.begun == "" {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), lastWords)
	defer cancel()
	known := manifest{Format: manifestFormat, State: stateUnfinished, Run: w.begun, Objects: w.either()}
	switch err := w.mine(ctx); {
	case err == nil:
		for path, digest := range w.there {
			known.Objects[path] = digest
		}
	case !errors.Is(err, ErrBusy):
		return err
	}
	return known.write(ctx, w.sink)
}
