package pipeline

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"golang.org/x/mod/sumdb/tlog"

	"github.com/starttls-everywhere/policylist/mirror"
)

// VaultStore is a private place that a Vault can use, such as a bucket. Safe for concurrent use.
type VaultStore interface {
	mirror.Store

	// Swap replaces the object at o.Path if it holds the bytes old, nil meaning that it is absent. Other bytes wrap
	// mirror.ErrConflict. Where the outcome cannot be known the error says so, and the caller stops.
	Swap(ctx context.Context, o mirror.Object, old []byte) error

	// GetTime is Get, with the time of the answer by the store's clock, zero when the store does not say.
	GetTime(ctx context.Context, path string, limit int64) ([]byte, time.Time, error)

	// Probe finds out what the store's conditional writes are worth, below path, with so many races.
	Probe(ctx context.Context, path string, rounds int) (mirror.Conditions, error)
}

// Vault keeps a publisher's state for runners that begin with an empty folder. The state folder is then a working copy:
// it is made like the vault when a run begins, and what a step makes is in the vault before the next step relies on it.
// In the store:
//
//	lease.json     who publishes now, see lease
//	state.json     what the state folder contains: every file by its digest, the small ones themselves
//	blob/<sha256>  the other files, and older parts of state.json
//
// Blobs never change, so a run that lost its lease can do no harm with what it uploads late. The one thing that decides
// is state.json. It is replaced only on condition that it still is what this run wrote last, and it carries the epoch of
// the lease: whoever takes over writes it first, and from then on the run before can save nothing, hence sign nothing
// that anybody sees. A crash between two replacements means that the work since the first never happened.
//
// Not safe for concurrent use. Its exported fields are set once.
type Vault struct {
	Store     VaultStore
	Publisher string        // name of the only publisher; "" lets any run take over, where conditional writes hold
	Term      time.Duration // how long a lease lasts without renewal; 0 stands for DefaultTerm

	folder     string
	now        func() time.Time
	lease      lease
	contents   contents
	raw        []byte // state.json as this run read or wrote it last; nil: there is none
	seen       map[string]seen
	conditions mirror.Conditions

	mending bool   // a damaged state is no obstacle: it is to be replaced
	damage  error  // found while mending
	kept    string // where the replaced state.json went
}

// DefaultTerm is above what any single step without a look at the lease takes, except probing: a run that probes longer
// finds its lease expired, and goes on unless somebody took it.
const DefaultTerm = 10 * time.Minute

// probeRounds is how many races a probe of the store lets two writers have. Two gateways over one folder let both win
// in about one race of ten.
const probeRounds = 40

// probeHolds is how long a probe's verdict is relied on.
const probeHolds = 7 * 24 * time.Hour

const (
	statePath  = "state.json"
	leasePath  = "lease.json"
	blobPrefix = "blob/"
	probePath  = "probe"
)

var (
	// ErrFenced means that another run took this one's lease. Nothing that this run did since counts.
	ErrFenced = errors.New("another publisher has taken over")
	// ErrLeased means that another run publishes.
	ErrLeased = errors.New("another publisher is at work")
	// ErrPublisher means that the store cannot decide between two publishers, and that this one is not the one.
	ErrPublisher = errors.New("not the one publisher of this state")
	// ErrVault means that what the store holds is no state.
	ErrVault = errors.New("the stored state is not usable")
)

// open takes the lease and makes folder a copy of the state.
func (v *Vault) open(ctx context.Context, folder string, now func() time.Time, log *slog.Logger) error {
	v.folder, v.now = folder, now
	if err := v.load(ctx); err != nil {
		return err
	}
	if err := v.probe(ctx); err != nil {
		return err
	}
	if err := v.take(ctx); err != nil {
		return err
	}
	err := v.claim(ctx)
	if err == nil {
		err = v.restore(ctx)
	}
	if err != nil {
		v.close(ctx, log)
	}
	return err
}

// copyTo makes folder a copy of the state without taking the lease: for looking only.
func (v *Vault) copyTo(ctx context.Context, folder string) error {
	v.folder = folder
	if err := v.load(ctx); err != nil {
		return err
	}
	return v.restore(ctx)
}

