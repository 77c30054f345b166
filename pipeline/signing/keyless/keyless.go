// Package keyless signs a list with a key that lives for one signature: whoever runs the release proves who it is by an
// OpenID Connect token, Fulcio answers with a certificate for that identity and the key, and a timestamp authority says
// when the signature was made (RFC 3161), so that it can be verified long after the certificate's ten minutes.
//
//	s := &keyless.Signer{Fulcio: "https://fulcio.sigstore.dev", Timestamp: "https://timestamp.example/api/v1/timestamp",
//		Identity: "https://github.com/o/r/.github/workflows/publish.yml@refs/heads/main",
//		Issuer: "https://token.actions.githubusercontent.com", Token: keyless.Ambient{…}.Token, Now: time.Now}
//	bundle, err := s.Bundle(ctx, list)
//
// The result is a sigstore bundle v0.3 without an entry of Rekor: the list is in a log of its own, and which releases
// there are is nobody else's to publish. It is an extra beside the list for people whose tools know identities rather
// than keys; nothing of ours relies on it, so every error here means "no bundle" and never "no release".
package keyless

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/starttls-everywhere/policylist/mirror"
	"github.com/starttls-everywhere/policylist/pipeline/signing"
)

// Patience is how long a bundle may take in all. Fulcio answers within a second or two; a release waits no longer than
// this for what it does without.
const Patience = 30 * time.Second

// ErrKeyless is wrapped by everything that keeps a bundle from being made.
var ErrKeyless = errors.New("no keyless bundle")

// Signer makes keyless bundles. Its fields are set once.
type Signer struct {
	Fulcio    string // base URL
	Timestamp string // URL that takes RFC 3161 requests by POST (RFC 3161 section 3.4)
	// Identity and Issuer are what verifiers will ask for (cosign's --certificate-identity and
	// --certificate-oidc-issuer): a certificate that says something else is refused.
	Identity, Issuer string
	Roots            []byte // certificates in PEM that Fulcio's chain must lead to; nil: the verifiers' business
	Token            func(ctx context.Context) (string, error)
	Now              func() time.Time
	Client           *http.Client // nil: NewClient
}

// Bundle signs list. It takes no longer than Patience; errors wrap ErrKeyless and never hold the token.
func (s *Signer) Bundle(ctx context.Context, list []byte) ([]byte, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, Patience, fmt.Errorf("not done within %v", Patience))
	defer cancel()
	out, err := s.bundle(ctx, list)
	if err != nil {
		if ctx.Err() != nil {
			err = errors.Join(err, context.Cause(ctx))
		}
		return nil, fmt.Errorf("%w: %w", ErrKeyless, err)
	}
	return out, nil
}

func (s *Signer) bundle(ctx context.Context, list []byte) ([]byte, error) {
	client := s.Client
	if client == nil {
		client = NewClient()
	}
	token, err := s.Token(ctx)
	if err != nil {
		return nil, fmt.Errorf("identity token: %w", err)
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	certificate, err := s.certificate(ctx, client, key, token)
	if err != nil {
		return nil, fmt.Errorf("fulcio: %w", err)
	}
	digest := sha256.Sum256(list)
	sig, err := ecdsa.SignASN1(rand.Reader, key, digest[:])
	if err != nil {
		return nil, err
	}
	stamp, err := s.timestamp(ctx, client, sig, certificate)
	if err != nil {
		return nil, fmt.Errorf("timestamp authority: %w", err)
	}
	out := format(certificate.Raw, stamp, sig, digest)
	return out, mirror.VerifyKeyless(out, list) // what a mirror would refuse is not worth sending
}

// format writes the bundle, one line with its newline (sigstore/protobuf-specs, sigstore_bundle.proto).
func format(certificate, stamp, sig []byte, digest [32]byte) []byte {
	type object = map[string]any
	out, err := json.Marshal(object{
		"mediaType": signing.BundleMediaType,
		"verificationMaterial": object{
			"certificate":               object{"rawBytes": certificate},
			"timestampVerificationData": object{"rfc3161Timestamps": []object{{"signedTimestamp": stamp}}},
		},
		"messageSignature": object{
			"messageDigest": object{"algorithm": "SHA2_256", "digest": digest[:]},
			"signature":     sig,
		},
	})
	if err != nil {
		panic(err) // strings and bytes always encode
	}
	return append(bytes.TrimSpace(out), '\n')
}
