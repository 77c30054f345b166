package dnssectest

import (
	"slices"
	"strings"

	"github.com/miekg/dns"
)

// denial is the chain of NSEC or NSEC3 records over the names of the zone.
func (z *zone) denial() []dns.RR {
	types := z.types()
	if z.Denial == NSEC {
		return z.nsec(types)
	}
	return z.nsec3(types)
}

// types are the names that the zone speaks for, with the types there.
func (z *zone) types() map[string][]uint16 {
	out := make(map[string][]uint16)
	for _, rr := range z.rrs {
		owner, kind := rr.Header().Name, rr.Header().Rrtype
		delegation := z.cuts[owner] && kind == dns.TypeNS
		if !delegation && !z.signs(set{owner, kind}) {
			continue
		}
		if !slices.Contains(out[owner], kind) {
			out[owner] = append(out[owner], kind)
		}
	}
	return out
}

// nsec is a ring through the names in canonical order (RFC 4034 section 4).
func (z *zone) nsec(types map[string][]uint16) []dns.RR {
	var names []string
	for name := range types {
		names = append(names, name)
	}
	slices.SortFunc(names, canonical)
	var out []dns.RR
	for i, name := range names {
		out = append(out, &dns.NSEC{
			Hdr:        dns.RR_Header{Name: name, Rrtype: dns.TypeNSEC, Class: dns.ClassINET, Ttl: 60},
			NextDomain: names[(i+1)%len(names)],
			TypeBitMap: bitmap(types[name], dns.TypeNSEC, dns.TypeRRSIG),
		})
	}
	return out
}

// nsec3 is a ring through the hashes of the names, those in between that have no records included (RFC 5155 section 7.1).
// No salt and no more iterations than the one (RFC 9276 section 3.1).
func (z *zone) nsec3(types map[string][]uint16) []dns.RR {
	types[z.name] = append(types[z.name], dns.TypeNSEC3PARAM)
	between := make(map[string]bool)
	for name := range types {
		for off, end := dns.NextLabel(name, 0); !end; off, end = dns.NextLabel(name, off) {
			if parent := name[off:]; dns.IsSubDomain(z.name, parent) && types[parent] == nil {
				between[parent] = true
			}
		}
	}
	for name := range between {
		types[name] = nil
	}
	var hashes []string
	owners := make(map[string]string)
	for name, kinds := range types {
		if z.Denial == OptOut && z.cuts[name] && !slices.Contains(kinds, dns.TypeDS) {
			continue
		}
		hash := dns.HashName(name, dns.SHA1, 0, "")
		owners[hash] = name
		hashes = append(hashes, hash)
	}
	slices.Sort(hashes)
	out := []dns.RR{&dns.NSEC3PARAM{
		Hdr:  dns.RR_Header{Name: z.name, Rrtype: dns.TypeNSEC3PARAM, Class: dns.ClassINET, Ttl: 60},
		Hash: dns.SHA1,
	}}
	var flags uint8
	if z.Denial == OptOut {
		flags = 1
	}
	for i, hash := range hashes {
		kinds := types[owners[hash]]
		if len(kinds) > 0 && !(z.cuts[owners[hash]] && !slices.Contains(kinds, dns.TypeDS)) {
			kinds = bitmap(kinds, dns.TypeRRSIG)
		}
		out = append(out, &dns.NSEC3{
			Hdr:  dns.RR_Header{Name: dns.CanonicalName(hash + "." + strings.TrimPrefix(z.name, ".")), Rrtype: dns.TypeNSEC3, Class: dns.ClassINET, Ttl: 60},
			Hash: dns.SHA1, Flags: flags, HashLength: 20, NextDomain: hashes[(i+1)%len(hashes)], TypeBitMap: bitmap(kinds),
		})
	}
	return out
}

func bitmap(types []uint16, more ...uint16) []uint16 {
	out := append(slices.Clone(types), more...)
	slices.Sort(out)
	return out
}

// canonical compares names label by label from the right (RFC 4034 section 6.1).
func canonical(a, b string) int {
	x, y := dns.SplitDomainName(a), dns.SplitDomainName(b)
	slices.Reverse(x)
	slices.Reverse(y)
	return slices.Compare(x, y)
}
