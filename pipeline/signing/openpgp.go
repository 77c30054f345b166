package signing

import (
	"bytes"
	"crypto"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/ProtonMail/go-crypto/openpgp"
	"github.com/ProtonMail/go-crypto/openpgp/armor"
	"github.com/ProtonMail/go-crypto/openpgp/packet"

	"github.com/starttls-everywhere/policylist/mirror/durable"
	"github.com/starttls-everywhere/policylist/policy"
)

// ErrNotOpenPGP is wrapped when bytes are no OpenPGP key or signature.
var ErrNotOpenPGP = errors.New("not OpenPGP data")

// OpenPGPKey makes the detached signature beside policy.json. Safe for concurrent use.
type OpenPGPKey struct{ entity *openpgp.Entity }

// GenerateOpenPGP makes a version 4 EdDSA key (RFC 9580 section 5.5.3; algorithm 22, which GnuPG 2.2 knows) that
// certifies and signs, has no encryption subkey and does not expire: renewal of trust is not OpenPGP's business here.
// The result is an armored private key file, encrypted unless passphrase is empty. created is also the self-signature's
// time; a signature made before it would be refused.
func GenerateOpenPGP(name, email string, created time.Time, passphrase []byte) (privArmored []byte, err error) {
	config := openPGPConfig(created)
	config.Algorithm = packet.PubKeyAlgoEdDSA
	config.Curve = packet.Curve25519
	entity, err := openpgp.NewEntity(name, "", email, config)
	if err != nil {
		return nil, fmt.Errorf("new OpenPGP key: %w", err)
	}
	entity.Subkeys = nil // nobody is meant to encrypt anything to a list
	if len(passphrase) > 0 {
		if err := entity.EncryptPrivateKeys(passphrase, config); err != nil {
			return nil, fmt.Errorf("encrypting the new OpenPGP key: %w", err)
		}
	}
	return armored(openpgp.PrivateKeyType, func(w *bytes.Buffer) error {
		return entity.SerializePrivateWithoutSigning(w, config)
	})
}

// LoadOpenPGP reads a private key file, armored or binary, as GenerateOpenPGP or "gpg --export-secret-keys" writes it.
// Findings are warnings as Load's. Errors name the file and wrap fs.ErrNotExist, ErrNotOpenPGP, ErrNoPassword,
// ErrPassword or ErrKeyType.
func LoadOpenPGP(path string, password Password) (*OpenPGPKey, []policy.Finding, error) {
	data, err := durable.ReadNamed(path, maxKeyFile)
	if err != nil {
		return nil, nil, fmt.Errorf("OpenPGP key: %w", err)
	}
	entities, err := readEntities(data, openpgp.PrivateKeyType)
	if err != nil {
		return nil, nil, fmt.Errorf("OpenPGP key %s: %w", path, err)
	}
	if len(entities) != 1 {
		return nil, nil, fmt.Errorf("OpenPGP key %s: %w: %d keys in the file, wanted is one", path, ErrKeyType, len(entities))
	}
	encrypted, err := unlock(entities[0], path, password)
	if err != nil {
		return nil, nil, fmt.Errorf("OpenPGP key %s: %w", path, err)
	}
	return &OpenPGPKey{entities[0]}, warnings(path, !encrypted), nil
}

// unlock decrypts every private part. A part that is a stub (the primary key kept elsewhere) stays one; signing
// fails later only if no other part can sign.
func unlock(entity *openpgp.Entity, path string, password Password) (encrypted bool, err error) {
	private := entity.PrivateKey != nil
	parts := []*packet.PrivateKey{entity.PrivateKey}
	for _, sub := range entity.Subkeys {
		parts = append(parts, sub.PrivateKey)
	}
	for _, part := range parts {
		private = private || part != nil
		encrypted = encrypted || part != nil && part.Encrypted && !part.Dummy()
	}
	if !private {
		return false, fmt.Errorf("%w: this is a public key", ErrKeyType)
	}
	if !encrypted {
		return false, nil
	}
	secret, source, err := password.read(path)
	if err != nil {
		return true, err
	}
	if err := entity.DecryptPrivateKeys(secret); err != nil {
		return true, fmt.Errorf("%w (from %s): %w", ErrPassword, source, err)
	}
	return true, nil
}

