package discovery

import (
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	"crypto/sha512"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/hex"
	"fmt"

	"github.com/miekg/dns"
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
// selectors and matching types, digests of a wrong length and what is not the encoding of a certificate or key cannot match
// anything (RFC 7671 section 10.1.1).
func (r TLSARecord) Usable() bool {
	if r.Usage != UsageDANETA && r.Usage != UsageDANEEE || r.Selector > SelectorSPKI {
		return false
	}
	switch r.Matching {
	case MatchFull:
		return r.encodes()
	case MatchSHA256:
		return len(r.Data) == sha256.Size
	case MatchSHA512:
		return len(r.Data) == sha512.Size
	}
	return false
}

// encodes reports whether Data has the outer shape of what Selector stands for. The inside may be newer than our parsers:
// whether it matches is for the comparison to say.
func (r TLSARecord) encodes() bool {
	var certificate struct {
		Signed    asn1.RawValue
		Algorithm pkix.AlgorithmIdentifier
		Signature asn1.BitString
	}
	var key struct {
		Algorithm pkix.AlgorithmIdentifier
		Key       asn1.BitString
	}
	var shape any = &certificate
	if r.Selector == SelectorSPKI {
		shape = &key
	}
	rest, err := asn1.Unmarshal(r.Data, shape)
	return err == nil && len(rest) == 0
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
