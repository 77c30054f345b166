//go:build darwin || dragonfly || freebsd || linux || netbsd || openbsd

package tilelog

import (
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// lockFile takes an exclusive flock on path, which it creates when needed. The kernel drops the lock with the process,
// however it ends, so no lock outlives a crash. ErrLocked when somebody else has it.
func lockFile(path string) (*os.File, error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, fileMode)
	if err != nil {
		return nil, err
	}
	err = unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
	if err == nil {
		return f, nil
	}
	f.Close()
	if errors.Is(err, unix.EWOULDBLOCK) {
		return nil, fmt.Errorf("%w: %s is locked", ErrLocked, path)
	}
	return nil, fmt.Errorf("locking %s: %w", path, err)
}

// unlockFile gives the lock back. Not by Close alone: a program that another goroutine is just starting has a copy of the
// descriptor until its exec, and with it the lock.
func unlockFile(f *os.File) error {
	return errors.Join(unix.Flock(int(f.Fd()), unix.LOCK_UN), f.Close())
}
