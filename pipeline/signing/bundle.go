package signing

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
)

// BundleMediaType names version 0.3 of the sigstore bundle (sigstore/protobuf-specs, sigstore_bundle.proto).
const BundleMediaType = "application/vnd.dev.sigstore.bundle.v0.3+json"

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
// One line with its newline. mirror.VerifyBundle reads it.
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
