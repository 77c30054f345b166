package pipeline

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/mod/sumdb/note"

	"github.com/starttls-everywhere/policylist/mirror/durable"
	"github.com/starttls-everywhere/policylist/pipeline/signing"
	"github.com/starttls-everywhere/policylist/policy"
	"github.com/starttls-everywhere/policylist/policy/list"
	"github.com/starttls-everywhere/policylist/transparency"
)

// Files of a list operator's folder, as Setup makes them. The .pub files and log.vkey are for other people's tools.
const (
	SourceDir      = "list"
	KeysDir        = "keys"
	TrustDir       = "trust"
	StateDir       = "state"
	PublicDir      = "public"
	RootKeyFile    = "keys/root.key" // belongs offline once the trust is signed
	ReleaseKeyFile = "keys/release.key"
	ReleasePubFile = "keys/release.pub"
	LogKeyFile     = "keys/log.key"
	LogVKeyFile    = "keys/log.vkey"
	OpenPGPKeyFile = "keys/openpgp.key"
	OpenPGPPubFile = "keys/openpgp.pub"
)

// trustLifetime is how long the first trust version holds: a yearly appointment with the root key.
const trustLifetime = 365 * 24 * time.Hour

// SetupOptions say what a new list is called and how its keys are kept.
type SetupOptions struct {
	Origin   string // names the log; "" takes the example list's
	Password []byte // of every key; the empty one encrypts with nothing secret
	Plain    bool   // unencrypted keys, for demonstrations
	Now      time.Time
}

// ErrExists means that the folder holds a list already.
var ErrExists = errors.New("there is a list already")

// Setup makes an operator's folder: the example list as source, keys, and trust version 1. It returns the trust.
//
// After an error nothing is left of it.
func Setup(dir string, o SetupOptions) (trust *transparency.Trust, err error) {
	settings, origin, err := exampleSettings(o.Origin)
	if err != nil {
		return nil, err
	}
	folders := []string{SourceDir, KeysDir, TrustDir, StateDir}
	for _, name := range folders {
		switch _, err := os.Lstat(filepath.Join(dir, name)); {
		case err == nil:
			return nil, fmt.Errorf("%s: %w", filepath.Join(dir, name), ErrExists)
		case !errors.Is(err, fs.ErrNotExist):
			return nil, err
		}
	}
	defer func() {
		for _, name := range folders {
			if err != nil {
				os.RemoveAll(filepath.Join(dir, name)) // none of them was there before
			}
		}
	}()
	for _, name := range []string{TrustDir, StateDir} {
		if err := os.MkdirAll(filepath.Join(dir, name), 0o755); err != nil {
			return nil, err
		}
	}
	if err := os.MkdirAll(filepath.Join(dir, KeysDir), 0o700); err != nil {
		return nil, err
	}
	if err := writeExample(filepath.Join(dir, SourceDir), settings); err != nil {
		return nil, err
	}
	keys, err := makeKeys(dir, origin, o)
	if err != nil {
		return nil, err
	}
	if trust, err = keys.trust(origin, o.Now); err != nil {
		return nil, err
	}
	return trust, durable.WriteFile(filepath.Join(dir, TrustDir, "1"), trust.Note(), 0o644)
}

// ErrOrigin means that a list cannot have this origin.
var ErrOrigin = errors.New("not an origin")

// exampleSettings is the example's list.json for a list of the given origin, which "" leaves as it is.
func exampleSettings(origin string) (data []byte, _ string, err error) {
	if data, err = fs.ReadFile(list.Files, policy.SettingsName); err != nil {
		return nil, "", err
	}
	s, _ := policy.ParseSettings(policy.File{Path: policy.SettingsName, Data: data})
	if origin == "" {
		return data, s.Origin, nil
	}
	quoted, err := json.Marshal(origin)
	if err != nil {
		return nil, "", err
	}
	data = bytes.Replace(data, []byte(`"`+s.Origin+`"`), quoted, 1)
	if got, findings := policy.ParseSettings(policy.File{Path: policy.SettingsName, Data: data}); len(findings) > 0 {
		return nil, "", fmt.Errorf("%w: %s", ErrOrigin, findings[0].Summary)
	} else if got.Origin != origin {
		return nil, "", fmt.Errorf("%w: %q", ErrOrigin, origin)
	}
	return data, origin, nil
}

