package tilelog

import (
	"fmt"
	"os"
	"path"
	"path/filepath"
	"sync"
	"testing"
)

// lossyDisk models what POSIX promises of a folder after a power failure: a file's bytes once it was fsynced, a name once
// its folder was, a folder once the folder above it was. Everything else may be gone, and is.
type lossyDisk struct {
	t   *testing.T
	dir string

	mu      sync.Mutex // guards the fields below
	fsynced map[string]bool
	pending map[string][]byte // renamed, the name not durable yet
	durable map[string][]byte
	folders map[string]bool // durable folders
	check   func(op, path string, disks ...string)
}

func (d *lossyDisk) step(op, name string) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	switch op {
	case "write":
		d.fsynced[name] = false
	case "fsync":
		d.fsynced[name] = true
	case "rename":
		data := []byte{} // not fsynced before the rename: a name without bytes
		if d.fsynced[name] {
			var err error
			if data, err = os.ReadFile(filepath.Join(d.dir, name)); err != nil {
				d.t.Error(err)
			}
		}
		d.pending[name] = data
	case "syncdir":
		for file, data := range d.pending {
			if path.Dir(file) == name {
				d.durable[file] = data
				delete(d.pending, file)
			}
		}
		entries, err := os.ReadDir(filepath.Join(d.dir, name))
		if err != nil {
			d.t.Error(err)
		}
		for _, e := range entries {
			if e.IsDir() {
				d.folders[path.Join(name, e.Name())] = true
			}
		}
	}
	if d.check != nil {
		disks := []string{d.disk(nil)}
		// The kernel may also have written the new root's name of its own accord, and nothing else.
		if root, ok := d.pending[rootName]; ok {
			disks = append(disks, d.disk(root))
		}
		d.check(op, name, disks...)
	}
	return nil
}

// disk returns a new folder with what is durable, and with another root file when root is not nil.
func (d *lossyDisk) disk(root []byte) string {
	dir := filepath.Join(d.t.TempDir(), "log")
	write := func(name string, data []byte) {
		for parent := path.Dir(name); parent != "."; parent = path.Dir(parent) {
			if !d.folders[parent] {
				return
			}
		}
		full := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(full), dirMode); err != nil {
			d.t.Fatal(err)
		}
		if err := os.WriteFile(full, data, fileMode); err != nil {
			d.t.Fatal(err)
		}
	}
	for name, data := range d.durable {
		write(name, data)
	}
	if root != nil {
		write(rootName, root)
	}
	return dir
}

// TestPowerFailsAfterEveryStep cuts the power after each step of some appends and keeps only what was promised to be on
// disk. The log opens with the tree before or after the append, complete; when Append has returned, with the one after.
func TestPowerFailsAfterEveryStep(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "log")
	d := &lossyDisk{
		t: t, dir: dir,
		fsynced: map[string]bool{}, pending: map[string][]byte{}, durable: map[string][]byte{}, folders: map[string]bool{},
	}
	l, err := open(dir, d.step)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	leaves := makeLeaves(0, 700)
	want := newHashLog(t, leaves).trees
	last, cuts := int64(0), 0
	for _, size := range []int64{1, 2, 256, 300, 513, 700} {
		d.check = func(op, name string, disks ...string) {
			for _, disk := range disks {
				cuts++
				after, err := Open(disk)
				if err != nil {
					t.Errorf("from %d to %d, power cut after %s %s: %v", last, size, op, name, err)
					continue
				}
				if tree := after.Tree(); tree != want[last] && tree != want[size] {
					t.Errorf("from %d to %d, power cut after %s %s: tree %v", last, size, op, name, tree)
				}
				checkLog(t, after, leaves[:after.Tree().N])
				after.Close()
			}
		}
		mustAppend(t, l, last, leaves[last:size])
		d.check = nil
		after := mustOpen(t, d.disk(nil))
		checkLog(t, after, leaves[:size])
		if len(d.pending) != 0 {
			t.Errorf("size %d: names not durable when Append returned: %v", size, fmt.Sprint(d.pending))
		}
		last = size
	}
	if cuts < 100 {
		t.Errorf("power was cut %d times only", cuts)
	}
}
