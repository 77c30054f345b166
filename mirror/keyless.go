package mirror

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
)

// ErrKeyless is what a keyless bundle wraps that does not fit the list beside it.
var ErrKeyless = errors.New("the keyless bundle does not fit this list")

// keylessBundle is a sigstore bundle v0.3 with a certificate and RFC 3161 timestamps, and nothing else.
type keylessBundle struct {
	MediaType            string `json:"mediaType"`
	VerificationMaterial struct {
		Certificate struct {
			RawBytes []byte `json:"rawBytes"` // X.509, DER
		} `json:"certificate"`
		TimestampVerificationData struct {
			RFC3161Timestamps []struct {
				SignedTimestamp []byte `json:"signedTimestamp"` // TimeStampResp, DER
			} `json:"rfc3161Timestamps"`
		} `json:"timestampVerificationData"`
	} `json:"verificationMaterial"`
	MessageSignature messageSignature `json:"messageSignature"`
}

// VerifyKeyless checks that a keyless bundle is about list and signed by the key in its own certificate. Who that is, and
// whether a certificate authority and a timestamp authority that somebody trusts say so, is for cosign and its like to
// tell: a mirror knows neither, and our client never asks. This keeps the bundle of another release, or damage, from
// standing beside the list. Errors wrap ErrKeyless.
func VerifyKeyless(data, list []byte) error {
	var b keylessBundle
	d := json.NewDecoder(bytes.NewReader(data))
	d.DisallowUnknownFields()
	if err := d.Decode(&b); err != nil {
		return fmt.Errorf("%w: %w", ErrKeyless, err)
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return fmt.Errorf("%w: text after the object", ErrKeyless)
	}
	digest := sum(list)
	m := b.MessageSignature
	switch {
	case b.MediaType != bundleMediaType || m.MessageDigest.Algorithm != "SHA2_256":
		return fmt.Errorf("%w: media type %q, digest algorithm %q", ErrKeyless, b.MediaType, m.MessageDigest.Algorithm)
	case !bytes.Equal(m.MessageDigest.Digest, digest[:]):
		return fmt.Errorf("%w: it is about the digest %x", ErrKeyless, m.MessageDigest.Digest)
	case len(b.VerificationMaterial.TimestampVerificationData.RFC3161Timestamps) == 0:
		return fmt.Errorf("%w: it has no timestamp", ErrKeyless)
	}
	certificate, err := x509.ParseCertificate(b.VerificationMaterial.Certificate.RawBytes)
	if err != nil {
		return fmt.Errorf("%w: certificate: %w", ErrKeyless, err)
	}
	good := false
	switch key := certificate.PublicKey.(type) {
	case *ecdsa.PublicKey:
		good = ecdsa.VerifyASN1(key, digest[:], m.Signature)
	case ed25519.PublicKey:
		good = ed25519.Verify(key, list, m.Signature)
	}
	if !good {
		return fmt.Errorf("%w: its certificate's key did not sign it", ErrKeyless)
	}
	return nil
}
