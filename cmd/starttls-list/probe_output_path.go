package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"

	"github.com/starttls-everywhere/policylist/cmd/internal/term"
)

// checkOut refuses a path for evidence that is there and no regular file: a rename over a link, a pipe or a device would
// replace it, and over a folder it would fail when hours of scanning are done.
func checkOut(path string) error {
	info, err := os.Lstat(path)
	switch {
	case err == nil && !info.Mode().IsRegular():
		return fmt.Errorf("%s is %s, no regular file", path, kindOf(info.Mode()))
	case err != nil && !errors.Is(err, fs.ErrNotExist):
		return err
	}
	folder, err := os.Stat(filepath.Dir(path))
	if err == nil && !folder.IsDir() {
		err = fmt.Errorf("%s is no folder", filepath.Dir(path))
	}
	if err != nil {
		return fmt.Errorf("%s cannot be made: %w", path, err)
	}
	return nil
}

func kindOf(m fs.FileMode) string {
	switch {
	case m.IsDir():
		return "a folder"
	case m&fs.ModeSymlink != 0:
		return "a symbolic link"
	case m&fs.ModeNamedPipe != 0:
		return "a named pipe"
	case m&fs.ModeDevice != 0:
		return "a device"
	}
	return "a special file"
}

// createBeside makes the file that will be renamed to path.
func createBeside(path string) (*os.File, error) {
	f, err := os.CreateTemp(filepath.Dir(path), filepath.Base(path)+".*.tmp")
	return f, outError(err)
}

// outError is the caller's mistake where --out is at a place that cannot be written to, but a full disk is none.
func outError(err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, fs.ErrPermission), errors.Is(err, fs.ErrNotExist), errors.Is(err, syscall.EROFS), errors.Is(err, syscall.ELOOP), errors.Is(err, syscall.ENAMETOOLONG):
		return &term.Exit{Code: exitUsage, Err: fmt.Errorf("--out: %w", err)}
	}
	return &term.Exit{Code: exitInternal, Err: fmt.Errorf("--out: %w", err)}
}
