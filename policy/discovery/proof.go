package discovery

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"strings"
	"time"

	"github.com/starttls-everywhere/policylist/policy"
)

// ProofStatus is what a domain's proof of control is worth.
type ProofStatus string

const (
	ProofOK      ProofStatus = "ok"
	ProofNone    ProofStatus = "none"    // no record
	ProofMany    ProofStatus = "many"    // more than one, which is as good as none
	ProofInvalid ProofStatus = "invalid" // one record, but broken; Detail says how
	ProofExpired ProofStatus = "expired" // its day is over
	ProofTooFar  ProofStatus = "too-far" // it expires later than maxProofDays from now
	ProofFailed  ProofStatus = "failed"  // the lookup ended without an answer
)

// ProofKind is what the owner of a domain asks for.
type ProofKind string

const (
	ProofChange    ProofKind = "change"    // the entry with the hash Proof.Change
	ProofRemove    ProofKind = "remove"    // no entry
	ProofEmergency ProofKind = "emergency" // mail cannot arrive: to testing
)

// maxProofDays is how many days ahead a proof may expire: what an owner forgets in the DNS must not speak for the next.
const maxProofDays = 60

// Proof is the owner's word in the DNS, a TXT record at _starttls-policy.<domain>:
//
//	v=STP1; change=<hex SHA-256 of the canonical new entry {"mode","mxs"}>; exp=2026-12-31
//	v=STP1; remove; exp=2026-12-31
//	v=STP1; emergency; exp=2026-12-31
//
// Exactly one record that begins with "v=STP1;" counts, others are ignored. Whether DNSSEC vouches for it says
// Answer.Secure, and which provider it was left to Answer.Chain.
type Proof struct {
	Answer  Answer // of the lookup; zero from ParseProof
	Status  ProofStatus
	Detail  string // what is wrong, text of the record in it quoted as Go quotes strings; "" for ProofOK and ProofNone
	Kind    ProofKind
	Change  string    // with ProofChange: 64 lower-case hex digits
	Expires time.Time // the end of the day exp, UTC: the first moment at which the record is void
}

// FindProof looks up what the owner of domain asks for at the time now.
func FindProof(ctx context.Context, c *Client, domain policy.Domain, now time.Time) Proof {
	answer := c.LookupTXT(ctx, "_starttls-policy."+domain.String())
	p := Proof{Status: ProofFailed, Detail: "TXT lookup: " + string(answer.Status)}
	if answer.Status.Known() {
		p = ParseProof(answer.TXT, now)
	}
	p.Answer = answer
	return p
}

// ParseProof finds and reads the record among the TXT records of one name, each with its strings joined without a space,
// as of now. Kind, Change and Expires are set for any record that is not broken.
func ParseProof(txts []string, now time.Time) Proof {
	fields, found := versioned("v=STP1", txts)
	switch found {
	case 0:
		return Proof{Status: ProofNone}
	case 1:
	default:
		return Proof{Status: ProofMany, Detail: fmt.Sprintf("%d records begin with v=STP1", found)}
	}
	var p Proof
	for _, field := range fields {
		if err := p.field(field); err != nil {
			return Proof{Status: ProofInvalid, Detail: err.Error()}
		}
	}
	today := now.UTC().Truncate(24 * time.Hour)
	switch {
	case p.Kind == "":
		return Proof{Status: ProofInvalid, Detail: "it asks for nothing: neither change=… nor remove nor emergency"}
	case p.Expires.IsZero():
		return Proof{Status: ProofInvalid, Detail: "it has no exp"}
	case !now.Before(p.Expires):
		p.Status, p.Detail = ProofExpired, "its day is over"
	case p.Expires.After(today.AddDate(0, 0, maxProofDays+1)):
		p.Status, p.Detail = ProofTooFar, fmt.Sprintf("it expires more than %d days from now", maxProofDays)
	default:
		p.Status = ProofOK
	}
	return p
}

// Record is the text that ParseProof reads back, "" for a Proof that asks for nothing.
func (p Proof) Record() string {
	what := string(p.Kind)
	switch p.Kind {
	case "":
		return ""
	case ProofChange:
		what += "=" + p.Change
	}
	return "v=STP1; " + what + "; exp=" + p.Expires.UTC().AddDate(0, 0, -1).Format(time.DateOnly)
}

// ChangeDigest is the Proof.Change that asks for entry: the hex SHA-256 of its canonical JSON, {"mode":"…","mxs":["…"]}.
func ChangeDigest(entry policy.Policy) string {
	sum := sha256.Sum256(entry.AppendJSON(nil))
	return hex.EncodeToString(sum[:])
}

// field reads one field. Unlike in other records an unknown one is an error: what it was meant to limit would be done
// without the limit.
func (p *Proof) field(field string) error {
	name, value, _ := strings.Cut(field, "=")
	if name == "exp" {
		day, err := time.Parse(time.DateOnly, value)
		if err != nil || !p.Expires.IsZero() {
			return fmt.Errorf("field %q: one date, YYYY-MM-DD, is wanted", clip(field, 100))
		}
		p.Expires = day.AddDate(0, 0, 1)
		return nil
	}
	if p.Kind != "" {
		return fmt.Errorf("field %q: it already asks for %q", clip(field, 100), p.Kind)
	}
	switch {
	case field == string(ProofRemove) || field == string(ProofEmergency):
		p.Kind = ProofKind(field)
	case name == string(ProofChange) && isDigest(value):
		p.Kind, p.Change = ProofChange, value
	default:
		return fmt.Errorf("field %q is none of change=<64 lower-case hex digits>, remove, emergency and exp=<date>", clip(field, 100))
	}
	return nil
}

// isDigest reports whether s is a SHA-256 in lower-case hex.
func isDigest(s string) bool {
	return len(s) == 64 && strings.Trim(s, "0123456789abcdef") == ""
}
