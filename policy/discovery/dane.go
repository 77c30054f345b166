package discovery

import (
	"context"
	"fmt"
	"slices"

	"github.com/starttls-everywhere/policylist/policy"
)

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
	// the host's name, or what it is an alias of. It is the name for SNI. Set with DANEUsable and DANEUnusable.
	Base string
	// Names are those of which a certificate under a DANE-TA record must carry one (RFC 7672 section 3.2.2): Base, the host,
	// the mail domain, and the name that the mail domain is an alias of; each once. Set when Base is.
	Names   []string
	Answers []Answer     // of the lookups made here, CNAME and TLSA, in order
	Records []TLSARecord // the usable ones, sorted
	// Unusable counts the secure records at Base that are not usable.
	Unusable int
}

// FindTLSA looks up the TLSA records of host, an MX host, at port. mx is the answer that named the host (for an implicit MX
// the one that said that there is none), addresses are the host's A and AAAA answers. One secure address answer is enough:
// that of the other family may fail or be missing.
func FindTLSA(ctx context.Context, c *Client, mx Answer, host policy.Domain, port int, addresses ...Answer) DANE {
	d := DANE{Kind: DANEInsecure}
	if !mx.Secure {
		return d
	}
	for _, base := range d.bases(ctx, c, host.String(), addresses) {
		answer := c.LookupTLSA(ctx, fmt.Sprintf("_%d._tcp.%s", port, base))
		d.Answers = append(d.Answers, answer)
		switch {
		case !answer.Status.Known():
			// To go on to the next candidate would let whoever suppresses the answer choose the records.
			d.Kind = DANEFailed
			return d
		case answer.Status == NoError && answer.Secure:
			d.take(base, answer)
			d.name(host.String(), mx)
			return d
		}
	}
	return d
}

// bases are the candidates for the TLSA base domain. A host that is no alias has one, itself; one whose whole chain of
// aliases is secure has the chain's end, then itself; one that is a secure alias into an insecure zone has itself
// (RFC 7672 section 2.2.2 and 2.2.3). Without any it leaves the reason in d.Kind.
func (d *DANE) bases(ctx context.Context, c *Client, host string, addresses []Answer) []string {
	failed, alias := false, false
	for _, a := range addresses {
		if a.Secure {
			d.Kind = DANENone
			if n := len(a.Chain); n > 0 {
				return []string{a.Chain[n-1], host}
			}
			return []string{host}
		}
		failed = failed || !a.Status.Known()
		alias = alias || len(a.Chain) > 0
	}
	switch {
	case alias:
	case failed && !slices.ContainsFunc(addresses, func(a Answer) bool { return len(a.Addrs) > 0 }):
		// Nothing is known about the host, and nobody delivers there: that is not the same as "insecure".
		d.Kind = DANEFailed
		return nil
	default:
		return nil
	}
	answer := c.LookupCNAME(ctx, host)
	d.Answers = append(d.Answers, answer)
	switch {
	case !answer.Status.Known():
		d.Kind = DANEFailed
	case answer.Status == NoError && answer.Secure:
		d.Kind = DANENone
		return []string{host}
	}
	return nil
}

// take sums up a secure answer with records.
func (d *DANE) take(base string, answer Answer) {
	d.Base, d.Kind = base, DANEUnusable
	for _, r := range answer.TLSA {
		if r.Usable() {
			d.Records, d.Kind = append(d.Records, r), DANEUsable
		} else {
			d.Unusable++
		}
	}
}

// name collects the names that a certificate may carry. The mail domain counts only behind MX records, which name the
// host in its stead.
func (d *DANE) name(host string, mx Answer) {
	names := []string{d.Base, host}
	if mx.Status == NoError {
		names = append(names, mx.Name)
		names = append(names, mx.Chain[max(0, len(mx.Chain)-1):]...)
	}
	for _, name := range names {
		if !slices.Contains(d.Names, name) {
			d.Names = append(d.Names, name)
		}
	}
}
