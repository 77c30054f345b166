package dir

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"slices"
	"sync"

	"golang.org/x/sync/errgroup"

	"github.com/starttls-everywhere/policylist/mirror"
	"github.com/starttls-everywhere/policylist/mirror/durable"
)

var _ mirror.Batcher = (*Store)(nil)

// Lock keeps other processes, and other Stores of this one, from locking the folder of that name, which it makes. It keeps
// nobody out who does not ask for it, and ends with the process. The error wraps durable.ErrLocked.
func (s *Store) Lock(folder string) (unlock func(), err error) {
	if err := mirror.CheckPath(folder); err != nil {
		return nil, err
	}
	if err := s.makeFolder(folder); err != nil {
		return nil, fmt.Errorf("mirror folder: %w", err)
	}
	f, err := s.root.Open(folder)
	if err == nil {
		unlock, err = durable.LockOpen(f)
	}
	if err != nil {
		return nil, fmt.Errorf("mirror folder: %w", err)
	}
	return unlock, nil
}

// batch writes files to tempDir as place does, but waits for the disk twice for all of them instead of twice for each:
//
//	write      every file to tempDir, where a crash leaves what the next Open sweeps
//	syncTree   now their bytes are durable, so that no name can come to stand for an empty file
//	rename     each to its place, and remove what is to go: a crash leaves some old, some new, each of them whole
//	syncTree   now the names are durable
type batch struct {
	s *Store

	mu      sync.Mutex
	temps   map[string]string // names in tempDir, by path
	deletes map[string]bool
	folders map[string]bool // that hold either
}

// Batch implements mirror.Batcher.
func (s *Store) Batch() mirror.Batch {
	b := &batch{s: s}
	b.reset()
	return b
}

func (b *batch) reset() {
	b.temps, b.deletes, b.folders = map[string]string{}, map[string]bool{}, map[string]bool{}
}

// Put implements mirror.Batch.
func (b *batch) Put(ctx context.Context, o mirror.Object) error {
	if err := check(ctx, o.Path); err != nil {
		return err
	}
	temp := path.Join(tempDir, rand.Text())
	err := b.s.fill(temp, o.Data)
	if err != nil {
		b.s.root.Remove(temp)
		return fmt.Errorf("mirror folder: %s: %w", o.Path, err)
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if before, ok := b.temps[o.Path]; ok {
		b.s.root.Remove(before)
	}
	delete(b.deletes, o.Path)
	b.temps[o.Path], b.folders[path.Dir(o.Path)] = temp, true
	return nil
}

// fill writes a file without waiting for the disk.
func (s *Store) fill(name string, data []byte) error {
	f, err := s.root.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	return errors.Join(err, f.Close())
}

// Delete implements mirror.Batch.
func (b *batch) Delete(ctx context.Context, name string) error {
	if err := check(ctx, name); err != nil {
		return err
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if before, ok := b.temps[name]; ok {
		b.s.root.Remove(before)
		delete(b.temps, name)
	}
	b.deletes[name], b.folders[path.Dir(name)] = true, true
	return nil
}

// Commit implements mirror.Batch.
func (b *batch) Commit(ctx context.Context) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if err := b.commit(ctx); err != nil {
		return fmt.Errorf("mirror folder: %w", err)
	}
	b.reset()
	return nil
}

func (b *batch) commit(ctx context.Context) error {
	var temps []string
	for _, temp := range b.temps {
		temps = append(temps, temp)
	}
	if err := b.s.syncTree(temps); err != nil {
		return err
	}
	for name, temp := range b.temps {
		if err := ctx.Err(); err != nil {
			return err
		}
		if err := b.s.rename(temp, name); err != nil {
			return err
		}
		delete(b.temps, name)
	}
	for name := range b.deletes {
		if _, err := b.s.remove(ctx, name); err != nil {
			return err
		}
	}
	for name := range b.deletes {
		b.s.prune(path.Dir(name))
	}
	return b.s.syncTree(b.touched())
}

// prune removes a folder that has become empty, and those above it: pages have one for each domain.
func (s *Store) prune(folder string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for ; folder != "."; folder = path.Dir(folder) {
		if info, err := s.root.Lstat(folder); err != nil || !info.IsDir() || s.root.Remove(folder) != nil {
			return // it is not empty, or no folder
		}
		delete(s.synced, folder)
	}
}

// rename gives a file its name, in a folder that it makes.
func (s *Store) rename(temp, name string) error {
	err := s.root.Rename(temp, name)
	if !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if err := s.root.MkdirAll(path.Dir(name), 0o755); err != nil {
		return err
	}
	return s.root.Rename(temp, name)
}

// touched are the folders in which names came and went, and those in which such a folder may have come.
func (b *batch) touched() []string {
	all := map[string]bool{}
	for folder := range b.folders {
		for ; !all[folder]; folder = path.Dir(folder) {
			if _, err := b.s.root.Lstat(folder); err == nil { // one of a deletion may never have been there
				all[folder] = true
			} else if folder == "." {
				break
			}
		}
	}
	var out []string
	for folder := range all {
		out = append(out, folder)
	}
	slices.Sort(out)
	return out
}

// Discard implements mirror.Batch.
func (b *batch) Discard() {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, temp := range b.temps {
		b.s.root.Remove(temp) // what stays is swept by the next Open
	}
	b.reset()
}

// syncAtOnce bounds the files that wait for the disk together.
const syncAtOnce = 16

// syncEach makes files and folders durable one by one, many at a time: file systems write their journals once for all.
func (s *Store) syncEach(names []string) error {
	var g errgroup.Group
	g.SetLimit(syncAtOnce)
	for _, name := range names {
		g.Go(func() error { return s.sync(name) })
	}
	return g.Wait()
}
