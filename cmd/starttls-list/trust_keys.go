package main

import (
	"bytes"
	"crypto/ed25519"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/spf13/cobra"
	"golang.org/x/mod/sumdb/note"

	"github.com/starttls-everywhere/policylist/mirror"
	"github.com/starttls-everywhere/policylist/pipeline/signing"
	"github.com/starttls-everywhere/policylist/transparency"
)

// maxPublicFile caps a file with a public key or a witness policy, in bytes.
const maxPublicFile = transparency.MaxTrustBytes

// notePublic takes an Ed25519 vkey apart.
func notePublic(vkey string) (name string, public ed25519.PublicKey, err error) {
	v, err := note.NewVerifier(vkey)
	if err != nil {
		return "", nil, fmt.Errorf("%q is not a verifier key: %w", vkey, err)
	}
	typed, err := base64.StdEncoding.DecodeString(strings.SplitN(vkey, "+", 3)[2]) // base64 has plus signs of its own
	if err != nil || len(typed) != 1+ed25519.PublicKeySize || typed[0] != 1 {
		return "", nil, fmt.Errorf("%q is not an Ed25519 verifier key", vkey)
	}
	return v.Name(), typed[1:], nil
}

// fingerprint is the lower-case hex SHA-256 of a key's SubjectPublicKeyInfo: what
// "openssl pkey -pubin -outform DER | sha256sum" prints.
func fingerprint(spki []byte) string {
	sum := sha256.Sum256(spki)
	return hex.EncodeToString(sum[:])
}

func noteFingerprint(vkey string) string {
	_, public, err := notePublic(vkey)
	if err != nil {
		return ""
	}
	spki, err := x509.MarshalPKIXPublicKey(public)
	if err != nil {
		return ""
	}
	return fingerprint(spki)
}

// keyReader reads public keys as the command line names them. Private key files and keys in a KMS or on a device do as
// well; only their public half is taken.
type keyReader struct {
	password signing.Password
	remote   func(uri string) (*signing.RemoteKey, error)
}

func newKeyReader(c *cobra.Command, passwordFile string) keyReader {
	return keyReader{
		password: passwordSource(passwordFile, c.InOrStdin(), c.ErrOrStderr()),
		remote:   func(uri string) (*signing.RemoteKey, error) { return signing.OpenRemote(c.Context(), uri) },
	}
}

// vkey reads VKEY, FILE or NAME=FILE, where FILE holds a vkey, a public or a private key, or is the URI of a key
// elsewhere. A PEM file has no name in it: name stands in when none is given.
func (r keyReader) vkey(ref, name string) (string, error) {
	if _, _, err := notePublic(ref); err == nil {
		return ref, nil
	}
	path := ref
	if given, file, ok := strings.Cut(ref, "="); ok && !signing.IsURI(given) {
		name, path = given, file
	}
	data, err := r.read(path)
	if err != nil {
		return "", err
	}
	if line := strings.TrimSpace(string(data)); !strings.HasPrefix(line, "-----BEGIN") {
		if _, _, err := notePublic(line); err != nil {
			return "", fmt.Errorf("%s: %w", path, err)
		}
		return line, nil
	}
	spki, err := r.spki(path, data)
	if err != nil {
		return "", err
	}
	public, err := x509.ParsePKIXPublicKey(spki)
	ed, ok := public.(ed25519.PublicKey)
	if err != nil || !ok {
		return "", fmt.Errorf("%s: %w: notes are signed with Ed25519", path, signing.ErrKeyType)
	}
	vkey, err := note.NewEd25519VerifierKey(name, ed)
	if err == nil {
		_, _, err = notePublic(vkey)
	}
	if err != nil {
		return "", fmt.Errorf("%w: %s: %w", errKeyName, path, err)
	}
	return vkey, nil
}

// releaseKey reads a PEM file, public or private, or asks for the public half of a URI's key.
func (r keyReader) releaseKey(path string) (transparency.ReleaseKey, error) {
	data, err := r.read(path)
	if err != nil {
		return transparency.ReleaseKey{}, err
	}
	spki, err := r.spki(path, data)
	if err != nil {
		return transparency.ReleaseKey{}, err
	}
	return transparency.ParseReleaseKey(spki)
}

func (r keyReader) spki(path string, data []byte) ([]byte, error) {
	if bytes.Contains(data, []byte("PRIVATE KEY-----")) {
		key, _, err := signing.Load(path, r.password)
		if err != nil {
			return nil, err
		}
		return key.SPKI(), nil
	}
	spki, err := signing.ParsePublic(data)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return spki, nil
}

// witnesses reads the lines of a C2SP tlog-policy; "none" asks for no witness.
func (r keyReader) witnesses(path string) (transparency.WitnessPolicy, error) {
	if path == "none" {
		return transparency.WitnessPolicy{}, nil
	}
	data, err := readPublicFile(path)
	if err != nil {
		return transparency.WitnessPolicy{}, err
	}
	p, err := transparency.ParseWitnessPolicy(string(data))
	if err != nil {
		return p, fmt.Errorf("%s: %w", path, err)
	}
	return p, nil
}

// read returns what a key's file holds; for a URI, the PEM of its public half.
func (r keyReader) read(ref string) ([]byte, error) {
	if !signing.IsURI(ref) {
		return readPublicFile(ref)
	}
	key, err := r.remote(ref)
	if err != nil {
		return nil, err
	}
	return pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: key.SPKI()}), nil
}

func readPublicFile(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	data, err := mirror.ReadLimited(f, maxPublicFile)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return data, nil
}

// minPrefix is how much of a fingerprint names a key.
const minPrefix = 8

// pick returns the index of the one key that ref names: by a fingerprint's beginning, or by any of its other names.
func pick(ref string, count int, fingerprint func(int) string, named func(int) bool) (int, error) {
	found := -1
	for i := range count {
		if !named(i) && (len(ref) < minPrefix || !strings.HasPrefix(fingerprint(i), ref)) {
			continue
		}
		if found >= 0 {
			return 0, fmt.Errorf("%q names more than one key: give the whole key or its fingerprint", ref)
		}
		found = i
	}
	if found < 0 {
		return 0, fmt.Errorf("%q names no key of the present version: %w", ref, errNoSuchKey)
	}
	return found, nil
}

var (
	errNoSuchKey = errors.New("give its name, its fingerprint, or the key itself")
	errKeyName   = errors.New("a key needs a name without spaces and plus signs: NAME=FILE, or --origin for the log")
)