// writeExample copies the example list, with settings of its own.
func writeExample(dir string, settings []byte) error {
	return fs.WalkDir(list.Files, ".", func(name string, d fs.DirEntry, err error) error {
		path := filepath.Join(dir, filepath.FromSlash(name))
		if err != nil || d.IsDir() {
			return errors.Join(err, os.MkdirAll(path, 0o755))
		}
		data, err := fs.ReadFile(list.Files, name)
		if err != nil {
			return err
		}
		if name == policy.SettingsName {
			data = settings
		}
		return os.WriteFile(path, data, 0o644)
	})
}

// newKeys is the private half of a new list, in memory.
type newKeys struct {
	root, log *signing.Key
	release   *signing.Key
	rootName  string
}

// makeKeys writes the key files and loads them back, so that a list never begins with keys that do not open.
func makeKeys(dir, origin string, o SetupOptions) (newKeys, error) {
	k := newKeys{rootName: strings.NewReplacer("/", ".").Replace(origin) + ".root"}
	for _, f := range []struct {
		path string
		kind signing.Kind
		key  **signing.Key
	}{{RootKeyFile, signing.Ed25519, &k.root}, {LogKeyFile, signing.Ed25519, &k.log}, {ReleaseKeyFile, signing.ECDSAP256, &k.release}} {
		path := filepath.Join(dir, filepath.FromSlash(f.path))
		private, public, err := generate(f.kind, o)
		if err != nil {
			return k, err
		}
		if err := durable.WriteFile(path, private, 0o600); err != nil {
			return k, err
		}
		if err := durable.WriteFile(strings.TrimSuffix(path, ".key")+".pub", public, 0o644); err != nil {
			return k, err
		}
		password := signing.Password{Prompt: func(string) ([]byte, error) { return o.Password, nil }}
		if *f.key, _, err = signing.Load(path, password); err != nil {
			return k, err
		}
	}
	vkey, err := k.log.VerifierKey(origin)
	if err != nil {
		return k, err
	}
	if err := durable.WriteFile(filepath.Join(dir, LogVKeyFile), []byte(vkey+"\n"), 0o644); err != nil {
		return k, err
	}
	return k, makeOpenPGP(dir, origin, o)
}

func generate(kind signing.Kind, o SetupOptions) (private, public []byte, err error) {
	if o.Plain {
		return signing.GeneratePlain(kind)
	}
	return signing.Generate(kind, o.Password)
}

func makeOpenPGP(dir, origin string, o SetupOptions) error {
	password := o.Password
	if o.Plain {
		password = nil
	}
	private, err := signing.GenerateOpenPGP(origin, "", o.Now, password)
	if err != nil {
		return err
	}
	path := filepath.Join(dir, OpenPGPKeyFile)
	if err := durable.WriteFile(path, private, 0o600); err != nil {
		return err
	}
	key, _, err := signing.LoadOpenPGP(path, signing.Password{Prompt: func(string) ([]byte, error) { return password, nil }})
	if err != nil {
		return err
	}
	public, err := key.PublicKey(true)
	if err != nil {
		return err
	}
	return durable.WriteFile(filepath.Join(dir, OpenPGPPubFile), public, 0o644)
}

// trust makes and signs version 1: one root key, one release key, no witness.
func (k newKeys) trust(origin string, now time.Time) (*transparency.Trust, error) {
	root, err := k.root.VerifierKey(k.rootName)
	if err != nil {
		return nil, err
	}
	log, err := k.log.VerifierKey(origin)
	if err != nil {
		return nil, err
	}
	release, err := transparency.ParseReleaseKey(k.release.SPKI())
	if err != nil {
		return nil, err
	}
	t, err := transparency.NewTrust(1, now.Add(trustLifetime), 1, []string{root}, 1, []transparency.ReleaseKey{release}, log, transparency.WitnessPolicy{})
	if err != nil {
		return nil, err
	}
	signer, err := k.root.NoteSigner(k.rootName)
	if err != nil {
		return nil, err
	}
	_, err = t.Sign([]note.Signer{signer}...)
	return t, err
}
