package mirror

import (
	"errors"
	"fmt"
	"strings"
)

// ErrPath is returned by every store for a path that no mirror can hold.
var ErrPath = errors.New("not a path of a mirror")

// Limits of a path: S3 allows keys of 1024 bytes, file systems allow names of 255.
const (
	maxPath = 900 // leaves room for a bucket prefix
	maxName = 255
)

// CheckPath reports whether path can name an object on every kind of mirror: relative, slash-separated, made of ASCII
// letters, digits and "-_.~+@=", so that a folder, a URL and an S3 key spell it alike without escaping. No element is
// empty, "." or "..", and none begins with ".tmp", which names what a store has not finished. Errors wrap ErrPath.
func CheckPath(path string) error {
	if path == "" || len(path) > maxPath {
		return fmt.Errorf("%w: %d bytes long, 1 to %d allowed", ErrPath, len(path), maxPath)
	}
	for i := range len(path) {
		if !pathByte(path[i]) {
			return fmt.Errorf("%w: %q has byte %#02x at %d", ErrPath, path, path[i], i)
		}
	}
	for name := range strings.SplitSeq(path, "/") {
		switch {
		case name == "" || name == "." || name == "..":
			return fmt.Errorf("%w: %q has the element %q", ErrPath, path, name)
		case strings.HasPrefix(name, ".tmp"):
			return fmt.Errorf("%w: %q has the name of a temporary file", ErrPath, path)
		case len(name) > maxName:
			return fmt.Errorf("%w: %q has an element of %d bytes, at most %d allowed", ErrPath, path, len(name), maxName)
		}
	}
	return nil
}

func pathByte(c byte) bool {
	switch {
	case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9':
		return true
	}
	return strings.IndexByte("/-_.~+@=", c) >= 0
}
