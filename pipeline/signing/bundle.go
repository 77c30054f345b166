package signing

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
)

// BundleMediaType names version 0.3 of the sigstore bundle (sigstore/protobuf-specs, sigstore_bundle.proto).
const BundleMediaType = "application/vnd.dev.sigstore.bundle.v0.3+json"

// maxBundle caps a bundle, in bytes; one without certificates and log entries has about 500.
const maxBundle = 64 << 10

// ErrBundle is wrapped by every bundle that is not of the one shape that Bundle writes.
var ErrBundle = errors.New("malformed sigstore bundle")

// bundle is the part of the protobuf JSON mapping that a signature by a plain key needs. encoding/json writes []byte
// as standard base64, which is what that mapping asks for. There are no log entries: our log is not Rekor, so cosign
// is told to ignore it.
type bundle struct {
	MediaType            string               `json:"mediaType"`
	VerificationMaterial verificationMaterial `json:"verificationMaterial"`
	MessageSignature     messageSignature     `json:"messageSignature"`
}

type verificationMaterial struct {
	PublicKey publicKeyIdentifier `json:"publicKey"`
}

type publicKeyIdentifier struct {
	Hint string `json:"hint"`
}

type messageSignature struct {
	MessageDigest messageDigest `json:"messageDigest"`
	Signature     []byte        `json:"signature"`
}

type messageDigest struct {
	Algorithm string `json:"algorithm"`
	Digest    []byte `json:"digest"`
}

// Bundle writes what "cosign verify-blob --key PUB --bundle FILE --insecure-ignore-tlog BLOB" accepts: sig over the
// blob's bytes, digest = SHA-256 of the blob, and keyID as a hint (cosign's form: base64 of SHA-256 of the SPKI).
// One line with its newline.
func Bundle(sig []byte, keyID, digest [32]byte) []byte {
	out, err := json.Marshal(bundle{
		MediaType: BundleMediaType,
		VerificationMaterial: verificationMaterial{
			PublicKey: publicKeyIdentifier{Hint: base64.StdEncoding.EncodeToString(keyID[:])}},
		MessageSignature: messageSignature{
			MessageDigest: messageDigest{Algorithm: "SHA2_256", Digest: digest[:]}, Signature: sig},
	})
	if err != nil {
		panic(err) // strings and bytes always encode
	}
	return append(out, '\n')
}

// SignBundle signs blob and returns the bundle.
func SignBundle(ctx context.Context, signer Signer, blob []byte) ([]byte, error) {
	sig, err := signer.Sign(ctx, blob)
	if err != nil {
		return nil, err
	}
	return Bundle(sig, signer.KeyID(), sha256.Sum256(blob)), nil
}

// ParseBundle reads a bundle of the shape that Bundle writes; foreign fields (certificates, log entries) are refused
// rather than ignored. Errors wrap ErrBundle.
func ParseBundle(data []byte) (sig []byte, keyID, digest [32]byte, err error) {
	if len(data) > maxBundle {
		return nil, keyID, digest, fmt.Errorf("%w: more than %d bytes", ErrBundle, maxBundle)
	}
	var b bundle
	d := json.NewDecoder(bytes.NewReader(data))
	d.DisallowUnknownFields()
	if err := d.Decode(&b); err != nil {
		return nil, keyID, digest, fmt.Errorf("%w: %w", ErrBundle, err)
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return nil, keyID, digest, fmt.Errorf("%w: text after the object", ErrBundle)
	}
	hint, err := base64.StdEncoding.DecodeString(b.VerificationMaterial.PublicKey.Hint)
	m := b.MessageSignature
	switch {
	case b.MediaType != BundleMediaType:
		err = fmt.Errorf("%w: media type %q", ErrBundle, b.MediaType)
	case err != nil || len(hint) != len(keyID):
		err = fmt.Errorf("%w: the key hint is not the base64 of a SHA-256", ErrBundle)
	case m.MessageDigest.Algorithm != "SHA2_256" || len(m.MessageDigest.Digest) != len(digest):
		err = fmt.Errorf("%w: the message digest is not a SHA-256", ErrBundle)
	case len(m.Signature) == 0:
		err = fmt.Errorf("%w: no signature", ErrBundle)
	}
	if err != nil {
		return nil, keyID, digest, err
	}
	return m.Signature, [32]byte(hint), [32]byte(m.MessageDigest.Digest), nil
}

// VerifyBundle checks that the key spki (DER) made the bundle over blob. Errors wrap ErrBundle, ErrKeyType or
// ErrBadSignature.
func VerifyBundle(data, spki, blob []byte) error {
	sig, keyID, digest, err := ParseBundle(data)
	switch {
	case err != nil:
		return err
	case keyID != sha256.Sum256(spki):
		return fmt.Errorf("%w: the bundle names another key", ErrBadSignature)
	case digest != sha256.Sum256(blob):
		return fmt.Errorf("%w: the bundle is about other bytes", ErrBadSignature)
	}
	return Verify(spki, blob, sig)
}
