package probe

import (
	"fmt"
	"net/netip"

	"github.com/starttls-everywhere/policylist/policy/discovery"
)

// Observation is all that was seen of one domain: facts, no opinion. Together with the list's policy and a time it
// decides the verdict (Judge), so that anybody who holds an evidence file can repeat the decision.
//
// The types of this file are also its JSON: keys stand in byte order, values are strings, unsigned integers, lists and
// objects, all strings are printable ASCII.
type Observation struct {
	Hosts    []Host   `json:"hosts,omitempty"`     // in the order of preference, then name
	Lookups  []Lookup `json:"lookups,omitempty"`   // MX; with an implicit MX also A and AAAA of the domain
	Omitted  uint     `json:"omitted,omitempty"`   // hosts and addresses beyond our limits, not looked at
	OptedOut uint     `json:"opted-out,omitempty"` // 1: the domain is on the opt-out list, and nothing was looked at
	Proof    *Proof   `json:"proof,omitempty"`
	Route    string   `json:"route,omitempty"` // a discovery.RouteKind
	STS      *STS     `json:"sts,omitempty"`
	TLSRPT   *TLSRPT  `json:"tlsrpt,omitempty"`
	Waiting  *Waiting `json:"waiting,omitempty"`
}

// Lookup is a DNS answer (discovery.Answer).
type Lookup struct {
	Bogus    uint     `json:"bogus,omitempty"`    // 1: there is an answer, but its DNSSEC signatures are wrong
	CNAME    []string `json:"cname,omitempty"`    // targets followed, in order
	Failures uint     `json:"failures,omitempty"` // attempts that got no answer, before the one that did
	Name     string   `json:"name"`
	Records  []string `json:"records,omitempty"` // "10 mx.good.example.", "192.0.2.1"
	Secure   uint     `json:"secure,omitempty"`  // 1: a trusted resolver vouched for DNSSEC
	Status   string   `json:"status"`            // a discovery.Status
	Type     string   `json:"type"`
}

// Host is one MX host.
type Host struct {
	DANE       *DANE     `json:"dane,omitempty"`
	Flaw       string    `json:"flaw,omitempty"` // a discovery.Flaw
	Lookups    []Lookup  `json:"lookups,omitempty"`
	Name       string    `json:"name"`
	Preference uint16    `json:"preference"`
	Sessions   []Session `json:"sessions,omitempty"` // one an address, IPv4 before IPv6

	keys []string // as HostKeys.SPKI; not in evidence, where few hosts have a use for it
}

// Stage is how far a session came: what was being waited for when it ended.
type Stage string

const (
	StageConnect  Stage = "connect"  // for TCP
	StageGreeting Stage = "greeting" // for the reply 220
	StageEHLO     Stage = "ehlo"     // for the reply to EHLO
	StageSTARTTLS Stage = "starttls" // for the reply to STARTTLS
	StageTLS      Stage = "tls"      // for the handshake
	StageDone     Stage = "done"     // TLS stands; what it is worth is in Session.TLS
)

// Failure is why a session ended before StageDone; "" when the server's own words say it.
type Failure string

const (
	FailForbidden   Failure = "forbidden"    // a private or reserved address, not contacted
	FailNoName      Failure = "no-name"      // not contacted, since we have no name to introduce ourselves with
	FailOptedOut    Failure = "opted-out"    // on the opt-out list, not contacted
	FailNoRoute     Failure = "no-route"     // this vantage has no way to such addresses
	FailUnreachable Failure = "unreachable"  // nobody accepts connections
	FailTimeout     Failure = "timeout"      // connected, then silence or a trickle until the deadline
	FailClosed      Failure = "closed"       // connected, then hung up on
	FailSyntax      Failure = "syntax"       // what came is not SMTP
	FailNotTLS      Failure = "not-tls"      // what came instead of a TLS record
	FailVersion     Failure = "tls-version"  // the server refuses every TLS version that we offer
	FailHandshake   Failure = "handshake"    // any other refusal inside the handshake
	FailCertificate Failure = "bad-encoding" // a certificate that cannot be parsed, or more of them than anybody needs
	FailKey         Failure = "key-type"     // a certificate for a kind of key that we do not know
)