// Sign returns an armored detached signature over data with now as its time, in whole seconds; it is verified before
// it is returned. Two calls give different bytes: a random notation guards EdDSA against faults.
func (k *OpenPGPKey) Sign(data []byte, now time.Time) (asc []byte, err error) {
	asc, err = armored(openpgp.SignatureType, func(w *bytes.Buffer) error {
		return openpgp.DetachSign(w, k.entity, bytes.NewReader(data), openPGPConfig(now))
	})
	if err != nil {
		return nil, fmt.Errorf("OpenPGP signature by %s: %w", k.Fingerprint(), err)
	}
	if _, _, err := VerifyDetached(&Keyring{openpgp.EntityList{k.entity}}, data, asc, now); err != nil {
		return nil, fmt.Errorf("own OpenPGP signature: %w", err)
	}
	return asc, nil
}

// Fingerprint is the primary key's, in upper-case hex without spaces, as gpg prints it.
func (k *OpenPGPKey) Fingerprint() string { return fingerprint(k.entity) }

// PublicKey returns the public key with its identities: armored for people, or binary, which is a keyring for gpgv.
func (k *OpenPGPKey) PublicKey(armor bool) ([]byte, error) {
	if armor {
		return armored(openpgp.PublicKeyType, func(w *bytes.Buffer) error { return k.entity.Serialize(w) })
	}
	var b bytes.Buffer
	err := k.entity.Serialize(&b)
	return b.Bytes(), err
}

func fingerprint(entity *openpgp.Entity) string {
	return fmt.Sprintf("%X", entity.PrimaryKey.Fingerprint)
}

// openPGPConfig pins what would otherwise follow the library's defaults, and the clock.
func openPGPConfig(now time.Time) *packet.Config {
	return &packet.Config{
		DefaultHash:   crypto.SHA256,
		DefaultCipher: packet.CipherAES256,
		Time:          func() time.Time { return now },
	}
}

// armored wraps what write puts out; the last line ends with a newline, which the library leaves out.
func armored(blockType string, write func(*bytes.Buffer) error) ([]byte, error) {
	var body, out bytes.Buffer
	if err := write(&body); err != nil {
		return nil, err
	}
	w, err := armor.Encode(&out, blockType, nil)
	if err != nil {
		return nil, err
	}
	if _, err := w.Write(body.Bytes()); err != nil {
		return nil, err
	}
	if err := w.Close(); err != nil {
		return nil, err
	}
	return append(bytes.TrimSpace(out.Bytes()), '\n'), nil
}

// dearmor returns the packets of an armored or binary file. An armored one must be of one of the given types.
func dearmor(data []byte, types ...string) (*bytes.Reader, error) {
	if !bytes.HasPrefix(bytes.TrimLeft(data, " \t\r\n"), []byte("-----BEGIN ")) {
		return bytes.NewReader(data), nil
	}
	block, err := armor.Decode(bytes.NewReader(data))
	if err != nil {
		return nil, fmt.Errorf("%w: armor: %w", ErrNotOpenPGP, err)
	}
	for _, t := range types {
		if block.Type == t {
			var body bytes.Buffer
			if _, err := body.ReadFrom(block.Body); err != nil {
				return nil, fmt.Errorf("%w: armor: %w", ErrNotOpenPGP, err)
			}
			return bytes.NewReader(body.Bytes()), nil
		}
	}
	return nil, fmt.Errorf("%w: the armor holds a %s, wanted is a %s", ErrNotOpenPGP, block.Type, strings.Join(types, " or "))
}

func readEntities(data []byte, types ...string) (openpgp.EntityList, error) {
	packets, err := dearmor(data, types...)
	if err != nil {
		return nil, err
	}
	entities, err := openpgp.ReadKeyRing(packets)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrNotOpenPGP, err)
	}
	if len(entities) == 0 {
		return nil, fmt.Errorf("%w: no key in it", ErrNotOpenPGP)
	}
	return entities, nil
}
