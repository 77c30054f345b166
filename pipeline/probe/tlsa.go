package probe

import (
	"crypto/sha256"
	"encoding/hex"
	"slices"
	"strconv"
	"strings"

	"github.com/starttls-everywhere/policylist/policy/discovery"
)

// fullDigest stands before the SHA-256 of a record's data where the record holds a whole certificate or key (matching
// type 0): a digest compares as well, and evidence need not carry kilobytes.
const fullDigest = "sha256:"

// tlsa is a usable TLSA record as evidence has it: something to compare digests with.
type tlsa struct {
	at                        uint // position in DANE.Records
	usage, selector, matching uint8
	digest                    string // lower-case hex
}

// tlsaText writes a record for the evidence: "3 1 1 e3b0c442…", "2 0 0 sha256:…".
func tlsaText(r discovery.TLSARecord) string {
	if r.Matching == discovery.MatchFull && len(r.Data) > 0 {
		sum := sha256.Sum256(r.Data)
		return strings.Join([]string{digit(r.Usage), digit(r.Selector), digit(r.Matching), fullDigest + hex.EncodeToString(sum[:])}, " ")
	}
	return escape(r.String(), keptLine)
}

func digit(n uint8) string { return strconv.Itoa(int(n)) }

// parseTLSA reads what tlsaText wrote; ok is false for a record that a sender cannot use (RFC 7672 section 3.1.3, RFC 7671
// section 10.2).
func parseTLSA(text string, at int) (r tlsa, ok bool) {
	fields := strings.Split(text, " ")
	if len(fields) != 4 {
		return tlsa{}, false
	}
	var n [3]uint8
	for i := range n {
		v, err := strconv.ParseUint(fields[i], 10, 8)
		if err != nil {
			return tlsa{}, false
		}
		n[i] = uint8(v)
	}
	r = tlsa{at: uint(at), usage: n[0], selector: n[1], matching: n[2], digest: fields[3]}
	want := 0
	switch r.matching {
	case discovery.MatchFull:
		var full bool
		r.digest, full = strings.CutPrefix(r.digest, fullDigest)
		ok, want = full, sha256.Size
	case discovery.MatchSHA256:
		ok, want = true, 32
	case discovery.MatchSHA512:
		ok, want = true, 64
	}
	raw, err := hex.DecodeString(r.digest)
	ok = ok && err == nil && len(raw) == want && r.selector <= discovery.SelectorSPKI &&
		(r.usage == discovery.UsageDANETA || r.usage == discovery.UsageDANEEE)
	return r, ok
}

// records are those that a sender uses; d may be nil. Of the digests with one usage and one selector it uses only the
// strongest (RFC 7671 section 9), as Postfix and everybody with OpenSSL does: a host whose SHA-512 is stale fails there,
// however right the SHA-256 beside it is. A whole certificate or key, matching type 0, counts in any case.
func (d *DANE) records() []tlsa {
	if d == nil {
		return nil
	}
	var out []tlsa
	strongest := make(map[[2]uint8]uint8)
	for i, text := range d.Records {
		if r, ok := parseTLSA(text, i); ok {
			out = append(out, r)
			strongest[r.kind()] = max(strongest[r.kind()], r.matching)
		}
	}
	return slices.DeleteFunc(out, func(r tlsa) bool {
		return r.matching != discovery.MatchFull && r.matching < strongest[r.kind()]
	})
}

// kind is what records must share for the stronger digest to count.
func (r tlsa) kind() [2]uint8 { return [2]uint8{r.usage, r.selector} }

// names reports whether the record is about the certificate.
func (r tlsa) names(p Print) bool {
	digest := p.Cert
	switch {
	case r.matching == discovery.MatchSHA512 && r.selector == discovery.SelectorSPKI:
		digest = p.SPKISHA512
	case r.matching == discovery.MatchSHA512:
		digest = p.CertSHA512
	case r.selector == discovery.SelectorSPKI:
		digest = p.SPKI
	}
	return digest == r.digest
}

// meets reports whether the certificates sent fulfil the record, names and times apart: DANE-EE is about the leaf
// (RFC 7672 section 3.1.1), DANE-TA about a certificate above it that was sent and that it leads to (section 3.1.2).
func (k *Keys) meets(r tlsa) bool {
	if r.usage == discovery.UsageDANEEE {
		return len(k.Chain) > 0 && r.names(k.Chain[0])
	}
	return slices.ContainsFunc(k.Path, func(i uint) bool { return i < uint(len(k.Chain)) && r.names(k.Chain[i]) })
}

// emptyDigest reports whether the record is a digest of no bytes at all: somebody's script hashed a file that was not
// there.
func (r tlsa) emptyDigest() bool {
	return slices.Contains([]string{
		"e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
		"cf83e1357eefb8bdf1542850d66d8007d620e4050b5715dc83f4a921d36ce9ce47d0d13c5d85f2b0ff8318d2877eec2f63b931bd47417a81a538327af927da3e",
	}, r.digest)
}
