package signing

import (
	"bytes"
	"context"
	"crypto"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/sigstore/sigstore/pkg/cryptoutils"

	"github.com/starttls-everywhere/policylist/mirror/durable"
	"github.com/starttls-everywhere/policylist/policy"
)

// maxKeyFile caps a key file, in bytes; a PEM key has about 700, an OpenPGP key with many certifications some 10,000.
const maxKeyFile = 256 << 10

// legacyPEMType is what cosign wrote before version 2; the content is the same.
const legacyPEMType = "ENCRYPTED COSIGN PRIVATE KEY"

// Codes of the findings that Load and LoadOpenPGP return.
const (
	CodePlainKey    = "key.plain"    // the private key is not encrypted
	CodeReadableKey = "key.readable" // others than the owner can read the file
	CodeOnlineKey   = "key.online"   // OnlineRoot: a root key is in a key service
)

var (
	// ErrNotPEM is wrapped when a file holds no PEM block, or more than one.
	ErrNotPEM = errors.New("not a PEM key")
	// ErrDamaged is wrapped when a PEM block begins but cannot be read to its end, or its content is cut.
	ErrDamaged = errors.New("damaged or cut key file")
)

// Open returns the signer that ref names: the path of a key file, or a URI such as awskms:///alias/release (OpenRemote).
func Open(ctx context.Context, ref string, password Password) (Signer, []policy.Finding, error) {
	if err := ctx.Err(); err != nil {
		return nil, nil, err
	}
	if IsURI(ref) {
		key, err := OpenRemote(ctx, ref)
		if err != nil {
			return nil, nil, err
		}
		return key, nil, nil
	}
	key, findings, err := Load(ref, password)
	if err != nil {
		return nil, nil, err
	}
	return key, findings, nil
}

// Load reads a private key file: encrypted PEM as cosign writes it (now or formerly), or plain PKCS#8 in PEM, which is
// worth a warning. Findings are warnings and never keep a key from being used. Errors name the file and wrap
// fs.ErrNotExist, ErrNotPEM, ErrDamaged, ErrNoPassword, ErrPassword or ErrKeyType.
func Load(path string, password Password) (*Key, []policy.Finding, error) {
	data, err := durable.ReadNamed(path, maxKeyFile)
	if err != nil {
		return nil, nil, fmt.Errorf("private key: %w", err)
	}
	private, plain, err := decode(data, path, password)
	if err != nil {
		return nil, nil, fmt.Errorf("private key %s: %w", path, err)
	}
	key, err := newKey(private)
	if err != nil {
		return nil, nil, fmt.Errorf("private key %s: %w", path, err)
	}
	return key, warnings(path, plain), nil
}

// decode turns the file's bytes into a private key of any type that PKCS#8 has.
func decode(data []byte, path string, password Password) (private crypto.PrivateKey, plain bool, err error) {
	block, err := onlyBlock(data)
	if err != nil {
		return nil, false, err
	}
	switch block.Type {
	case string(cryptoutils.PrivateKeyPEMType):
		private, err = x509.ParsePKCS8PrivateKey(block.Bytes)
		if err != nil {
			err = fmt.Errorf("%w: %w", ErrDamaged, err)
		}
		return private, true, err
	case string(cryptoutils.EncryptedSigstorePrivateKeyPEMType), legacyPEMType:
		private, err = decrypt(data, block, path, password)
		return private, false, err
	}
	return nil, false, fmt.Errorf("%w: the PEM block is a %s; wanted is %s (starttls-list init or cosign generate-key-pair"+
		" write it) or PKCS#8 (openssl pkcs8 -topk8 -nocrypt converts)", ErrKeyType, block.Type,
		cryptoutils.EncryptedSigstorePrivateKeyPEMType)
}

func decrypt(data []byte, block *pem.Block, path string, password Password) (crypto.PrivateKey, error) {
	// A cut block fails here, before a person is asked for a password that could not help.
	if !json.Valid(block.Bytes) {
		return nil, fmt.Errorf("%w: the encrypted part is incomplete", ErrDamaged)
	}
	secret, source, err := password.read(path)
	if err != nil {
		return nil, err
	}
	private, err := cryptoutils.UnmarshalPEMToPrivateKey(data, cryptoutils.StaticPasswordFunc(secret))
	switch {
	case err == nil:
		return private, nil
	case strings.Contains(err.Error(), "decryption failed"): // the library has no sentinel; a test watches the words
		return nil, fmt.Errorf("%w (from %s)", ErrPassword, source)
	}
	return nil, fmt.Errorf("%w: %w", ErrDamaged, err)
}

// onlyBlock refuses a file with two blocks: which key would sign must not depend on their order.
func onlyBlock(data []byte) (*pem.Block, error) {
	block, rest := pem.Decode(data)
	switch {
	case block == nil && bytes.Contains(data, []byte("-----BEGIN ")):
		return nil, fmt.Errorf("%w: the PEM block has no end", ErrDamaged)
	case block == nil:
		return nil, ErrNotPEM
	case len(bytes.TrimSpace(rest)) > 0:
		return nil, fmt.Errorf("%w: text after the first PEM block", ErrNotPEM)
	}
	return block, nil
}

// warnings looks at what surrounds a key that did load.
func warnings(path string, plain bool) []policy.Finding {
	var found []policy.Finding
	if plain {
		found = append(found, policy.Finding{Code: CodePlainKey, Severity: policy.Warning,
			Position: policy.Position{File: path}, Summary: "the private key is not encrypted",
			Fix: "encrypt it: cosign import-key-pair --key FILE, or make a new key with starttls-list init"})
	}
	info, err := os.Stat(path)
	if err == nil && info.Mode().IsRegular() && info.Mode().Perm()&0o077 != 0 {
		found = append(found, policy.Finding{Code: CodeReadableKey, Severity: policy.Warning,
			Position: policy.Position{File: path},
			Summary:  fmt.Sprintf("others than the owner have access to the private key (mode %04o)", info.Mode().Perm()),
			Fix:      "chmod 600 " + path})
	}
	return found
}
