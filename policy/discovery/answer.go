// Package discovery asks live what a domain publishes about itself: its MX hosts and their addresses (FindMX), TLSA records
// (FindTLSA), MTA-STS policy (FindSTS), TLSRPT record (FindTLSRPT) and proof of control (FindProof). It speaks to one recursive resolver that the caller names, never to the
// operating system's stub, because the stub hides what matters here: whether "no answer" was a fact or an accident.
//
//	client, err := discovery.NewClient(discovery.Options{Resolver: netip.MustParseAddrPort("127.0.0.1:53")})
//	route := discovery.FindMX(ctx, client, domain)
//	route.Kind              // discovery.RouteHosts
//	route.Hosts[0].Name     // "mx1.provider.example"
//	route.Answer.Status     // discovery.NoError
//
// A lookup never returns a Go error: a server that fails, a resolver that stays silent and a name that does not exist
// are observations, kept apart by Status.
package discovery

import "net/netip"

// Status is how one lookup ended.
type Status string

const (
	NoError   Status = "noerror"   // records of the asked type
	NoData    Status = "nodata"    // the name exists, records of the asked type do not (RFC 2308 section 2.2)
	NXDomain  Status = "nxdomain"  // the name does not exist (RFC 2308 section 2.1)
	ServFail  Status = "servfail"  // the resolver could not find out, or found bogus signatures (see Answer.Bogus)
	Refused   Status = "refused"   // the resolver does not answer us
	Timeout   Status = "timeout"   // no reply within the deadline, over any transport
	Malformed Status = "malformed" // a reply that is no answer: other question, looping CNAMEs, unknown response code
)

// Known reports whether the lookup says something about the name; the other statuses say something about the road
// there, and a verdict must not lean on them.
func (s Status) Known() bool { return s == NoError || s == NoData || s == NXDomain }

// MXRecord is one MX resource record as it came: Host is lower case in DNS presentation form without the final dot,
// so the root is "".
type MXRecord struct {
	Preference uint16
	Host       string
}

// Answer is one lookup's outcome. At most one of the record fields is filled, by Type.
type Answer struct {
	Name   string // as asked, lower case, without the final dot
	Type   string // "A", "AAAA", "CNAME", "MX", "NS", "TLSA", "TXT"
	Status Status // how it ended
	Secure bool   // the resolver vouches for DNSSEC; always false unless Options.TrustAD
	// Bogus says of a ServFail that the resolver has an answer, but not one that DNSSEC lets pass: signatures are expired,
	// broken or missing. Without a validating resolver it is never set.
	Bogus bool
	Chain []string // the targets of the CNAME records that were followed, in order
	MX    []MXRecord
	NS    []string // as in MXRecord.Host
	Addrs []netip.Addr
	TLSA  []TLSARecord
	TXT   []string // each record's strings joined without a space (RFC 7208 section 3.3, RFC 8461 section 3.1)
	// Dropped counts records beyond maxRecords, which were not kept.
	Dropped int
	// Failures counts the attempts that ended in silence, SERVFAIL or garbage. Beside a known Status it says that the
	// answer is there only at times: one of several name servers drops the question, say.
	Failures int
}

// records counts what was kept.
func (a *Answer) records() int {
	return len(a.MX) + len(a.NS) + len(a.Addrs) + len(a.TLSA) + len(a.TXT)
}
