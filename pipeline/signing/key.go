// Package signing holds the private keys of a list and what they make: release signatures, signed-note signatures of
// the log and of trust versions, the sigstore bundle that cosign reads, and the OpenPGP signature that gpgv reads.
// This is the only package that knows sigstore.
//
// A key file is what "cosign generate-key-pair" writes: PKCS#8 in an "ENCRYPTED SIGSTORE PRIVATE KEY" block (scrypt
// and NaCl secretbox). Two kinds exist here, because trust versions know two (schema/README.md): ECDSA P-256, whose
// signatures are ASN.1 DER over SHA-256(message), and Ed25519 (RFC 8032, pure) over the message itself.
//
//	key, findings, err := signing.Load("keys/release.key", signing.Password{LookupEnv: os.LookupEnv})
//	sig, err := key.Sign(ctx, message)      // already verified with the public half
//	bundle := signing.Bundle(sig, key.KeyID(), sha256.Sum256(message))
//
// A key is named by the SHA-256 of its SubjectPublicKeyInfo in DER; in base64 that is also cosign's key hint.
package signing

import (
	"bytes"
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/sha256"
	"crypto/x509"
	"errors"
	"fmt"

	"github.com/sigstore/sigstore/pkg/cryptoutils"
	"github.com/sigstore/sigstore/pkg/signature"
	"github.com/sigstore/sigstore/pkg/signature/options"
)

// ErrBadSignature is wrapped when a signature was made by another key or over other bytes.
var ErrBadSignature = errors.New("signature does not verify")

// ErrKeyType is wrapped when a key is none that releases can be signed with.
var ErrKeyType = errors.New("key type not supported")

// Signer signs messages with one key, in a file or elsewhere. Implementations are safe for concurrent use and return
// only signatures that they have verified: a faulty memory cell or a wrong key version in a KMS shows here, not on
// the machines of everybody who fetches the list.
type Signer interface {
	// Sign returns ASN.1 DER (ECDSA) or 64 bytes (Ed25519).
	Sign(ctx context.Context, message []byte) (sig []byte, err error)
	// SPKI returns the public key as SubjectPublicKeyInfo in DER (RFC 5280 section 4.1.2.7).
	SPKI() []byte
	// KeyID is SHA-256 of SPKI.
	KeyID() [32]byte
}

// Key is a Signer whose private half is in memory.
type Key struct {
	signer signature.Signer
	public crypto.PublicKey // *ecdsa.PublicKey on P-256, or ed25519.PublicKey
	spki   []byte
}

// newKey wraps what a key file held; errors wrap ErrKeyType.
func newKey(private crypto.PrivateKey) (*Key, error) {
	holder, ok := private.(crypto.Signer)
	if !ok {
		return nil, fmt.Errorf("%w: %T cannot sign", ErrKeyType, private)
	}
	if err := checkPublic(holder.Public()); err != nil {
		return nil, err
	}
	signer, err := signature.LoadSigner(private, crypto.SHA256)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrKeyType, err)
	}
	spki, err := x509.MarshalPKIXPublicKey(holder.Public())
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrKeyType, err)
	}
	return &Key{signer: signer, public: holder.Public(), spki: spki}, nil
}

// checkPublic refuses what trust versions cannot name. RSA and the larger curves are left out so that every verifier
// needs exactly two algorithms.
func checkPublic(public crypto.PublicKey) error {
	switch p := public.(type) {
	case ed25519.PublicKey:
		return nil
	case *ecdsa.PublicKey:
		if p.Curve != elliptic.P256() {
			return fmt.Errorf("%w: ECDSA on %s; use P-256 or Ed25519", ErrKeyType, p.Curve.Params().Name)
		}
		return nil
	}
	return fmt.Errorf("%w: %T; use ECDSA P-256 or Ed25519", ErrKeyType, public)
}

// Sign implements Signer. ctx matters only in that a cancelled one signs nothing.
func (k *Key) Sign(ctx context.Context, message []byte) ([]byte, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	sig, err := k.signer.SignMessage(bytes.NewReader(message), options.WithContext(ctx))
	if err != nil {
		return nil, fmt.Errorf("signing: %w", err)
	}
	if err := verify(k.public, message, sig); err != nil {
		return nil, fmt.Errorf("signing: own signature: %w", err)
	}
	return sig, nil
}

// SPKI implements Signer; the caller may keep the copy.
func (k *Key) SPKI() []byte { return bytes.Clone(k.spki) }

// KeyID implements Signer.
func (k *Key) KeyID() [32]byte { return sha256.Sum256(k.spki) }

// Kind tells which of the two algorithms the key has.
func (k *Key) Kind() Kind {
	if _, ok := k.public.(ed25519.PublicKey); ok {
		return Ed25519
	}
	return ECDSAP256
}

// PublicPEM returns the public half in a "PUBLIC KEY" block, as cosign.pub has it.
func (k *Key) PublicPEM() []byte { return cryptoutils.PEMEncode(cryptoutils.PublicKeyPEMType, k.spki) }

// verify checks a signature with a public key that checkPublic let pass. Errors wrap ErrBadSignature.
func verify(public crypto.PublicKey, message, sig []byte) error {
	ok := false
	switch p := public.(type) {
	case ed25519.PublicKey:
		ok = ed25519.Verify(p, message, sig)
	case *ecdsa.PublicKey:
		digest := sha256.Sum256(message)
		ok = ecdsa.VerifyASN1(p, digest[:], sig)
	}
	if !ok {
		return ErrBadSignature
	}
	return nil
}

// ParsePublic reads a "PUBLIC KEY" PEM file's bytes and returns the key in DER. Errors wrap ErrNotPEM or ErrKeyType.
func ParsePublic(data []byte) (spki []byte, err error) {
	block, err := onlyBlock(data)
	if err != nil {
		return nil, err
	}
	if block.Type != string(cryptoutils.PublicKeyPEMType) {
		return nil, fmt.Errorf("%w: the PEM block is a %s, not a PUBLIC KEY", ErrKeyType, block.Type)
	}
	public, err := x509.ParsePKIXPublicKey(block.Bytes)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrKeyType, err)
	}
	if err := checkPublic(public); err != nil {
		return nil, err
	}
	return x509.MarshalPKIXPublicKey(public)
}
