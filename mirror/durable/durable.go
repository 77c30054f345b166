// Package durable writes local files so that a crash or a power failure leaves the old bytes or the new ones, never
// a part.
package durable

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
)

// tempPrefix begins the names of files that are not whole yet.
const tempPrefix = ".tmp-"

// WriteFile replaces path: temporary file in the same folder, fsync, rename, fsync of the folder. The folder must
// exist. What a kill in the middle leaves is removed by Sweep.
func WriteFile(path string, data []byte, perm os.FileMode) error {
	return Write(path, perm, func(w io.WriteSeeker) error {
		_, err := w.Write(data)
		return err
	})
}

// Write is WriteFile for what is not in memory as a whole. Unless fill returns nil the old bytes stay.
func Write(path string, perm os.FileMode, fill func(io.WriteSeeker) error) (err error) {
	dir := filepath.Dir(path)
	f, err := os.CreateTemp(dir, tempPrefix+filepath.Base(path)+"-*")
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			f.Close()
			os.Remove(f.Name())
		}
	}()
	if err = fill(f); err != nil {
		return err
	}
	if err = f.Chmod(perm); err != nil {
		return err
	}
	if err = f.Sync(); err != nil {
		return fmt.Errorf("%s: fsync: %w", path, err)
	}
	if err = f.Close(); err != nil {
		return err
	}
	if err = os.Rename(f.Name(), path); err != nil {
		return err
	}
	return SyncDir(dir)
}

// SyncDir makes the names in a folder durable.
func SyncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer d.Close()
	if err := d.Sync(); err != nil {
		return fmt.Errorf("%s: fsync: %w", dir, err)
	}
	return nil
}
