package signing

import (
	"bytes"
	"errors"
	"fmt"

	"github.com/starttls-everywhere/policylist/mirror/durable"
)

// PasswordEnv is the environment variable that cosign reads too, so one set-up serves both.
const PasswordEnv = "COSIGN_PASSWORD"

// maxPasswordFile caps the password file, in bytes.
const maxPasswordFile = 4096

// ErrNoPassword is wrapped when an encrypted key has no source for its password.
var ErrNoPassword = errors.New("no password for the encrypted key")

// ErrPassword is wrapped when a password does not open the key.
var ErrPassword = errors.New("wrong password")

// PasswordFunc asks a person for the password of the key in the file path. It belongs to the command line, which
// knows whether there is a terminal.
type PasswordFunc func(path string) ([]byte, error)

// Password says where passwords come from. The sources are tried in the order of the fields, the first that exists
// counts; with the zero value only unencrypted keys load.
type Password struct {
	// LookupEnv is os.LookupEnv in commands; nil leaves the environment out. COSIGN_PASSWORD set to nothing is the
	// empty password, not "unset": that is how cosign users say that there is none.
	LookupEnv func(name string) (value string, ok bool)
	// File holds the password on its first and only line; one line end at its end does not count.
	File string
	// Prompt is asked last; nil where nobody can be asked.
	Prompt PasswordFunc
}

// ErrTwoPasswords is wrapped when the environment and the password file name two passwords for a key to be made.
var ErrTwoPasswords = errors.New("two different passwords for the new keys")

// Read returns the password for a key that is about to be made; it wraps ErrNoPassword when there is no source. A key
// that exists tells which password is the right one, a new one takes any: so a file beside COSIGN_PASSWORD must hold
// the same, else Read wraps ErrTwoPasswords.
func (p Password) Read(keyPath string) ([]byte, error) {
	password, source, err := p.read(keyPath)
	if err != nil || source != PasswordEnv || p.File == "" {
		return password, err
	}
	file, _, err := Password{File: p.File}.read(keyPath)
	if err == nil && !bytes.Equal(file, password) {
		err = fmt.Errorf("%w: %s says one, password file %s another", ErrTwoPasswords, PasswordEnv, p.File)
	}
	return password, err
}

// read returns a password that is never nil, and the name of its source for error texts.
func (p Password) read(keyPath string) (password []byte, source string, err error) {
	if p.LookupEnv != nil {
		if value, ok := p.LookupEnv(PasswordEnv); ok {
			return []byte(value), PasswordEnv, nil
		}
	}
	if p.File != "" {
		data, err := durable.ReadNamed(p.File, maxPasswordFile)
		if err != nil {
			return nil, "", fmt.Errorf("password file: %w", err)
		}
		data = bytes.TrimSuffix(bytes.TrimSuffix(data, []byte("\n")), []byte("\r"))
		if len(data) == 0 || bytes.ContainsAny(data, "\r\n") {
			return nil, "", fmt.Errorf("password file %s: it has to hold one line, the password", p.File)
		}
		return append([]byte{}, data...), "password file " + p.File, nil
	}
	if p.Prompt != nil {
		asked, err := p.Prompt(keyPath)
		if err != nil {
			return nil, "", fmt.Errorf("asking for the password: %w", err)
		}
		return append([]byte{}, asked...), "the password entered", nil
	}
	return nil, "", fmt.Errorf("%w: set %s, name a password file, or run on a terminal", ErrNoPassword, PasswordEnv)
}
