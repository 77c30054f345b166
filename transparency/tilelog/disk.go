package tilelog

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"

	"golang.org/x/sync/errgroup"
)

const (
	lockName = "lock"
	tempName = "tmp"

	// What the log holds is public.
	dirMode  = 0o755
	fileMode = 0o644

	// writers is the number of files written at a time. The journal of a file system commits concurrent fsyncs together,
	// so this hides most of their latency.
	writers = 16
)

// errTooLong means that a file is longer than it may be.
var errTooLong = errors.New("longer than it can be")

// A stepFunc is told of each step that changes the disk, right after it: op is "write", "fsync", "rename", "mkdir",
// "syncdir" or "verify", path is relative to the log. Its error makes the step fail. Calls may be concurrent.
// Tests use it to crash, to fail and to damage; Open passes none.
type stepFunc func(op, path string) error

// A file is a path relative to the log's folder, with slashes, and the bytes to be there.
type file struct {
	path string
	data []byte
}

// disk is the log's folder: whole files, replaced atomically.
type disk struct {
	dir  string
	step stepFunc

	temps  atomic.Int64 // names of temporary files
	synced sync.Map     // folder path -> struct{}: its own entry in its parent is known to be durable
}

func (d *disk) did(op, path string) error {
	if d.step == nil {
		return nil
	}
	return d.step(op, path)
}

// read returns the file's bytes, of which there may be at most limit.
func (d *disk) read(name string, limit int64) ([]byte, error) {
	f, err := os.Open(filepath.Join(d.dir, filepath.FromSlash(name)))
	if err != nil {
		return nil, err
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, limit+1))
	if err != nil {
		return nil, err
	}
	if int64(len(data)) > limit {
		return nil, fmt.Errorf("%w: %s has more than %d bytes", errTooLong, f.Name(), limit)
	}
	return data, nil
}

// clearTemp removes what a crash left in tmp/. The lock must be held.
func (d *disk) clearTemp() error {
	temp := filepath.Join(d.dir, tempName)
	if err := os.Mkdir(temp, dirMode); !errors.Is(err, fs.ErrExist) {
		return err
	}
	old, err := os.ReadDir(temp)
	if err != nil {
		return err
	}
	for _, e := range old {
		if err := os.Remove(filepath.Join(temp, e.Name())); err != nil {
			return err
		}
	}
	return nil
}

// replaceAll puts files in place, durably: when it returns nil they survive a power failure. Each file is complete before
// it gets its name; when it fails, some files may be new and some old. It asks for the bytes of paths[i] when their turn
// comes, one file at a time, so that not all files need to be in memory.
func (d *disk) replaceAll(paths []string, data func(i int) ([]byte, error)) error {
	dirs, err := d.makeDirs(paths)
	if err != nil {
		return err
	}
	if err := d.writeAll(paths, data); err != nil {
		return err
	}
	var g errgroup.Group
	g.SetLimit(writers)
	// Only now, once per folder and not once per file: the names.
	for _, dir := range dirs {
		g.Go(func() error { return d.syncDir(dir) })
	}
	if err := g.Wait(); err != nil {
		return err
	}
	for _, dir := range dirs {
		d.synced.Store(dir, struct{}{})
	}
	return nil
}

func (d *disk) writeAll(paths []string, data func(i int) ([]byte, error)) error {
	var g errgroup.Group
	g.SetLimit(writers)
	for i, path := range paths {
		bytes, err := data(i)
		if err != nil {
			g.Wait() // no writer may be at work when the next attempt begins
			return err
		}
		g.Go(func() error { return d.replace(file{path, bytes}) })
	}
	return g.Wait()
}

// makeDirs makes the folders of paths and returns all that must be synced afterwards: those that get a new file, and
// those above them up to the log's own, unless this process has synced them since it opened the log. (A process that was
// killed may have left behind folders whose names are not durable yet, so "exists already" is not enough.)
func (d *disk) makeDirs(paths []string) ([]string, error) {
	need := map[string]bool{}
	for _, name := range paths {
		dir := path.Dir(name)
		if need[dir] {
			continue
		}
		need[dir] = true
		full := filepath.Join(d.dir, filepath.FromSlash(dir))
		if err := os.MkdirAll(full, dirMode); err != nil {
			return nil, err
		}
		if err := d.did("mkdir", dir); err != nil {
			return nil, err
		}
		for child := dir; child != "."; child = path.Dir(child) {
			if _, ok := d.synced.Load(child); !ok {
				need[path.Dir(child)] = true
			}
		}
	}
	dirs := make([]string, 0, len(need))
	for dir := range need {
		dirs = append(dirs, dir)
	}
	slices.Sort(dirs)
	return dirs, nil
}

// replace puts f in place. Its name is durable once its folder is synced.
func (d *disk) replace(f file) error {
	temp, err := d.stage(f)
	if err != nil {
		return err
	}
	return d.rename(temp, f)
}

// stage writes f under a temporary name, durably, and returns that name.
func (d *disk) stage(f file) (temp string, err error) {
	temp = filepath.Join(d.dir, tempName, strconv.FormatInt(d.temps.Add(1), 10))
	w, err := os.OpenFile(temp, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, fileMode)
	if err != nil {
		return "", err
	}
	if err := errors.Join(d.fill(w, f), w.Close()); err != nil {
		os.Remove(temp) // best effort: the next Open clears tmp/
		return "", err
	}
	return temp, nil
}

func (d *disk) fill(w *os.File, f file) error {
	if _, err := w.Write(f.data); err != nil {
		return err
	}
	if err := d.did("write", f.path); err != nil {
		return err
	}
	if err := w.Sync(); err != nil {
		return err
	}
	return d.did("fsync", f.path)
}

func (d *disk) rename(temp string, f file) error {
	if err := os.Rename(temp, filepath.Join(d.dir, filepath.FromSlash(f.path))); err != nil {
		os.Remove(temp)
		return err
	}
	return d.did("rename", f.path)
}

// syncDir makes the names in a folder durable.
func (d *disk) syncDir(dir string) error {
	if err := syncDir(filepath.Join(d.dir, filepath.FromSlash(dir))); err != nil {
		return err
	}
	return d.did("syncdir", dir)
}

func syncDir(dir string) error {
	f, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer f.Close()
	if err := f.Sync(); err != nil {
		return fmt.Errorf("syncing %s: %w", dir, err)
	}
	return nil
}
