package trial

import "github.com/starttls-everywhere/policylist/policy"

// Code is why mail would have failed, or why that is not known.
type Code string

const (
	CodeMX          Code = "testing.mx"          // an MX host that the policy does not allow
	CodeClear       Code = "testing.clear"       // no TLS
	CodeHandshake   Code = "testing.handshake"   // TLS failed
	CodeCertificate Code = "testing.certificate" // a certificate that does not verify
	CodeUnknown     Code = "testing.unknown"     // nobody knows
	CodeGood        Code = ""                    // mail would have been delivered
)

// Fails reports whether mail would have failed.
func (c Code) Fails() bool { return c != CodeGood && c != CodeUnknown }

// Codes explains every code but that of what went well.
func Codes() []policy.Code {
	const owner = "leave the domain at testing (no early-adopter, no override); its owner mends it, or the list's operator takes it back"
	return []policy.Code{
		{ID: string(CodeMX), Severity: policy.Warning, Summary: "mail goes to an MX host that the policy does not allow", Fix: owner},
		{ID: string(CodeClear), Severity: policy.Warning, Summary: "the server does not offer STARTTLS, or refuses it", Fix: owner},
		{ID: string(CodeHandshake), Severity: policy.Warning, Summary: "the server offers STARTTLS, and TLS 1.2 or later cannot be agreed on", Fix: owner},
		{ID: string(CodeCertificate), Severity: policy.Warning, Summary: "the certificate is not one of a trusted CA for the MX host's name, or not valid now",
			Fix: "look whether this machine's CA certificates are up to date; else " + owner},
		{ID: string(CodeUnknown), Severity: policy.Notice, Summary: "nothing can be said: a lookup failed, or the server was not reached, or did not want to talk to us",
			Fix: "nothing; it is tried again after a day"},
	}
}
