package probe

import (
	"context"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"fmt"
	"net"
	"strings"
	"time"

	"github.com/starttls-everywhere/policylist/policy"
)

const (
	// keptNames is how many SANs of a certificate the evidence shows; large providers have hundreds.
	keptNames = 8
	// keptChain is how many certificates of a chain it names; crypto/tls takes 256 KB of them from anybody.
	keptChain = 10
	// newest is the highest version that we offer. Servers choose the highest that both know (RFC 8446 section 4.2.1), so
	// that the version of a session below it is the best that the server has.
	newest = tls.VersionTLS13
)

// alertProtocolVersion is the TLS alert of a server that speaks none of our versions (RFC 8446 section 6.2).
const alertProtocolVersion = tls.AlertError(70)

// suites are what a sender of today offers (RFC 9325 section 4.2 and, because mail servers still have them, RSA key
// exchange with AES). TLS 1.3 suites are fixed.
func suites() []uint16 {
	var ids []uint16
	for _, s := range tls.CipherSuites() {
		ids = append(ids, s.ID)
	}
	return append(ids,
		tls.TLS_RSA_WITH_AES_128_GCM_SHA256, tls.TLS_RSA_WITH_AES_256_GCM_SHA384,
		tls.TLS_RSA_WITH_AES_128_CBC_SHA, tls.TLS_RSA_WITH_AES_256_CBC_SHA)
}

// handshake speaks TLS as a client that wants to know all: it offers down to TLS 1.0 and looks at no certificate, so
// that one handshake shows what a server has; Judge says what of it is good enough. SNI is the MX name
// (RFC 8461 section 4.1 with RFC 6066 section 3: without the final dot); a zero name asks for none.
func handshake(ctx context.Context, conn net.Conn, name policy.Domain) (*tls.Conn, error) {
	secure := tls.Client(conn, &tls.Config{
		ServerName:         name.String(),
		InsecureSkipVerify: true, // describe verifies, and records what it found
		MinVersion:         tls.VersionTLS10,
		MaxVersion:         newest,
		CipherSuites:       suites(),
	})
	return secure, secure.HandshakeContext(ctx)
}

// handshakeFailure sorts the errors of a handshake.
func handshakeFailure(err error) (Failure, string) {
	var header tls.RecordHeaderError
	var alert tls.AlertError
	switch {
	case errors.As(err, &header):
		return FailNotTLS, escape("first bytes: "+string(header.RecordHeader[:]), keptLine)
	case errors.As(err, &alert) && alert == alertProtocolVersion:
		return FailVersion, escape(err.Error(), keptLine)
	case errors.As(err, &alert):
		return FailHandshake, escape(err.Error(), keptLine)
	}
	// crypto/tls has no types for these.
	for text, f := range map[string]Failure{
		"failed to parse certificate": FailCertificate, "exceeds maximum": FailCertificate, "unsupported type of public key": FailKey,
	} {
		if strings.Contains(err.Error(), text) {
			return f, escape(err.Error(), keptLine)
		}
	}
	if f := transportFailure(err); f != "" {
		return f, ""
	}
	return FailHandshake, escape(err.Error(), keptLine)
}

// describe turns a completed handshake into facts: name, chain and times against roots at now.
func describe(state tls.ConnectionState, name policy.Domain, roots *x509.CertPool, now time.Time) *TLS {
	leaf := state.PeerCertificates[0]
	t := &TLS{
		Key:       keyType(leaf),
		NotAfter:  formatTime(leaf.NotAfter),
		NotBefore: formatTime(leaf.NotBefore),
		Offered:   tls.VersionName(newest),
		Suite:     tls.CipherSuiteName(state.CipherSuite),
		Version:   tls.VersionName(state.Version),
	}
	for i, c := range state.PeerCertificates {
		if i < keptChain {
			sum := sha256.Sum256(c.Raw)
			t.Chain = append(t.Chain, hex.EncodeToString(sum[:]))
		}
		if i > 0 && (now.Before(c.NotBefore) || now.After(c.NotAfter)) {
			t.Stale++
		}
	}
	for _, n := range leaf.DNSNames[:min(len(leaf.DNSNames), keptNames)] {
		t.Names = append(t.Names, cutEscaped(escape(n, 255), 255))
	}
	t.Match = match(leaf.DNSNames, name)
	t.Trust, t.Detail = judgeChain(state.PeerCertificates, roots, now)
	t.Keys = keysOf(state.PeerCertificates, roots, now)
	return t
}

// match holds a host name against the names of a certificate; the subject's common name does not count (RFC 9525 section
// 6.3).
func match(sans []string, name policy.Domain) string {
	switch {
	case len(sans) == 0:
		return "none"
	case (&x509.Certificate{DNSNames: sans}).VerifyHostname(name.String()) == nil:
		return "yes"
	}
	return "no"
}

// judgeChain follows the certificates that the server sent, and only those: a sender fetches no missing ones. Any path
// to a root will do (RFC 5280 section 6), so needless or stale extra certificates do no harm.
func judgeChain(chain []*x509.Certificate, roots *x509.CertPool, now time.Time) (Trust, string) {
	leaf, rest := chain[0], x509.NewCertPool()
	for _, c := range chain[1:] {
		rest.AddCert(c)
	}
	_, err := leaf.Verify(x509.VerifyOptions{Roots: roots, Intermediates: rest, CurrentTime: within(leaf, now)})
	if err == nil {
		return TrustOK, ""
	}
	detail := escape(err.Error(), keptLine)
	var invalid x509.CertificateInvalidError
	var unknown x509.UnknownAuthorityError
	switch {
	case errors.As(err, &invalid) && invalid.Reason == x509.Expired:
		return TrustExpired, detail
	case !errors.As(err, &unknown):
		return TrustUnknown, detail
	case selfSigned(leaf):
		return TrustSelfSigned, detail
	}
	if last := lastSent(chain); !selfSigned(last) {
		return TrustIncomplete, escape("issuer not sent: "+last.Issuer.String(), keptLine)
	}
	return TrustUnknown, detail
}

// lastSent walks from the leaf to the last certificate whose issuer is not among those sent.
func lastSent(chain []*x509.Certificate) *x509.Certificate {
	at := chain[0]
	for range chain {
		next := at
		for _, c := range chain {
			if c != at && string(c.RawSubject) == string(at.RawIssuer) && at.CheckSignatureFrom(c) == nil {
				next = c
			}
		}
		if next == at {
			return at
		}
		at = next
	}
	return at
}

func selfSigned(c *x509.Certificate) bool {
	return string(c.RawSubject) == string(c.RawIssuer) &&
		c.CheckSignature(c.SignatureAlgorithm, c.RawTBSCertificate, c.Signature) == nil
}

func keyType(c *x509.Certificate) string {
	switch k := c.PublicKey.(type) {
	case *ecdsa.PublicKey:
		return fmt.Sprintf("ecdsa-%d", k.Curve.Params().BitSize)
	case *rsa.PublicKey:
		return fmt.Sprintf("rsa-%d", k.N.BitLen())
	case ed25519.PublicKey:
		return "ed25519"
	}
	return "other"
}

// timeFormat is how every format of this project writes a time, in UTC.
const timeFormat = "2006-01-02T15:04:05Z"

func formatTime(t time.Time) string { return t.UTC().Format(timeFormat) }
