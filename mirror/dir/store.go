package dir

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"sync"
	"syscall"

	"github.com/starttls-everywhere/policylist/mirror"
)

// Store reads and writes a mirror folder. It is safe for concurrent use, and several may be open on one folder.
type Store struct {
	Reader
	temp *os.File // the folder of unfinished files, locked: see sweep

	mu     sync.Mutex
	synced map[string]bool // folders whose own entry in each parent is durable
}

// Open opens a folder for reading and writing, makes it when it is absent, and removes the unfinished files of a writer
// that was killed.
func Open(folder string) (*Store, error) {
	if err := makeRoot(filepath.Clean(folder)); err != nil {
		return nil, fmt.Errorf("mirror folder: %w", err)
	}
	r, err := OpenReader(folder)
	if err != nil {
		return nil, err
	}
	temp, err := sweep(r.root)
	if err != nil {
		r.Close()
		return nil, fmt.Errorf("mirror folder: %w", err)
	}
	return &Store{Reader: *r, temp: temp, synced: map[string]bool{".": true}}, nil
}

// Close releases the folder. Writes that are going on may fail.
func (s *Store) Close() error { return errors.Join(s.temp.Close(), s.Reader.Close()) }

// sweep makes tempDir and, when no other Store has it open, empties it. A Store keeps a shared lock on it as long as it
// lives (the kernel drops it when the process dies), so who gets the exclusive one is alone with what the dead have left.
func sweep(root *os.Root) (*os.File, error) {
	if err := root.MkdirAll(tempDir, 0o700); err != nil {
		return nil, err
	}
	temp, err := root.Open(tempDir)
	if err != nil {
		return nil, err
	}
	// Where locks do not work, unfinished files stay and cost nothing but their space.
	if syscall.Flock(int(temp.Fd()), syscall.LOCK_EX|syscall.LOCK_NB) == nil {
		names, err := temp.Readdirnames(-1)
		for _, name := range names {
			err = errors.Join(err, root.RemoveAll(path.Join(tempDir, name)))
		}
		if err != nil {
			return nil, errors.Join(err, temp.Close())
		}
	}
	_ = syscall.Flock(int(temp.Fd()), syscall.LOCK_SH) // waits for another's sweep
	return temp, nil
}

func makeRoot(folder string) error {
	if _, err := os.Stat(folder); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if err := os.MkdirAll(folder, 0o755); err != nil {
		return err
	}
	parent, err := os.Open(filepath.Dir(folder))
	if err != nil {
		return err
	}
	return errors.Join(parent.Sync(), parent.Close())
}

// Put implements mirror.Store.
func (s *Store) Put(ctx context.Context, o mirror.Object) error {
	return s.place(ctx, o, s.root.Rename)
}

// Create implements mirror.Store. The file is linked to its name, which fails where one is: of several writers one wins,
// and the others compare.
func (s *Store) Create(ctx context.Context, o mirror.Object) error {
	held, err := s.Get(ctx, o.Path, int64(len(o.Data)))
	if mirror.IsAbsent(err) {
		if err := s.place(ctx, o, s.root.Link); err != nil && !errors.Is(err, fs.ErrExist) {
			return err
		}
		held, err = s.Get(ctx, o.Path, int64(len(o.Data)))
	}
	switch {
	case mirror.IsAbsent(err): // a folder or a dangling link has the name
		return fmt.Errorf("mirror folder: %s cannot be read back: %v", o.Path, err)
	case errors.Is(err, mirror.ErrTooLarge), err == nil && !bytes.Equal(held, o.Data):
		return fmt.Errorf("mirror folder: %s: %w", o.Path, mirror.ErrConflict)
	case err != nil:
		return err
	}
	// Whoever placed the file may have died, or not yet come, before it and its folder were fsynced.
	return errors.Join(s.sync(o.Path), s.sync(path.Dir(o.Path)))
}

// place writes the object to a temporary file and gives it its name by move.
func (s *Store) place(ctx context.Context, o mirror.Object, move func(from, to string) error) error {
	if err := check(ctx, o.Path); err != nil {
		return err
	}
	folder := path.Dir(o.Path)
	if err := s.makeFolder(folder); err != nil {
		return fmt.Errorf("mirror folder: %s: %w", o.Path, err)
	}
	temp := path.Join(tempDir, rand.Text())
	defer s.root.Remove(temp) // gone already after a rename; what stays is swept by the next Open
	if err := s.write(temp, o.Data); err != nil {
		return fmt.Errorf("mirror folder: %s: %w", o.Path, err)
	}
	if err := move(temp, o.Path); err != nil {
		return fmt.Errorf("mirror folder: %w", err)
	}
	return s.sync(folder)
}

func (s *Store) write(name string, data []byte) error {
	f, err := s.root.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	if err == nil {
		err = f.Sync() // before the rename: otherwise a power cut can leave the name with an empty file
	}
	return errors.Join(err, f.Close())
}

// makeFolder makes folder and its parents, and makes their names durable. A folder that is there may have been made by
// a process that died before its fsync, so each one is seen to once in the life of a Store.
func (s *Store) makeFolder(folder string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.synced[folder] {
		return nil
	}
	if err := s.root.MkdirAll(folder, 0o755); err != nil {
		return err
	}
	for dir := folder; !s.synced[dir]; dir = path.Dir(dir) {
		if err := s.sync(path.Dir(dir)); err != nil {
			return err
		}
	}
	for dir := folder; !s.synced[dir]; dir = path.Dir(dir) {
		s.synced[dir] = true
	}
	return nil
}

// sync makes a file's bytes, or a folder's names, durable.
func (s *Store) sync(name string) error {
	f, err := s.root.Open(name)
	if err != nil {
		return fmt.Errorf("mirror folder: %w", err)
	}
	err = f.Sync()
	if err := errors.Join(err, f.Close()); err != nil {
		return fmt.Errorf("mirror folder: fsync %s: %w", name, err)
	}
	return nil
}

// Delete implements mirror.Store. Folders that become empty stay: they are no objects.
func (s *Store) Delete(ctx context.Context, name string) error {
	gone, err := s.remove(ctx, name)
	if err != nil {
		return fmt.Errorf("mirror folder: %w", err)
	}
	if !gone {
		return nil
	}
	return s.sync(path.Dir(name))
}

// remove removes a file, and reports whether there was one.
func (s *Store) remove(ctx context.Context, name string) (bool, error) {
	if err := check(ctx, name); err != nil {
		return false, err
	}
	info, err := s.root.Lstat(name)
	if err != nil || info.IsDir() {
		if err == nil || mirror.IsAbsent(absent(err)) {
			return false, nil
		}
		return false, err
	}
	if err := s.root.Remove(name); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return false, err
	}
	return true, nil
}