// load reads state.json.
func (v *Vault) load(ctx context.Context) error {
	v.contents, v.raw = contents{}, nil
	data, err := v.Store.Get(ctx, statePath, maxContents)
	if mirror.IsAbsent(err) {
		return nil
	}
	if err != nil {
		return err
	}
	v.raw = data
	if v.contents, err = parseContents(data); err != nil && v.mending {
		v.contents, v.damage, err = contents{}, err, nil
	}
	return err
}

// probe tries the store's conditional writes, now and then.
func (v *Vault) probe(ctx context.Context) error {
	if p := v.contents.Probe; p != nil && v.now().Sub(p.Time).Abs() < probeHolds {
		v.conditions = p.Conditions
	} else if _, err := v.Conditions(ctx, v.now()); err != nil {
		return err
	}
	return v.named()
}

// Conditions probes the store.
func (v *Vault) Conditions(ctx context.Context, now time.Time) (mirror.Conditions, error) {
	var err error
	v.conditions, err = v.Store.Probe(ctx, probePath+"/"+rand.Text(), probeRounds)
	v.contents.Probe = &probed{v.conditions, now.UTC().Truncate(time.Second)}
	return v.conditions, err
}

// claim writes the lease's epoch into state.json. The run before may still be at it: then it is read again.
func (v *Vault) claim(ctx context.Context) error {
	probe := v.contents.Probe
	for range 5 {
		if err := v.load(ctx); err != nil {
			return err
		}
		if v.contents.Epoch > v.lease.Epoch {
			return fmt.Errorf("%w: %s has epoch %d, the lease %d", ErrFenced, statePath, v.contents.Epoch, v.lease.Epoch)
		}
		next := v.contents.clone()
		next.Epoch, next.Probe = v.lease.Epoch, probe
		err := v.swapContents(ctx, next)
		if err == nil || !errors.Is(err, ErrFenced) {
			return err
		}
	}
	return fmt.Errorf("%w: %s changes all the time", ErrLeased, statePath)
}

// swapContents replaces state.json by next, which has not been anywhere yet.
func (v *Vault) swapContents(ctx context.Context, next contents) error {
	next.Serial, next.Run = v.contents.Serial+1, v.lease.Run
	raw, err := next.bytes()
	if err != nil {
		return err
	}
	err = v.Store.Swap(ctx, privateObject(statePath, raw), v.raw)
	if errors.Is(err, mirror.ErrConflict) {
		return fmt.Errorf("%w: %w", ErrFenced, err)
	}
	if err == nil {
		v.contents, v.raw = next, raw
	}
	return err
}

// Save makes everything in the folder that changed durable in the store, or tells that this run is fenced.
func (v *Vault) Save(ctx context.Context) error {
	files, err := scan(v.folder, v.seen)
	if err != nil {
		return err
	}
	next, blobs, err := v.changes(files)
	if err != nil || len(next.Files) == len(v.contents.Files) && len(blobs) == 0 && next.equal(v.contents) {
		return err
	}
	if err := v.upload(ctx, blobs); err != nil {
		return err
	}
	if err := v.swapContents(ctx, next); err != nil {
		return err
	}
	v.seen = files
	return nil
}

// close saves what is left and gives the lease back. What fails here costs the next run at most the wait for the lease.
func (v *Vault) close(ctx context.Context, log *slog.Logger) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Minute)
	defer cancel()
	var err error
	if v.seen != nil { // else the folder never was a copy
		err = v.Save(ctx)
	}
	if err == nil {
		err = v.give(ctx)
	}
	if err != nil {
		log.Warn("the lease was not given back", "owner", v.lease.Owner, "until", v.lease.Until, "err", err)
	}
}

// Requests counts the store's requests so far, where it counts them.
func (v *Vault) Requests() int64 {
	if c, ok := v.Store.(interface{ Requests() int64 }); ok {
		return c.Requests()
	}
	return 0
}

// vaultLog saves the log's tiles and its root before anybody relies on them.
type vaultLog struct {
	Log
	save func() error
}

// Append implements Log.
func (l vaultLog) Append(ctx context.Context, start int64, leaves [][]byte) (tlog.Tree, error) {
	tree, err := l.Log.Append(ctx, start, leaves)
	if err != nil {
		return tree, err
	}
	if err := l.save(); err != nil {
		return tlog.Tree{}, err
	}
	return tree, nil
}

func privateObject(path string, data []byte) mirror.Object {
	return mirror.Object{Path: path, Data: bytes.Clone(data), ContentType: "application/octet-stream", CacheControl: "no-store"}
}
