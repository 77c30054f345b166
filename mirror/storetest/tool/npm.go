package tool

import (
	"bytes"
	_ "embed"
	"fmt"
	"os"
	"path/filepath"
)

// lock names the packages of npm ("npm:"), all that they need, and the digest of each.
//
//go:embed npm/package-lock.json
var lock []byte

// locked reports an error unless the packages in a folder are those of the lock file, which lies beside them.
func locked(folder string) error {
	installed, err := os.ReadFile(filepath.Join(folder, "package-lock.json"))
	if err != nil {
		return err
	}
	if !bytes.Equal(installed, lock) {
		return fmt.Errorf("%s has packages of another package-lock.json", folder)
	}
	return nil
}
