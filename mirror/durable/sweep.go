package durable

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
)

// Sweep removes from a folder what WriteFile left of files with these names when its process was killed. Nobody may be
// writing them: hold the lock that writers of these files hold. Temporary files of other names are another's work.
func Sweep(dir string, names ...string) error {
	entries, err := os.ReadDir(dir)
	for _, e := range entries {
		for _, name := range names {
			if isTemp(e.Name(), name) {
				err = errors.Join(err, os.Remove(filepath.Join(dir, e.Name())))
			}
		}
	}
	return err
}

// isTemp reports whether WriteFile would call a temporary file of name so: os.CreateTemp puts digits for the star.
func isTemp(file, name string) bool {
	digits, ok := strings.CutPrefix(file, tempPrefix+name+"-")
	return ok && digits != "" && strings.Trim(digits, "0123456789") == ""
}
