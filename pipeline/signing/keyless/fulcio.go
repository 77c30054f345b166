package keyless

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"
)

// Fulcio's extensions for the token's issuer (github.com/sigstore/fulcio, docs/oid-info.md): a DER UTF8String, and the
// older one with bare bytes.
var (
	oidIssuer    = asn1.ObjectIdentifier{1, 3, 6, 1, 4, 1, 57264, 1, 8}
	oidIssuerOld = asn1.ObjectIdentifier{1, 3, 6, 1, 4, 1, 57264, 1, 1}
)

// maxSkew is how far Fulcio's clock may be ahead of ours.
const maxSkew = 5 * time.Minute

// maxChain caps the certificates of one answer.
const maxChain = 8

// certificate asks Fulcio for a certificate (API v2) and returns it when it is the one asked for.
func (s *Signer) certificate(ctx context.Context, client *http.Client, key *ecdsa.PrivateKey, token string) (*x509.Certificate, error) {
	// The request's own signature proves possession of the key; the subject is taken from the token alone.
	csr, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{}, key)
	if err != nil {
		return nil, err
	}
	request, err := json.Marshal(map[string]any{
		"credentials":               map[string]string{"oidcIdentityToken": token},
		"certificateSigningRequest": pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE REQUEST", Bytes: csr}),
	})
	if err != nil {
		return nil, err
	}
	answer, err := post(ctx, client, strings.TrimSuffix(s.Fulcio, "/")+"/api/v2/signingCert", "application/json", request)
	if err != nil {
		return nil, redact(err, token)
	}
	chain, err := parseChain(answer)
	if err != nil {
		return nil, err
	}
	return chain[0], s.check(chain, key)
}

// redact keeps a token out of messages: servers like to repeat what they did not understand.
func redact(err error, token string) error {
	if text := err.Error(); token != "" && strings.Contains(text, token) {
		return errors.New(strings.ReplaceAll(text, token, "<token>"))
	}
	return err
}

// parseChain reads a SigningCertificate message in JSON: the leaf comes first.
func parseChain(answer []byte) ([]*x509.Certificate, error) {
	type certificates struct {
		Chain struct {
			Certificates []string `json:"certificates"`
		} `json:"chain"`
	}
	var a struct {
		Detached certificates `json:"signedCertificateDetachedSct"`
		Embedded certificates `json:"signedCertificateEmbeddedSct"`
	}
	if err := json.Unmarshal(answer, &a); err != nil {
		return nil, fmt.Errorf("its answer: %w", err)
	}
	texts := append(a.Embedded.Chain.Certificates, a.Detached.Chain.Certificates...)
	if len(texts) == 0 || len(texts) > maxChain {
		return nil, fmt.Errorf("its answer has %d certificates", len(texts))
	}
	var chain []*x509.Certificate
	for _, text := range texts {
		block, rest := pem.Decode([]byte(text))
		if block == nil || block.Type != "CERTIFICATE" || len(bytes.TrimSpace(rest)) > 0 {
			return nil, errors.New("its answer has something else in place of a certificate")
		}
		certificate, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, err
		}
		chain = append(chain, certificate)
	}
	return chain, nil
}

// check refuses a certificate that is for another key or another identity, or that our own roots do not know.
func (s *Signer) check(chain []*x509.Certificate, key *ecdsa.PrivateKey) error {
	leaf, now := chain[0], s.Now()
	names, issuer := identities(leaf), issuerOf(leaf)
	switch {
	case !key.PublicKey.Equal(leaf.PublicKey):
		return errors.New("the certificate is for another key")
	case !slices.Contains(leaf.ExtKeyUsage, x509.ExtKeyUsageCodeSigning):
		return errors.New("the certificate is not for signing code")
	case now.Add(maxSkew).Before(leaf.NotBefore) || now.After(leaf.NotAfter):
		return fmt.Errorf("the certificate is valid from %v to %v, it is %v", leaf.NotBefore, leaf.NotAfter, now.UTC())
	case len(names) != 1 || names[0] != s.Identity:
		return fmt.Errorf("the certificate is for %q, identity in [keyless] is %q", names, s.Identity)
	case issuer != s.Issuer:
		return fmt.Errorf("the certificate names the issuer %q, issuer in [keyless] is %q", issuer, s.Issuer)
	case s.Roots == nil:
		return nil
	}
	roots, between := x509.NewCertPool(), x509.NewCertPool()
	if !roots.AppendCertsFromPEM(s.Roots) {
		return errors.New("roots in [keyless] holds no certificate")
	}
	for _, c := range chain[1:] {
		between.AddCert(c)
	}
	_, err := leaf.Verify(x509.VerifyOptions{Roots: roots, Intermediates: between, CurrentTime: leaf.NotBefore,
		KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageCodeSigning}})
	return err
}

// identities are a certificate's subject alternative names of the kinds that Fulcio gives.
func identities(c *x509.Certificate) []string {
	out := append(slices.Clone(c.EmailAddresses), c.DNSNames...)
	for _, u := range c.URIs {
		out = append(out, u.String())
	}
	return out
}

func issuerOf(c *x509.Certificate) string {
	find := func(id asn1.ObjectIdentifier) []byte {
		i := slices.IndexFunc(c.Extensions, func(e pkix.Extension) bool { return e.Id.Equal(id) })
		if i < 0 {
			return nil
		}
		return c.Extensions[i].Value
	}
	var text string
	if value := find(oidIssuer); value != nil {
		if rest, err := asn1.UnmarshalWithParams(value, &text, "utf8"); err != nil || len(rest) > 0 {
			return ""
		}
		return text
	}
	return string(find(oidIssuerOld))
}
