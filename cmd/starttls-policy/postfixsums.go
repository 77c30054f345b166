package main

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/starttls-everywhere/policylist/mirror/durable"
)

// sumsSuffix is appended to a compiled table's name for the file that says what was made from what, as sha256sum(1) does.
// It is written last. Times would not do: a crash between the renames leaves a compiled form of another text that is
// younger than the text beside it, and who then wants that text again finds everything as it should be.
const sumsSuffix = ".sha256"

// tableSums are of a table's two forms as they stand on the disk.
func tableSums(p postfixConfig) ([]byte, error) {
	var out bytes.Buffer
	for _, path := range []string{string(p.Map), string(p.Map) + compiledSuffix[p.Type]} {
		sum, err := fileSum(path)
		if err != nil {
			return nil, err
		}
		fmt.Fprintf(&out, "%x  %s\n", sum, filepath.Base(path))
	}
	return out.Bytes(), nil
}

// fileSum is the SHA-256 of a regular file.
func fileSum(path string) ([]byte, error) {
	f, err := durable.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	h := sha256.New()
	_, err = io.Copy(h, f)
	return h.Sum(nil), err
}

// sealed reports whether both forms are those that were last made together.
func sealed(p postfixConfig) bool {
	told, err := os.ReadFile(string(p.Map) + sumsSuffix)
	if err != nil {
		return false
	}
	sums, err := tableSums(p)
	return err == nil && bytes.Equal(told, sums)
}
