package tlsrpt

import (
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"

	"github.com/starttls-everywhere/policylist/policy"
	"github.com/starttls-everywhere/policylist/policy/txtrecord"
)

// How a contribution travels: one POST of MarshalContribution's bytes to FeedbackPath, with these headers.
//
//	POST /feedback/v1 HTTP/1.1
//	Host: list.example
//	Content-Type: application/tlsrpt+json
//	Policylist-Contributor: sender.example
//	Policylist-Signature: <base64 of 64 bytes>
const (
	FeedbackPath      = "/feedback/v1"
	ContributionType  = "application/tlsrpt+json" // RFC 8460 section 6.4
	ContributorHeader = "Policylist-Contributor"
	SignatureHeader   = "Policylist-Signature"
)

// KeyLabel is in front of a contributor's domain where its key stands in the DNS, as a TXT record:
//
//	_starttls-feedback.sender.example. TXT "v=STF1; k=ed25519; p=<base64 of 32 bytes>"
const KeyLabel = "_starttls-feedback"

const (
	keyVersion = "v=STF1"
	keyKind    = "k=ed25519"
)

// Why a domain has no key.
var (
	ErrNoKey    = errors.New("no key record")
	ErrManyKeys = errors.New("more than one key record") // nobody knows which of them counts
	ErrBadKey   = errors.New("the key record is wrong")
)

// SignedText is what a contributor signs. host is that of the feedback URL in lower case, with the port unless it is 443, so that one
// operator cannot hand a contribution on to another as meant for that one.
func SignedText(host string, contributor policy.Domain, body []byte) []byte {
	host = strings.TrimSuffix(strings.ToLower(host), ":443")
	return fmt.Appendf(nil, "policylist feedback v1\n%s\n%s\n%x\n", host, contributor, sha256.Sum256(body))
}

// SignContribution returns the value of SignatureHeader: base64 (RFC 4648 section 4) of an Ed25519 signature. It is the same
// for the same arguments.
func SignContribution(key ed25519.PrivateKey, host string, contributor policy.Domain, body []byte) string {
	return base64.StdEncoding.EncodeToString(ed25519.Sign(key, SignedText(host, contributor, body)))
}

// VerifyContribution reports whether SignContribution made the signature.
func VerifyContribution(key ed25519.PublicKey, signature, host string, contributor policy.Domain, body []byte) bool {
	s, err := base64.StdEncoding.Strict().DecodeString(signature)
	return err == nil && len(key) == ed25519.PublicKeySize && ed25519.Verify(key, SignedText(host, contributor, body), s)
}

// KeyRecord is the text of the TXT record with a contributor's key.
func KeyRecord(key ed25519.PublicKey) string {
	return keyVersion + "; " + keyKind + "; p=" + base64.StdEncoding.EncodeToString(key)
}

// ParseKeyRecord finds the key among a name's TXT records, each with its strings joined; records that do not begin as ours are
// others' business. The errors are ErrNoKey, ErrManyKeys and ErrBadKey.
func ParseKeyRecord(txts []string) (ed25519.PublicKey, error) {
	fields, found := txtrecord.Versioned(keyVersion, txts)
	switch {
	case found == 0:
		return nil, ErrNoKey
	case found > 1:
		return nil, ErrManyKeys
	case len(fields) != 2 || fields[0] != keyKind:
		return nil, fmt.Errorf("%w: it is %q", ErrBadKey, keyVersion+"; "+keyKind+"; p=…")
	}
	text, ok := strings.CutPrefix(fields[1], "p=")
	key, err := base64.StdEncoding.Strict().DecodeString(text)
	if !ok || err != nil || len(key) != ed25519.PublicKeySize || strings.ContainsAny(text, "\r\n") {
		return nil, fmt.Errorf("%w: p= takes %d bytes in base64", ErrBadKey, ed25519.PublicKeySize)
	}
	return key, nil
}
