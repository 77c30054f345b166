package records

import (
	"slices"
	"strings"

	"github.com/starttls-everywhere/policylist/policy"
	"github.com/starttls-everywhere/policylist/policy/discovery"
	"github.com/starttls-everywhere/policylist/policy/txtrecord"
)

// State is how what stands there compares with the record.
type State string

const (
	There   State = "there"   // as it should be
	Differs State = "differs" // another record of its kind
	Missing State = "missing" // none of its kind
	Unknown State = "unknown" // it could not be looked at, or nobody looked
)

// Words are how a state is printed.
func (s State) Words() string {
	switch s {
	case There:
		return "there already"
	case Differs:
		return "different"
	case Missing:
		return "missing"
	}
	return "not known"
}

// Kind is what a record is for.
type Kind string

const (
	STSRecord Kind = "mta-sts"        // TXT at _mta-sts (RFC 8461 section 3.1)
	STSPolicy Kind = "mta-sts-policy" // the file that the record announces (RFC 8461 section 3.2)
	TLSRPT    Kind = "tlsrpt"         // TXT at _smtp._tls (RFC 8460 section 3)
	TLSA      Kind = "tlsa"           // TLSA at _25._tcp of a host (RFC 7672)
)

// Record is one thing to publish.
type Record struct {
	Kind  Kind     `json:"kind"`
	Name  string   `json:"name"`  // owner name without a final dot; of STSPolicy the URL
	Type  string   `json:"type"`  // "TXT", "TLSA"; "file" of STSPolicy
	Value string   `json:"value"` // data of the record without quotes; of STSPolicy the text, its lines ending in CRLF
	State State    `json:"state"`
	Now   []string `json:"now,omitempty"`  // with Differs: what stands there. As it came from the DNS, so escape it before printing
	Note  string   `json:"note,omitempty"` // what to mind. Words of servers in it are printable ASCII
}

// Text is the record as a zone file has it, or the file.
func (r Record) Text() string {
	switch r.Type {
	case "file":
		return strings.ReplaceAll(r.Value, "\r\n", "\n")
	case "TXT":
		return r.Name + ". IN TXT " + txtrecord.Zone(r.Value)
	}
	return r.Name + ". IN " + r.Type + " " + r.Value
}

// Seen is what the domain publishes now.
type Seen struct {
	Domain policy.Domain
	Route  discovery.Route
	STS    discovery.STS
	TLSRPT discovery.TLSRPT
	Hosts  []Host // the MX hosts whose certificates somebody saw; TLSA records are about nothing else
}

// For works out the records, in the order in which they are best published: a policy before the record that leads to it. There
// are none for a domain without a usable MX host.
func For(s Seen) []Record {
	names := s.mailHosts()
	if len(names) == 0 {
		return nil
	}
	out := append(s.sts(names), s.tlsrpt())
	for _, h := range s.Hosts {
		out = append(out, h.tlsa()...)
	}
	return out
}

// mailHosts are the names of the MX hosts. Those below .invalid exist to be unreachable (RFC 2606 section 2).
func (s Seen) mailHosts() (names []policy.Domain) {
	for _, h := range s.Route.Hosts {
		if h.Flaw == "" && !strings.HasSuffix(h.Domain.String(), ".invalid") && !slices.Contains(names, h.Domain) {
			names = append(names, h.Domain)
		}
	}
	return names
}

// aliased tells where a name is another's to write.
func aliased(a discovery.Answer) string {
	if len(a.Chain) == 0 {
		return ""
	}
	return "; the name is an alias, so change it at its target"
}
