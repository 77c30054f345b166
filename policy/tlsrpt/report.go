package tlsrpt

import (
	"net/netip"
	"time"

	"github.com/starttls-everywhere/policylist/policy"
)

// Report is one RFC 8460 document (section 4.4). The zero value of a field means that the document did not have it, or had
// nothing usable there; then a note says so. Text is as it was sent, up to Limits.Text bytes of valid UTF-8: hostile until escaped.
type Report struct {
	Organization string    // organization-name
	Contact      string    // contact-info
	ID           string    // report-id
	Begin, End   time.Time // date-range, UTC
	Policies     []Policy  // in the document's order
	// Recipient is the mail domain that the report is about, where its transport told (see Attribute). No member of the document.
	Recipient policy.Domain
	Notes     []Note // what was tolerated, in the document's order; at most Limits.Notes
	Unnoted   int    // how many more there were

	maxNotes int // Limits.Notes; 0 for the default
}

// Policy is one item of "policies": the sessions that one policy governed.
type Policy struct {
	Type PolicyType
	// Domain is policy-domain in canonical form: the recipient's domain; for tlsa often the TLSA base domain, that is an MX host
	// (RFC 8460 section 1.1). Zero: the entry names none and Attribute found none; such sessions are unattributed.
	Domain  policy.Domain
	Strings []string // policy-string: lines of an STS policy, or TLSA records
	MXHosts []string // mx-host: patterns as written, "mx.d.example" or "*.d.example"
	// Successful and Failed count sessions, 0 to MaxCount.
	Successful, Failed int64
	Details            []Detail // in the document's order
}

// Detail is one item of "failure-details". All but Result and Failed are optional, and often absent.
type Detail struct {
	Result        ResultType
	SendingIP     netip.Addr // sending-mta-ip; the zero Addr is no address, which is not 0.0.0.0
	ReceivingIP   netip.Addr // receiving-ip
	ReceivingMX   string     // receiving-mx-hostname, as written
	ReceivingHELO string     // receiving-mx-helo
	Failed        int64      // failed-session-count, 0 to MaxCount
	Information   string     // additional-information: a URI
	Reason        string     // failure-reason-code: free text
}

// MaxCount is the largest number of sessions, 2^53-1, so that JavaScript readers lose nothing. Sums stop there as well.
const MaxCount = 1<<53 - 1

// Sessions is how many sessions the entry counts, at most MaxCount.
func (p Policy) Sessions() int64 { return add(p.Successful, p.Failed) }

// add sums two counts and stops at MaxCount: reports come from strangers, who may count as they like.
func add(a, b int64) int64 { return min(a+b, MaxCount) }
