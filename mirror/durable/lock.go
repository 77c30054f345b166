package durable

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// ErrLocked is returned when another process holds the lock.
var ErrLocked = errors.New("locked by another process")

// lockMode keeps others from so much as opening the file: to lock it takes no more, and who holds it stops every update.
const lockMode fs.FileMode = 0o600

// Lock takes an exclusive lock on the file at path, which it creates, and which only its owner can open. The kernel drops it
// when the process ends, however it ends. The file stays, and says by its time when the lock was last taken. A link is refused.
func Lock(path string) (unlock func(), err error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|unix.O_NOFOLLOW|unix.O_NONBLOCK, lockMode)
	if err != nil {
		return nil, err
	}
	if err := own(f); err != nil {
		f.Close()
		return nil, err
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		defer f.Close()
		if errors.Is(err, syscall.EWOULDBLOCK) {
			return nil, fmt.Errorf("%s: %w%s", path, ErrLocked, lastTaken(f))
		}
		return nil, fmt.Errorf("%s: flock: %w", path, err)
	}
	_ = unix.Futimes(int(f.Fd()), nil) // only told
	return func() {
		// Not by Close alone: a program that another goroutine is just starting has a copy of f until its exec.
		_ = syscall.Flock(int(f.Fd()), syscall.LOCK_UN)
		f.Close()
	}, nil
}

// LockDir takes an exclusive lock on a folder itself, for one in which a lock file would be in people's way. Whoever holds it
// has it until unlock, or until the process ends; it keeps nobody out who does not ask for it.
func LockDir(dir string) (unlock func(), err error) {
	f, err := os.OpenFile(dir, os.O_RDONLY|unix.O_DIRECTORY, 0)
	if err != nil {
		return nil, err
	}
	return LockOpen(f)
}

// LockOpen is LockDir for a folder that is open, which it closes with unlock, or at once after an error.
func LockOpen(f *os.File) (unlock func(), err error) {
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		f.Close()
		if errors.Is(err, syscall.EWOULDBLOCK) {
			err = ErrLocked
		}
		return nil, fmt.Errorf("%s: %w", f.Name(), err)
	}
	return func() {
		_ = syscall.Flock(int(f.Fd()), syscall.LOCK_UN)
		f.Close()
	}, nil
}

// own closes a file to others that an earlier version left open to them, and gives one that root has made to the owner of the
// folder at once: were root killed, that user could never lock it. A file with a second name may be one elsewhere, to which
// a hostile owner of the folder leads root; it is left alone.
func own(f *os.File) error {
	info, err := f.Stat()
	if err != nil {
		return err
	}
	s, ok := info.Sys().(*syscall.Stat_t)
	switch {
	case !info.Mode().IsRegular():
		return fmt.Errorf("%s is no regular file", f.Name())
	case !ok || s.Nlink > 1 || os.Geteuid() != 0 && int(s.Uid) != os.Geteuid():
		return nil
	}
	if info.Mode().Perm()&0o007 != 0 { // what a group may do, somebody has decided
		if err := f.Chmod(lockMode); err != nil {
			return err
		}
	}
	if os.Geteuid() != 0 || s.Uid != 0 {
		return nil
	}
	folder, err := os.Stat(filepath.Dir(f.Name()))
	if err != nil {
		return err
	}
	if owner, ok := folder.Sys().(*syscall.Stat_t); ok && owner.Uid != 0 {
		return f.Chown(int(owner.Uid), int(owner.Gid))
	}
	return nil
}

// lastTaken helps to tell an update that runs from one that hangs.
func lastTaken(f *os.File) string {
	info, err := f.Stat()
	if err != nil {
		return ""
	}
	return " (last taken at " + info.ModTime().UTC().Format(time.RFC3339) + ")"
}
