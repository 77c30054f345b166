package dir

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync"

	"golang.org/x/sys/unix"
)

// syncTree makes files and folders durable: with one call for the whole file system, which costs about what the fsync of
// a few files does.
func (s *Store) syncTree(names []string) error {
	if len(names) == 0 {
		return nil
	}
	if !syncfsTells() {
		return s.syncEach(names)
	}
	err := unix.Syncfs(int(s.temp.Fd()))
	if errors.Is(err, unix.ENOSYS) {
		return s.syncEach(names)
	}
	if err != nil {
		return fmt.Errorf("syncfs: %w", err)
	}
	return nil
}

// syncfsTells reports whether the kernel's syncfs fails when the disk does: since Linux 5.8, by syncfs(2).
var syncfsTells = sync.OnceValue(func() bool {
	var u unix.Utsname
	if unix.Uname(&u) != nil {
		return false
	}
	return since58(unix.ByteSliceToString(u.Release[:]))
})

// since58 reports whether a kernel's release, as of "6.1.0-18-amd64", is 5.8 or later.
func since58(release string) bool {
	first, rest, _ := strings.Cut(release, ".")
	second := rest[:len(rest)-len(strings.TrimLeft(rest, "0123456789"))]
	major, err1 := strconv.Atoi(first)
	minor, err2 := strconv.Atoi(second)
	return err1 == nil && err2 == nil && (major > 5 || major == 5 && minor >= 8)
}
