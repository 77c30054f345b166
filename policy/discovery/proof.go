package discovery

import (
	"context"
	"time"

	"github.com/starttls-everywhere/policylist/policy"
	"github.com/starttls-everywhere/policylist/policy/proof"
)

// ProofStatus is what a domain's proof of control is worth: those of package proof, and ProofFailed.
type ProofStatus = proof.Status

const (
	ProofOK      = proof.OK      // as package proof says
	ProofNone    = proof.None    // no record
	ProofMany    = proof.Many    // more than one
	ProofInvalid = proof.Invalid // one, but broken
	ProofExpired = proof.Expired // its day is over
	ProofTooFar  = proof.TooFar  // its day is more than 60 days ahead

	ProofFailed ProofStatus = "failed" // the lookup ended without an answer
)

// Proof is the owner's word in the DNS, the TXT record at _starttls-policy.<domain> (package proof), as it was looked up.
// Whether DNSSEC vouches for it says Answer.Secure, and which provider it was left to Answer.Chain.
type Proof struct {
	Answer Answer
	proof.Reading
}

// FindProof looks up what the owner of domain asks for at the time now.
func FindProof(ctx context.Context, c *Client, domain policy.Domain, now time.Time) Proof {
	answer := c.LookupTXT(ctx, proof.Name+"."+domain.String())
	if !answer.Status.Known() {
		return Proof{answer, proof.Reading{Status: ProofFailed, Detail: "TXT lookup: " + string(answer.Status)}}
	}
	return Proof{answer, proof.Parse(answer.TXT, now)}
}
