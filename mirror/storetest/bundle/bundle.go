// Package bundle makes sigstore bundles whose certificates nobody vouches for. Only tests import it.
package bundle

import (
	"crypto"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"fmt"
	"math/big"
	"testing"
)

// Keyless is a keyless bundle over list by an ECDSA P-256 or Ed25519 key. The timestamp in it is none.
func Keyless(t testing.TB, list []byte, key crypto.Signer) []byte {
	t.Helper()
	c := &x509.Certificate{SerialNumber: big.NewInt(1)}
	der, err := x509.CreateCertificate(rand.Reader, c, c, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	digest := sha256.Sum256(list)
	message, opts := digest[:], crypto.SHA256
	if _, ok := key.(ed25519.PrivateKey); ok {
		message, opts = list, crypto.Hash(0)
	}
	sig, err := key.Sign(rand.Reader, message, opts)
	if err != nil {
		t.Fatal(err)
	}
	b64 := base64.StdEncoding.EncodeToString
	return fmt.Appendf(nil, `{"mediaType":"application/vnd.dev.sigstore.bundle.v0.3+json","messageSignature":{"messageDigest":{"algorithm":"SHA2_256","digest":"%s"},`+
		`"signature":"%s"},"verificationMaterial":{"certificate":{"rawBytes":"%s"},"timestampVerificationData":{"rfc3161Timestamps":[{"signedTimestamp":"AAAA"}]}}}`+"\n",
		b64(digest[:]), b64(sig), b64(der))
}
