package tlsrpt

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base32"
	"strings"

	"github.com/starttls-everywhere/policylist/policy"
)

// ReportPath begins the path that a domain's reports are posted to; the domain's token follows.
const ReportPath = "/tlsrpt/v1/"

// tokenBytes of the HMAC make the token: 160 bits, 32 characters without padding.
const tokenBytes = 20

var tokenEncoding = base32.StdEncoding.WithPadding(base32.NoPadding)

// token is what only the operator's secret can make of a domain. A domain that shows it in its DNS has seen what "enrol"
// printed for it, and controls its DNS.
func token(secret []byte, d policy.Domain) string {
	mac := hmac.New(sha256.New, secret)
	mac.Write([]byte("policylist tlsrpt v1\n" + d.String()))
	return strings.ToLower(tokenEncoding.EncodeToString(mac.Sum(nil)[:tokenBytes]))
}

// ReportURI is what the domain adds to the rua of its _smtp._tls record.
func ReportURI(host, token string) string { return "https://" + host + ReportPath + token }

// ReportRecord is a whole record for a domain that has none yet (RFC 8460 section 3).
func ReportRecord(d policy.Domain, uri string) string {
	return "_smtp._tls." + d.String() + `. IN TXT "v=TLSRPTv1; rua=` + uri + `"`
}

// tokenKey is what a token is looked up by: to compare keys byte by byte tells a stranger nothing about any token.
func tokenKey(secret []byte, token string) [sha256.Size]byte {
	mac := hmac.New(sha256.New, secret)
	mac.Write([]byte("policylist tlsrpt look-up\n" + token))
	return [sha256.Size]byte(mac.Sum(nil))
}
