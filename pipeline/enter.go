package pipeline

import (
	"context"
	"fmt"
	"os"
	"path/filepath"

	"golang.org/x/mod/sumdb/tlog"

	"github.com/starttls-everywhere/policylist/mirror"
	"github.com/starttls-everywhere/policylist/mirror/durable"
	"github.com/starttls-everywhere/policylist/transparency"
)

// enter locks the state folder, which holds the state when it returns; with a vault, as its copy and under its lease.
func (p *Publisher) enter(ctx context.Context) (leave func(), err error) {
	unlock, err := p.lock()
	if err != nil || p.Vault == nil {
		return unlock, err
	}
	if err := p.Vault.open(ctx, p.State, p.Now, p.Log); err != nil {
		unlock()
		return nil, err
	}
	p.outbox.keep = func() error { return p.Vault.Save(ctx) }
	return func() {
		p.Vault.close(ctx, p.Log)
		unlock()
	}, nil
}

// look is enter for those who only read: a vault's lease stays where it is, and a folder needs no lock.
func (p *Publisher) look(ctx context.Context) (leave func(), err error) {
	if p.Vault == nil {
		return func() {}, nil
	}
	if leave, err = p.lock(); err != nil {
		return nil, err
	}
	if err := p.Vault.copyTo(ctx, p.State); err != nil {
		leave()
		return nil, err
	}
	return leave, nil
}

// WithLogFolder calls f with the folder of the present log while nobody else publishes. What f does there becomes part of
// the state.
func (p *Publisher) WithLogFolder(ctx context.Context, f func(dir string) error) error {
	leave, err := p.enter(ctx)
	if err != nil {
		return err
	}
	defer leave()
	if err := p.checkRecovered(); err != nil {
		return err
	}
	dir, err := p.logFolder()
	if err != nil {
		return err
	}
	if err := f(dir); err != nil {
		return err
	}
	return p.outbox.kept()
}

// lock makes the state folder and locks it.
func (p *Publisher) lock() (unlock func(), err error) {
	remove := func() {}
	if p.State == "" && p.Vault != nil {
		if p.State, err = os.MkdirTemp("", "policylist-state-"); err != nil {
			return nil, err
		}
		remove = func() {
			os.RemoveAll(p.State)
			p.State = ""
		}
	}
	p.outbox = outbox{dir: filepath.Join(p.State, "outbox")}
	if err := os.MkdirAll(p.outbox.dir, 0o755); err != nil {
		remove()
		return nil, err
	}
	free, err := durable.Lock(filepath.Join(p.State, "lock"))
	if err != nil {
		remove()
		return nil, fmt.Errorf("another release is running: %w", err)
	}
	return func() {
		free()
		remove()
	}, nil
}

// openLog opens the present log. One that came from a vault is computed again from its leaves: what a store gives back
// is believed no more than what a mirror does.
func (p *Publisher) openLog(ctx context.Context) error {
	folder, err := p.logFolder()
	if err != nil {
		return err
	}
	if p.log, err = p.OpenLog(folder); err != nil {
		return fmt.Errorf("log: %w", err)
	}
	if p.Vault == nil {
		return nil
	}
	p.log = vaultLog{p.log, p.outbox.keep}
	if err := rederive(ctx, p.log); err != nil {
		p.log.Close()
		return err
	}
	return nil
}

// rederiveAtOnce is how many entries are in memory at a time.
const rederiveAtOnce = 64 * transparency.TileWidth

// rederive hashes all leaves of a log and compares the root.
func rederive(ctx context.Context, log Log) error {
	want := log.Tree()
	var tree transparency.CompactRange
	for from := int64(0); from < want.N; from += rederiveAtOnce {
		entries, err := mirror.ReadEntries(ctx, logReader{log}, from, min(from+rederiveAtOnce, want.N))
		if err != nil {
			return fmt.Errorf("log: %w", err)
		}
		for _, e := range entries {
			tree = tree.Append(tlog.RecordHash(e))
		}
	}
	if got := tree.Tree(); want.N > 0 && got != want {
		return fmt.Errorf("%w: the leaves of the log have the root %v, not %v", ErrState, got.Hash, want.Hash)
	}
	return nil
}

// fence comes before what others can see: it stops a run whose lease another one took.
func (p *Publisher) fence(ctx context.Context) error {
	if p.Vault == nil {
		return nil
	}
	return p.Vault.Check(ctx)
}
