package dnssectest

import (
	"crypto"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/miekg/dns"
)

// Signing is whether a zone is signed, and whether its parent vouches for it.
type Signing int

const (
	Signed   Signing = iota // secure: the chain of trust reaches it
	Unsigned                // insecure: no signatures, and the parent proves that there is no DS record
	Island                  // insecure: signatures, but no DS record in the parent
	Stranger                // bogus: the parent's DS record is for another key
)

// Denial is how a signed zone proves that something is not there.
type Denial int

const (
	NSEC   Denial = iota // RFC 4034 section 4
	NSEC3                // RFC 5155
	OptOut               // NSEC3 with opt-out (RFC 5155 section 6): what is not there is only insecurely so
)

// Fault is what is wrong with signatures. Every one of them makes what they belong to bogus.
type Fault int

const (
	Expired  Fault = iota + 1 // a day ago
	Early                     // valid from tomorrow
	Forged                    // a bit was flipped
	Stripped                  // not there
)

// Zone is a zone to serve. Its SOA and NS records, keys and signatures are added.
type Zone struct {
	Name    string   // absolute: "a.example."
	Records []string // as in a zone file, names absolute or relative to Name, the TTL optional
	Signing Signing
	Denial  Denial
	// Faults are by owner name, absolute or relative to Name, and may be narrowed to a type: "mx", "mx NSEC", "@ DNSKEY". A
	// bare name does not mean its NSEC record; with NSEC3 use "* NSEC3" for all of them.
	Faults map[string]Fault
	// Down has the zone's name server refuse every question: lookups end in SERVFAIL although no signature is wrong.
	Down bool
}

// tree is all zones, each before those below it; the first is the root.
type tree struct {
	zones []*zone
}

// zone is a zone on its way to its file.
type zone struct {
	Zone
	name   string
	rrs    []dns.RR
	cuts   map[string]bool // the names of delegated zones
	key    *dns.DNSKEY
	signer crypto.Signer
	now    time.Time
}

// grow makes the zones, their delegations and their signatures, valid at the time now.
func grow(zones []Zone, now time.Time) (*tree, error) {
	tr := &tree{}
	for _, z := range append([]Zone{{Name: "."}}, zones...) {
		made, err := newZone(z, now)
		if err != nil {
			return nil, err
		}
		tr.zones = append(tr.zones, made)
	}
	slices.SortStableFunc(tr.zones, func(a, b *zone) int { return dns.CountLabel(a.name) - dns.CountLabel(b.name) })
	for _, z := range tr.zones[1:] {
		if err := tr.parent(z).delegate(z); err != nil {
			return nil, err
		}
	}
	for _, z := range tr.zones {
		if z.Signing == Unsigned {
			continue
		}
		if err := z.sign(); err != nil {
			return nil, fmt.Errorf("zone %s: %w", z.name, err)
		}
	}
	return tr, nil
}

// parent is the nearest zone above z.
func (tr *tree) parent(z *zone) *zone {
	best := tr.zones[0]
	for _, other := range tr.zones {
		if other.name != z.name && dns.IsSubDomain(other.name, z.name) && len(other.name) > len(best.name) {
			best = other
		}
	}
	return best
}

func (tr *tree) anchor() string {
	return strings.Join(strings.Fields(tr.zones[0].key.ToDS(dns.SHA256).String()), " ")
}

func newZone(z Zone, now time.Time) (*zone, error) {
	made := &zone{Zone: z, name: dns.CanonicalName(z.Name), cuts: make(map[string]bool), now: now}
	key, signer, err := newKey(made.name)
	if err != nil {
		return nil, err
	}
	made.key, made.signer = key, signer
	text := fmt.Sprintf("$TTL 60\n@ SOA ns hostmaster 1 3600 600 86400 60\n@ NS ns\nns A 127.0.0.1\n%s\n", strings.Join(z.Records, "\n"))
	parser := dns.NewZoneParser(strings.NewReader(text), made.name, "")
	for rr, ok := parser.Next(); ok; rr, ok = parser.Next() {
		rr.Header().Name = dns.CanonicalName(rr.Header().Name)
		if !dns.IsSubDomain(made.name, rr.Header().Name) {
			return nil, fmt.Errorf("zone %s: %s is outside", made.name, rr.Header().Name)
		}
		made.rrs = append(made.rrs, rr)
	}
	return made, parser.Err()
}

// delegate adds the records that lead to child: its name server, whose address nobody uses, and the DS record.
func (z *zone) delegate(child *zone) error {
	z.cuts[child.name] = true
	glue := "ns." + strings.TrimPrefix(child.name, ".")
	for _, text := range []string{child.name + " 60 NS " + glue, glue + " 60 A 127.0.0.1"} {
		rr, err := dns.NewRR(text)
		if err != nil {
			return err
		}
		z.rrs = append(z.rrs, rr)
	}
	key := child.key
	switch child.Signing {
	case Unsigned, Island:
		return nil
	case Stranger:
		var err error
		if key, _, err = newKey(child.name); err != nil {
			return err
		}
	}
	ds := key.ToDS(dns.SHA256)
	ds.Hdr.Ttl = 60
	z.rrs = append(z.rrs, ds)
	return nil
}

// text is the zone file.
func (z *zone) text() string {
	var b strings.Builder
	for _, rr := range z.rrs {
		b.WriteString(rr.String())
		b.WriteByte('\n')
	}
	return b.String()
}
