package signing

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"fmt"

	"github.com/sigstore/sigstore/pkg/cryptoutils"
)

// Kind is a key algorithm, spelled as in configuration files.
type Kind string

const (
	// ECDSAP256 is the default for release keys: every KMS has it, and cosign's own default.
	ECDSAP256 Kind = "ecdsa-p256"
	// Ed25519 is what signed notes need: log and root keys.
	Ed25519 Kind = "ed25519"
)

// Generate makes a key pair: an encrypted private key as "cosign generate-key-pair" writes it, and the public key in
// PEM. A nil password is the empty one, as in cosign: the file is then encrypted with nothing secret, but every tool
// that expects an encrypted key takes it.
func Generate(kind Kind, password []byte) (privPEM, pubPEM []byte, err error) {
	private, err := generate(kind)
	if err != nil {
		return nil, nil, err
	}
	if password == nil {
		password = []byte{} // nil would mean "do not encrypt" to the library
	}
	der, err := cryptoutils.MarshalPrivateKeyToEncryptedDER(private, cryptoutils.StaticPasswordFunc(password))
	if err != nil {
		return nil, nil, fmt.Errorf("encrypting the new key: %w", err)
	}
	pubPEM, err = cryptoutils.MarshalPublicKeyToPEM(private.Public())
	if err != nil {
		return nil, nil, fmt.Errorf("encoding the new public key: %w", err)
	}
	return cryptoutils.PEMEncode(cryptoutils.EncryptedSigstorePrivateKeyPEMType, der), pubPEM, nil
}

// GeneratePlain makes a key pair whose private half is unencrypted PKCS#8 in PEM: for demonstrations and for machines
// where the disk is the secret. Load warns about such a file.
func GeneratePlain(kind Kind) (privPEM, pubPEM []byte, err error) {
	private, err := generate(kind)
	if err != nil {
		return nil, nil, err
	}
	if privPEM, err = cryptoutils.MarshalPrivateKeyToPEM(private); err != nil {
		return nil, nil, fmt.Errorf("encoding the new key: %w", err)
	}
	if pubPEM, err = cryptoutils.MarshalPublicKeyToPEM(private.Public()); err != nil {
		return nil, nil, fmt.Errorf("encoding the new public key: %w", err)
	}
	return privPEM, pubPEM, nil
}

func generate(kind Kind) (crypto.Signer, error) {
	switch kind {
	case ECDSAP256:
		return ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	case Ed25519:
		_, private, err := ed25519.GenerateKey(rand.Reader)
		return private, err
	}
	return nil, fmt.Errorf("%w: %q; use %q or %q", ErrKeyType, kind, ECDSAP256, Ed25519)
}
