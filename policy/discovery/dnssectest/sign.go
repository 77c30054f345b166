package dnssectest

import (
	"cmp"
	"crypto"
	"encoding/base64"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/miekg/dns"
)

// newKey is one key that signs both a zone's keys and its records, which RFC 6781 section 3.1 leaves to the owner.
func newKey(name string) (*dns.DNSKEY, crypto.Signer, error) {
	key := &dns.DNSKEY{
		Hdr:   dns.RR_Header{Name: name, Rrtype: dns.TypeDNSKEY, Class: dns.ClassINET, Ttl: 60},
		Flags: dns.ZONE | dns.SEP, Protocol: 3, Algorithm: dns.ECDSAP256SHA256,
	}
	private, err := key.Generate(256)
	if err != nil {
		return nil, nil, err
	}
	return key, private.(crypto.Signer), nil
}

// set is an RRset.
type set struct {
	owner string
	kind  uint16
}

// sign adds the key, the denial of everything else, and the signatures, then does to these what Faults say.
func (z *zone) sign() error {
	z.rrs = append(z.rrs, z.key)
	z.rrs = append(z.rrs, z.denial()...)
	faults, err := z.faults()
	if err != nil {
		return err
	}
	sets := make(map[set][]dns.RR)
	for _, rr := range z.rrs {
		if s := (set{rr.Header().Name, rr.Header().Rrtype}); z.signs(s) {
			sets[s] = append(sets[s], rr)
		}
	}
	for s, rrs := range sets {
		fault := cmp.Or(faults[s], faults[set{"*", s.kind}])
		if !denies(s.kind) {
			fault = cmp.Or(fault, faults[set{s.owner, dns.TypeANY}])
		}
		signature, err := z.signature(rrs, fault)
		if err != nil {
			return err
		}
		if signature != nil {
			z.rrs = append(z.rrs, signature)
		}
	}
	slices.SortStableFunc(z.rrs, func(a, b dns.RR) int { return canonical(a.Header().Name, b.Header().Name) })
	return nil
}

func denies(kind uint16) bool { return kind == dns.TypeNSEC || kind == dns.TypeNSEC3 }

// signs reports whether a set is the zone's own word: delegations and what lies below them is not (RFC 4035 section 2.2).
func (z *zone) signs(s set) bool {
	for cut := range z.cuts {
		if s.owner == cut {
			return s.kind == dns.TypeDS || denies(s.kind)
		}
		if dns.IsSubDomain(cut, s.owner) {
			return false
		}
	}
	return true
}

// signature signs a set, nil for Stripped.
func (z *zone) signature(rrs []dns.RR, fault Fault) (*dns.RRSIG, error) {
	begin, end := z.now.Add(-time.Hour), z.now.AddDate(0, 0, 7)
	switch fault {
	case Stripped:
		return nil, nil
	case Expired:
		begin, end = z.now.AddDate(0, 0, -8), z.now.AddDate(0, 0, -1)
	case Early:
		begin = z.now.AddDate(0, 0, 1)
	}
	signature := &dns.RRSIG{
		Hdr:       dns.RR_Header{Ttl: 60},
		Algorithm: z.key.Algorithm, KeyTag: z.key.KeyTag(), SignerName: z.name,
		Inception: uint32(begin.Unix()), Expiration: uint32(end.Unix()),
	}
	if err := signature.Sign(z.signer, rrs); err != nil {
		return nil, err
	}
	if fault == Forged {
		raw, err := base64.StdEncoding.DecodeString(signature.Signature)
		if err != nil {
			return nil, err
		}
		raw[len(raw)-1] ^= 1
		signature.Signature = base64.StdEncoding.EncodeToString(raw)
	}
	return signature, nil
}

// faults reads Zone.Faults; a bare name is kept under the type ANY.
func (z *zone) faults() (map[set]Fault, error) {
	out := make(map[set]Fault)
	for text, fault := range z.Faults {
		owner, kind, narrowed := strings.Cut(text, " ")
		s := set{owner, dns.TypeANY}
		if narrowed {
			if s.kind = dns.StringToType[kind]; s.kind == 0 {
				return nil, fmt.Errorf("fault %q: no such type", text)
			}
		}
		switch {
		case owner == "@":
			s.owner = z.name
		case owner != "*" && !dns.IsFqdn(owner):
			s.owner = dns.CanonicalName(owner + "." + strings.TrimPrefix(z.name, "."))
		}
		if owner != "*" && !slices.ContainsFunc(z.rrs, func(rr dns.RR) bool { return rr.Header().Name == s.owner }) {
			return nil, fmt.Errorf("fault %q: no such name", text)
		}
		out[s] = fault
	}
	return out, nil
}
