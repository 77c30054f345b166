package discovery

import (
	"bytes"
	"cmp"
	"context"
	"encoding/hex"
	"fmt"
	"slices"

	"github.com/miekg/dns"
	"github.com/starttls-everywhere/policylist/policy"
)

// Certificate usages, selectors and matching types that SMTP knows (RFC 6698 section 2.1, RFC 7672 section 3.1).
const (
	UsageDANETA = 2 // the trust anchor, which the server must send
	UsageDANEEE = 3 // the server's own certificate

	SelectorCert = 0 // the whole certificate
	SelectorSPKI = 1 // the SubjectPublicKeyInfo

	MatchFull   = 0
	MatchSHA256 = 1
	MatchSHA512 = 2
)

// TLSARecord is one TLSA resource record (RFC 6698 section 2.1). Data is what a certificate is compared with: a digest of
// 32 or 64 bytes, or with MatchFull the DER itself.
type TLSARecord struct {
	Usage, Selector, Matching uint8
	Data                      []byte
}

// String is the presentation form, "3 1 1 e3b0c442…" in lower-case hex.
func (r TLSARecord) String() string {
	return fmt.Sprintf("%d %d %d %s", r.Usage, r.Selector, r.Matching, hex.EncodeToString(r.Data))
}

// Usable reports whether a sender may use the record: usages 0 and 1 are none of SMTP's (RFC 7672 section 3.1.3), unknown
// selectors and matching types and digests of a wrong length cannot match anything (RFC 7671 section 10.2).
func (r TLSARecord) Usable() bool {
	if r.Usage != UsageDANETA && r.Usage != UsageDANEEE || r.Selector > SelectorSPKI {
		return false
	}
	switch r.Matching {
	case MatchFull:
		return len(r.Data) > 0
	case MatchSHA256:
		return len(r.Data) == 32
	case MatchSHA512:
		return len(r.Data) == 64
	}
	return false
}

func (r TLSARecord) compare(o TLSARecord) int {
	return cmp.Or(cmp.Compare(r.Usage, o.Usage), cmp.Compare(r.Selector, o.Selector),
		cmp.Compare(r.Matching, o.Matching), bytes.Compare(r.Data, o.Data))
}

func (a *Answer) addTLSA(rr *dns.TLSA) {
	if data, err := hex.DecodeString(rr.Certificate); err == nil {
		a.TLSA = append(a.TLSA, TLSARecord{rr.Usage, rr.Selector, rr.MatchingType, data})
	}
}

// LookupTLSA asks for TLSA records at name, which begins with the port and the protocol: "_25._tcp.mx.a.example".
func (c *Client) LookupTLSA(ctx context.Context, name string) Answer {
	return c.lookup(ctx, name, dns.TypeTLSA)
}

// DANEKind is what the DNS says about DANE for one mail host.
type DANEKind string

const (
	// DANENone: no TLSA record, or none that DNSSEC vouches for. An insecure denial is as good as a secure one: only secure
	// records mean anything (RFC 7672 section 2.2).
	DANENone DANEKind = "none"
	// DANEInsecure: not asked, because the answer that names the host, or those with its addresses, are not secure
	// (RFC 7672 section 2.2.1 and 2.2.2). Always so for a Client without TrustAD.
	DANEInsecure DANEKind = "insecure"
	// DANEUnusable: secure records, of which a sender can use none. It must use TLS, but need not authenticate
	// (RFC 7672 section 2.2).
	DANEUnusable DANEKind = "unusable"
	// DANEUsable: at least one usable secure record. A sender delivers over TLS to a matching certificate or not at all.
	DANEUsable DANEKind = "usable"
	// DANEFailed: a lookup ended without an answer, SERVFAIL, bogus signatures and timeouts among them. A sender must not
	// take it for "none", and defers (RFC 7672 section 2.1.2 and 2.2).
	DANEFailed DANEKind = "failed"
)

// DANE is what FindTLSA found out about one mail host and port.
type DANE struct {
	Kind DANEKind
	// Base is the TLSA base domain (RFC 7672 section 2.2.3), without the port and protocol labels and without a final dot:
	// a name that a server's certificate may carry, and SNI. Set when Kind is DANEUsable or DANEUnusable.
	Base    string
	Answers []Answer     // of the lookups made here, in order
	Records []TLSARecord // the usable ones, sorted
	// Unusable counts the secure records at Base that are not usable.
	Unusable int
}

// FindTLSA looks up the TLSA records of host, an MX host, at port. mx is the answer that named the host (for an implicit MX
// the one that said that there is none), addresses are the host's A and AAAA answers; one secure address answer is enough.
func FindTLSA(ctx context.Context, c *Client, mx Answer, host policy.Domain, port int, addresses ...Answer) DANE {
	if !mx.Secure || !slices.ContainsFunc(addresses, func(a Answer) bool { return a.Secure }) {
		return DANE{Kind: DANEInsecure}
	}
	answer := c.LookupTLSA(ctx, fmt.Sprintf("_%d._tcp.%s", port, host))
	d := DANE{Kind: DANENone, Answers: []Answer{answer}}
	switch {
	case !answer.Status.Known():
		d.Kind = DANEFailed
	case answer.Status == NoError && answer.Secure:
		d.take(host.String(), answer)
	}
	return d
}

// take sums up a secure answer with records.
func (d *DANE) take(base string, answer Answer) {
	d.Base = base
	for _, r := range answer.TLSA {
		if r.Usable() {
			d.Records = append(d.Records, r)
		} else {
			d.Unusable++
		}
	}
	d.Kind = DANEUnusable
	if len(d.Records) > 0 {
		d.Kind = DANEUsable
	}
}
