//go:build !(darwin || dragonfly || freebsd || linux || netbsd || openbsd)

package tilelog

import (
	"errors"
	"fmt"
	"os"
	"runtime"
)

// lockFile refuses: two writers would fork the log, and this system has no flock to keep them apart.
func lockFile(path string) (*os.File, error) {
	return nil, fmt.Errorf("locking %s on %s: %w", path, runtime.GOOS, errors.ErrUnsupported)
}

func unlockFile(f *os.File) error { return f.Close() }
