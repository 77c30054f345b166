package tlsrpt

import (
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/starttls-everywhere/policylist/mirror/durable"
)

// secretBytes is the length of the secrets: as much as SHA-256 gives.
const secretBytes = 32

// readSecret reads a secret of 64 hex digits, and makes one where there is none and create says so. It is on disk before it
// is used: a token that a restart could not make again would be in somebody's DNS.
func readSecret(path string, create bool) ([]byte, error) {
	text, err := durable.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) && create {
		return newSecret(path)
	}
	if err != nil {
		return nil, err
	}
	secret, err := hex.DecodeString(strings.TrimSpace(string(text)))
	if err != nil || len(secret) != secretBytes {
		return nil, fmt.Errorf("%w: %s is no secret of %d hex digits", ErrDamaged, path, 2*secretBytes)
	}
	return secret, nil
}

// newSecret never replaces one that another process made meanwhile: a link fails where a rename would not.
func newSecret(path string) ([]byte, error) {
	secret := make([]byte, secretBytes)
	rand.Read(secret) // never fails (crypto/rand)
	fresh := path + ".new-" + rand.Text()
	defer os.Remove(fresh)
	if err := durable.WriteFile(fresh, []byte(hex.EncodeToString(secret)+"\n"), 0o600); err != nil {
		return nil, err
	}
	switch err := os.Link(fresh, path); {
	case errors.Is(err, fs.ErrExist):
		return readSecret(path, false)
	case err != nil:
		return nil, err
	}
	return secret, durable.SyncDir(filepath.Dir(path))
}

// forget overwrites a secret before its name goes. What a file system or a disk keeps of old blocks is out of reach.
func forget(path string) error {
	f, err := os.OpenFile(path, os.O_WRONLY, 0)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	_, err = f.Write(make([]byte, 2*secretBytes+1))
	if err = errors.Join(err, f.Sync(), f.Close(), os.Remove(path)); err != nil {
		return err
	}
	return durable.SyncDir(filepath.Dir(path))
}
