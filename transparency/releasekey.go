package transparency

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"fmt"
)

// ReleaseKey is a public key that signs releases: ECDSA P-256 (ASN.1 signatures over the SHA-256 of the message) or
// Ed25519 (over the message).
type ReleaseKey struct {
	spki []byte
	pub  any // *ecdsa.PublicKey or ed25519.PublicKey
}

// ParseReleaseKey reads a DER SubjectPublicKeyInfo (RFC 5280 section 4.1.2.7) in the one encoding that Go writes of such a key.
func ParseReleaseKey(spki []byte) (ReleaseKey, error) {
	pub, err := x509.ParsePKIXPublicKey(spki)
	if err != nil {
		return ReleaseKey{}, fmt.Errorf("release key: %w", err)
	}
	switch k := pub.(type) {
	case ed25519.PublicKey:
	case *ecdsa.PublicKey:
		if k.Curve != elliptic.P256() {
			return ReleaseKey{}, fmt.Errorf("release key: ECDSA on %s; it takes P-256", k.Curve.Params().Name)
		}
	default:
		return ReleaseKey{}, fmt.Errorf("release key: %T; it takes ECDSA P-256 or Ed25519", pub)
	}
	if again, err := x509.MarshalPKIXPublicKey(pub); err != nil || !bytes.Equal(again, spki) {
		return ReleaseKey{}, fmt.Errorf("release key: not the usual encoding of its SubjectPublicKeyInfo")
	}
	return ReleaseKey{spki, pub}, nil
}

// ID is the SHA-256 of the SubjectPublicKeyInfo.
func (k ReleaseKey) ID() [32]byte { return sha256.Sum256(k.spki) }

// SPKI returns the DER SubjectPublicKeyInfo.
func (k ReleaseKey) SPKI() []byte { return bytes.Clone(k.spki) }

// String is the base64 SubjectPublicKeyInfo, as trust versions write it.
func (k ReleaseKey) String() string { return base64.StdEncoding.EncodeToString(k.spki) }

// rawKey is the public key without its envelope, so that an Ed25519 key counts once whatever role names it.
func (k ReleaseKey) rawKey() []byte {
	if pub, ok := k.pub.(ed25519.PublicKey); ok {
		return pub
	}
	return k.spki
}

// Verify reports whether sig is this key's signature over message: ASN.1 DER of P-256, 64 bytes of Ed25519 (RFC 8032).
func (k ReleaseKey) Verify(message, sig []byte) bool {
	switch pub := k.pub.(type) {
	case ed25519.PublicKey:
		return len(sig) == ed25519.SignatureSize && ed25519.Verify(pub, message, sig)
	case *ecdsa.PublicKey:
		sum := sha256.Sum256(message)
		return ecdsa.VerifyASN1(pub, sum[:], sig)
	}
	return false
}

// KeySignature is a release signature with the ID of the key that claims it.
type KeySignature struct {
	Key       [32]byte // ReleaseKey.ID
	Signature []byte   // as ReleaseKey.Verify takes it, not base64
}
