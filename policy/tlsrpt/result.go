package tlsrpt

import "slices"

// PolicyType tells which kind of policy governed the sessions (policy-type, RFC 8460 section 4.4).
type PolicyType string

const (
	TLSA          PolicyType = "tlsa"            // DANE
	STS           PolicyType = "sts"             // MTA-STS
	NoPolicyFound PolicyType = "no-policy-found" // neither
	// OtherPolicy stands for every type that this package does not know. It is read, never written.
	OtherPolicy PolicyType = "other"
)

// ParsePolicyType reads RFC 8460's spelling; known is false for any other text, which becomes OtherPolicy.
func ParsePolicyType(s string) (t PolicyType, known bool) {
	if t = PolicyType(s); slices.Contains(PolicyTypes(), t) {
		return t, true
	}
	return OtherPolicy, false
}

// PolicyTypes are RFC 8460's types.
func PolicyTypes() []PolicyType { return []PolicyType{NoPolicyFound, STS, TLSA} }

// ResultType says how a session failed (result-type, RFC 8460 section 4.3 and its IANA registry).
type ResultType string

const (
	STARTTLSNotSupported    ResultType = "starttls-not-supported"    // STARTTLS was not offered, or stripped on the way
	CertificateHostMismatch ResultType = "certificate-host-mismatch" // the certificate names other hosts
	CertificateExpired      ResultType = "certificate-expired"       // it is out of its time
	CertificateNotTrusted   ResultType = "certificate-not-trusted"   // it leads to no root that the sender trusts
	ValidationFailure       ResultType = "validation-failure"        // "a general failure for a reason not matching a category above"
	TLSAInvalid             ResultType = "tlsa-invalid"              // TLSA records that nobody can use, or that fit no certificate
	DNSSECInvalid           ResultType = "dnssec-invalid"            // no signed answer where DANE needs one
	DANERequired            ResultType = "dane-required"             // the sender wants DANE, and there was none
	STSPolicyFetchError     ResultType = "sts-policy-fetch-error"    // the policy could not be fetched
	STSPolicyInvalid        ResultType = "sts-policy-invalid"        // it could not be read
	STSWebPKIInvalid        ResultType = "sts-webpki-invalid"        // its web server has no good certificate
	// OtherResult stands for every type that this package does not know, and for none. It is read, never written.
	OtherResult ResultType = "other"
)

// ParseResultType reads RFC 8460's spelling; known is false for any other text, which becomes OtherResult: a report with a new
// word in it still counts.
func ParseResultType(s string) (r ResultType, known bool) {
	if r = ResultType(s); slices.Contains(ResultTypes(), r) {
		return r, true
	}
	return OtherResult, false
}

// ResultTypes are RFC 8460's types, in the order of its section 4.3.
func ResultTypes() []ResultType {
	return []ResultType{
		STARTTLSNotSupported, CertificateHostMismatch, CertificateExpired, CertificateNotTrusted, ValidationFailure,
		TLSAInvalid, DNSSECInvalid, DANERequired, STSPolicyFetchError, STSPolicyInvalid, STSWebPKIInvalid,
	}
}

// Class is what a result means for an aggregated table: results of one class have one cause as seen from outside.
type Class string

const (
	ClassOK           Class = "ok"                     // the sessions that succeeded
	ClassNoSTARTTLS   Class = "starttls-not-supported" // no TLS at all
	ClassCertificate  Class = "certificate"            // expired, or not trusted
	ClassHostMismatch Class = "host-mismatch"          // good for other names
	ClassSTS          Class = "sts"                    // the policy itself
	ClassDANE         Class = "dane"                   // TLSA records, or DNSSEC
	ClassOther        Class = "other"                  // what says too little, or is unknown
)

// Classes are all classes, in the order of the constants.
func Classes() []Class {
	return []Class{ClassOK, ClassNoSTARTTLS, ClassCertificate, ClassHostMismatch, ClassSTS, ClassDANE, ClassOther}
}

// Class returns the class of r; ClassOther for a type that this package does not know.
func (r ResultType) Class() Class {
	switch r {
	case STARTTLSNotSupported:
		return ClassNoSTARTTLS
	case CertificateHostMismatch:
		return ClassHostMismatch
	case CertificateExpired, CertificateNotTrusted:
		return ClassCertificate
	case TLSAInvalid, DNSSECInvalid, DANERequired:
		return ClassDANE
	case STSPolicyFetchError, STSPolicyInvalid, STSWebPKIInvalid:
		return ClassSTS
	}
	return ClassOther
}
