package probe

import "github.com/starttls-everywhere/policylist/policy/discovery"

// TLSRPT is where a domain wants reports sent to (RFC 8460 section 3).
type TLSRPT struct {
	Faults []string `json:"faults,omitempty"`
	Record Lookup   `json:"record"`
	RUA    []string `json:"rua,omitempty"` // the usable destinations
	Status string   `json:"status"`        // a discovery.TLSRPTStatus
}

func tlsrptOf(t discovery.TLSRPT) *TLSRPT {
	return &TLSRPT{
		Faults: remarks(t.Faults), Record: textLookup(t.Answer, "v=TLSRPTv1"), RUA: remarks(t.RUA), Status: string(t.Status),
	}
}

// Proof is the owner's word in the DNS (discovery.Proof).
type Proof struct {
	Change  string `json:"change,omitempty"` // digest of the entry that the owner wants
	Detail  string `json:"detail,omitempty"`
	Expires string `json:"expires,omitempty"` // the first moment at which the record is void
	Kind    string `json:"kind,omitempty"`    // a discovery.ProofKind
	Record  Lookup `json:"record"`            // Record.Secure: DNSSEC vouches for it
	Status  string `json:"status"`            // a discovery.ProofStatus
}

func proofOf(p discovery.Proof) *Proof {
	out := &Proof{
		Change: p.Change, Detail: escape(p.Detail, keptLine), Kind: string(p.Kind),
		Record: textLookup(p.Answer, "v=STP1"), Status: string(p.Status),
	}
	if !p.Expires.IsZero() {
		out.Expires = formatTime(p.Expires)
	}
	return out
}
