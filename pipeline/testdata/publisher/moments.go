package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"sync"
	"syscall"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"

	"github.com/starttls-everywhere/policylist/mirror"
	"github.com/starttls-everywhere/policylist/pipeline"
	"github.com/starttls-everywhere/policylist/pipeline/signing"
)

// moments names the operations of this process, "mirror.put.checkpoint#1" for the first of its kind, and lets one of
// them go wrong. Operations happen one at a time: the tiles of one size are otherwise written in any order.
type moments struct {
	point, mode string
	deaf        bool // tells nobody

	mu    sync.Mutex
	count map[string]int
	world *bufio.Reader
}

func newMoments() *moments {
	return &moments{count: map[string]int{}, world: bufio.NewReader(os.Stdin)}
}

// around does one operation.
func (m *moments) around(name string, do func() error) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.count[name]++
	name = fmt.Sprintf("%s#%d", name, m.count[name])
	hit := name == m.point
	m.tell("at", name)
	if hit && m.mode == "before" {
		die()
	}
	if err := do(); err != nil {
		return err
	}
	if hit && m.mode == "after" {
		die()
	}
	m.tell("after", name)
	if hit {
		m.tell("lied", name)
		return errLied
	}
	return nil
}

// tell lets the test look at the world, for as long as it likes. A test that is gone wants nothing more.
func (m *moments) tell(what, name string) {
	if m.deaf {
		return
	}
	fmt.Println(what, name)
	if _, err := m.world.ReadString('\n'); err != nil {
		os.Exit(2)
	}
}

func die() {
	syscall.Kill(os.Getpid(), syscall.SIGKILL)
	select {} // the signal is on its way
}

// watch makes the steps of the journal operations as well: each is logged right before it is written down.
func (m *moments) watch(h slog.Handler) slog.Handler { return watcher{h, m} }

type watcher struct {
	slog.Handler
	m *moments
}

func (w watcher) Enabled(context.Context, slog.Level) bool { return true }

func (w watcher) Handle(ctx context.Context, r slog.Record) error {
	if r.Message != pipeline.StepMessage {
		return w.Handler.Handle(ctx, r)
	}
	r.Attrs(func(a slog.Attr) bool {
		if a.Key == "step" {
			_ = w.m.around("step."+a.Value.String(), func() error { return nil })
		}
		return true
	})
	return nil
}

type storeAt struct {
	mirror.Store
	m    *moments
	name string
}

func (s storeAt) Put(ctx context.Context, o mirror.Object) error {
	return s.m.around(s.name+".put."+class(o.Path), func() error { return s.Store.Put(ctx, o) })
}

func (s storeAt) Create(ctx context.Context, o mirror.Object) error {
	return s.m.around(s.name+".create."+class(o.Path), func() error { return s.Store.Create(ctx, o) })
}

// Get is an operation where the publisher looks at what it is about to change or has changed.
func (s storeAt) Get(ctx context.Context, path string, limit int64) (data []byte, err error) {
	if path != mirror.PointerPath && path != mirror.CheckpointPath {
		return s.Store.Get(ctx, path, limit)
	}
	var absent error
	err = s.m.around(s.name+".get."+class(path), func() error {
		if data, err = s.Store.Get(ctx, path, limit); mirror.IsAbsent(err) {
			absent, err = err, nil
		}
		return err
	})
	return data, errors.Join(err, absent)
}

// vaultAt makes every write to the vault an operation.
type vaultAt struct {
	pipeline.VaultStore
	m *moments
}

func (v vaultAt) Swap(ctx context.Context, o mirror.Object, old []byte) error {
	return v.m.around("vault.swap."+o.Path, func() error { return v.VaultStore.Swap(ctx, o, old) })
}

func (v vaultAt) Create(ctx context.Context, o mirror.Object) error {
	return v.m.around("vault.create."+class(o.Path), func() error { return v.VaultStore.Create(ctx, o) })
}

// deadStore answers nothing.
type deadStore struct{ mirror.Store }

var errDown = errors.New("connection refused")

func (deadStore) Get(context.Context, string, int64) ([]byte, error) { return nil, errDown }
func (deadStore) Put(context.Context, mirror.Object) error           { return errDown }
func (deadStore) Create(context.Context, mirror.Object) error        { return errDown }

type logAt struct {
	pipeline.Log
	m *moments
}

func (l logAt) Append(ctx context.Context, start int64, leaves [][]byte) (tree tlog.Tree, err error) {
	err = l.m.around("log.append", func() error {
		tree, err = l.Log.Append(ctx, start, leaves)
		return err
	})
	return tree, err
}

type releaseKeyAt struct {
	signing.Signer
	m *moments
}

func (k releaseKeyAt) Sign(ctx context.Context, message []byte) (sig []byte, err error) {
	err = k.m.around("releasekey.sign", func() error {
		sig, err = k.Signer.Sign(ctx, message)
		return err
	})
	return sig, err
}

type logKeyAt struct {
	note.Signer
	m *moments
}

func (k logKeyAt) Sign(message []byte) (sig []byte, err error) {
	err = k.m.around("logkey.sign", func() error {
		sig, err = k.Signer.Sign(message)
		return err
	})
	return sig, err
}