// Session is what one server address said.
type Session struct {
	Address  string   `json:"address"`
	Clear    string   `json:"clear,omitempty"`  // bytes that came unencrypted right behind the 220 to STARTTLS
	Detail   string   `json:"detail,omitempty"` // the failure in words
	EHLO     *Reply   `json:"ehlo,omitempty"`
	Failure  Failure  `json:"failure,omitempty"`
	Greeting *Reply   `json:"greeting,omitempty"`
	Offer    string   `json:"offer,omitempty"`   // "starttls", "masked" or nothing
	Samples  []Sample `json:"samples,omitempty"` // further sessions with the address, in order
	Stage    Stage    `json:"stage"`
	STARTTLS *Reply   `json:"starttls,omitempty"`
	TLS      *TLS     `json:"tls,omitempty"`
}

// TLS is a completed handshake.
type TLS struct {
	Chain     []string `json:"chain"`            // hex SHA-256 of each certificate sent, leaf first
	Detail    string   `json:"detail,omitempty"` // why Trust is not TrustOK
	Key       string   `json:"key"`              // "ecdsa-256", "rsa-2048", "ed25519"
	Keys      *Keys    `json:"keys,omitempty"`
	Match     string   `json:"match"`           // "yes", "no", "none" (no name in it at all): the host name against the SANs
	Names     []string `json:"names,omitempty"` // the first SANs
	NotAfter  string   `json:"not-after"`       // of the leaf
	NotBefore string   `json:"not-before"`
	Offered   string   `json:"offered,omitempty"` // the newest version that we offered: Version is the server's own best up to it
	Stale     uint     `json:"stale,omitempty"`   // certificates behind the leaf that are out of their time
	Suite     string   `json:"suite"`
	Trust     Trust    `json:"trust"`
	Version   string   `json:"version"` // "TLS 1.3"
}

// Trust is where the certificates sent lead to, each judged at the time of the session, or, for a leaf that is out of
// its time, at the nearest moment inside it: so that one fault is not reported as two.
type Trust string

const (
	TrustOK         Trust = "ok"          // to a root that is trusted
	TrustIncomplete Trust = "incomplete"  // the chain ends at a certificate whose issuer was not sent and is no root
	TrustUnknown    Trust = "unknown"     // the chain ends at a root that nobody trusts, or breaks a rule of RFC 5280
	TrustSelfSigned Trust = "self-signed" // nowhere: the leaf signed itself
	TrustExpired    Trust = "expired"     // an intermediate is out of its time
)

func lookup(a discovery.Answer) Lookup {
	l := Lookup{Failures: uint(a.Failures), Name: escape(a.Name, 255), Status: string(a.Status), Type: a.Type}
	if a.Secure {
		l.Secure = 1
	}
	if a.Bogus {
		l.Bogus = 1
	}
	for _, c := range a.Chain {
		l.CNAME = append(l.CNAME, escape(c, 255))
	}
	for _, m := range a.MX {
		l.Records = append(l.Records, fmt.Sprintf("%d %s", m.Preference, escape(m.Host+".", 255)))
	}
	for _, ip := range a.Addrs {
		l.Records = append(l.Records, ip.String())
	}
	for _, r := range a.TLSA {
		l.Records = append(l.Records, tlsaText(r))
	}
	for _, t := range a.TXT {
		l.Records = append(l.Records, escape(t, 1024))
	}
	return l
}

func lookups(answers ...discovery.Answer) []Lookup {
	out := make([]Lookup, len(answers))
	for i, a := range answers {
		out[i] = lookup(a)
	}
	return out
}

// addresses are those that the lookups found, in their order, each once.
func addresses(answers ...discovery.Answer) []netip.Addr {
	var out []netip.Addr
	seen := make(map[netip.Addr]bool)
	for _, a := range answers {
		for _, ip := range a.Addrs {
			if !seen[ip] {
				seen[ip] = true
				out = append(out, ip)
			}
		}
	}
	return out
}
