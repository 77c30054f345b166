package records

import (
	"cmp"
	"fmt"

	"github.com/starttls-everywhere/policylist/policy"
	"github.com/starttls-everywhere/policylist/policy/discovery"
)

// Host is an MX host whose certificates were seen.
type Host struct {
	Name policy.Domain
	Port int      // of the mail server; 0 means 25
	Keys []string // SHA-256 of the leaf certificates' SubjectPublicKeyInfo, lower-case hex, each once
	DANE discovery.DANE
	// Matching are the TLSA records, as TLSARecord.String writes them, that name what the server sent.
	Matching []string
}

// What to mind, beside a TLSA record. The last is RFC 7671 section 8.1 and 8.4.
const (
	noteUnsigned = "nobody vouched here that the host's zone is signed: without DNSSEC senders ignore TLSA records"
	noteRollover = "keep the key when the certificate is renewed, or publish the next key's record beside this one, and wait twice its TTL before the server uses it"
)

// tlsa is one record for each key: "3 1 1", the server's own key by SHA-256, as RFC 7672 section 3.1.1 recommends it. A host
// whose records name its certificate in another way keeps those.
func (h Host) tlsa() (out []Record) {
	name := fmt.Sprintf("_%d._tcp.%s", cmp.Or(h.Port, 25), cmp.Or(h.DANE.Base, h.Name.String()))
	for _, text := range h.Matching {
		out = append(out, Record{Kind: TLSA, Name: name, Type: "TLSA", Value: text, State: There, Note: noteRollover})
	}
	if len(out) > 0 {
		return out
	}
	for _, key := range h.Keys {
		r := Record{Kind: TLSA, Name: name, Type: "TLSA", State: Missing, Note: noteRollover,
			Value: fmt.Sprintf("%d %d %d %s", discovery.UsageDANEEE, discovery.SelectorSPKI, discovery.MatchSHA256, key)}
		switch h.DANE.Kind {
		case discovery.DANEUsable, discovery.DANEUnusable:
			r.State = Differs
			for _, have := range h.DANE.Records {
				r.Now = append(r.Now, have.String())
			}
		case discovery.DANENone:
		case discovery.DANEFailed:
			r.State, r.Note = Unknown, "the lookup failed; "+noteRollover
		default:
			r.State, r.Note = Unknown, noteUnsigned+"; "+noteRollover
		}
		out = append(out, r)
	}
	return out
}
