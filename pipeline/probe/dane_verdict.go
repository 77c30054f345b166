package probe

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/starttls-everywhere/policylist/policy/discovery"
)

func daneCodes() []effect {
	return []effect{
		leavesOpen("dane.lookup-failed", "R36", "the TLSA lookup of an MX host ended without an answer: senders that know DANE hold their mail back",
			"check that all name servers answer questions for TLSA, and that the zone's DNSSEC signatures are valid"),
		leavesOpen("dane.bogus", "R36", "an MX host's TLSA records, or their absence, have wrong DNSSEC signatures: senders that know DANE hold their mail back",
			"renew the zone's signatures; compare the DS record at the parent with the zone's keys"),
		warns("dane.intermittent", "R36", "the question for the TLSA records of an MX host is not answered always and everywhere alike",
			"check that every name server of the zone answers questions for TLSA: senders that meet the silent one hold their mail back"),
		warns("dane.unusable", "R29", "no TLSA record of an MX host is usable for SMTP: senders encrypt to anybody",
			"publish \"3 1 1\" or \"2 1 1\": SMTP knows neither usage 0 nor usage 1"),
		fails("dane.mismatch", "R29", "no TLSA record matches the certificates that an MX host sends: senders that know DANE do not deliver to it",
			"publish the new key's record beside the old one two TTLs before the server uses it, or keep the key at renewal"),
		fails("dane.ta-not-in-chain", "R29", "the TLSA records name a certificate authority whose certificate the MX host does not send",
			"add the authority's certificate to the chain file, or name one that is sent"),
		fails("dane.name", "R27", "a TLSA record matches the certificate authority, but the certificate carries none of the names that DANE-TA asks for",
			"issue a certificate with the TLSA base domain's name, usually the MX host's, or publish a \"3 1 1\" record"),
		warns("dane.empty-digest", "R29", "a TLSA record holds the digest of no bytes at all",
			"compute it again: the script that made it read an empty file"),
		notes("dane.stale-record", "R29", "a TLSA record matches nothing that the MX host sends, but another does",
			"nothing while keys are being changed; else remove it"),
	}
}

// dane judges what senders that know DANE make of a host. The list's own senders verify by PKIX, so nothing here makes up
// for a certificate that fails there, and a mismatch here is a fault beside a good one there (RFC 7672 section 2.2).
func (j *judge) dane(h Host) {
	d := h.DANE
	if d == nil {
		return
	}
	for _, l := range d.Lookups {
		switch {
		case l.Bogus > 0:
			j.add("dane.bogus", "%s of %s", l.Type, l.Name)
		case !discovery.Status(l.Status).Known():
			j.add("dane.lookup-failed", "%s of %s (%s)", l.Type, l.Name, l.Status)
		case l.Failures > 0 && l.Type == "TLSA":
			j.add("dane.intermittent", "%s (failed %d times)", l.Name, l.Failures)
		}
	}
	for i, s := range d.Servers {
		switch {
		case !discovery.Status(s.Status).Known():
			j.add("dane.intermittent", "%s [%s] (%s)", s.Name, s.Address, s.Status)
		case i > 0 && (s.Status != d.Servers[0].Status || !slices.Equal(s.Records, d.Servers[0].Records)):
			j.add("dane.intermittent", "%s [%s] (other records than %s)", s.Name, s.Address, d.Servers[0].Name)
		}
	}
	records := d.records()
	switch discovery.DANEKind(d.Kind) {
	case discovery.DANEUnusable:
		j.add("dane.unusable", "%s (%s)", h.Name, list(d.Records))
	case discovery.DANEUsable:
		j.matchAll(h, records)
	}
	for _, r := range records {
		if r.emptyDigest() {
			j.add("dane.empty-digest", "%s (%s)", h.Name, brief(d.Records[r.at]))
		}
	}
}

// matchAll holds the sessions of a host against its records: every address must do. Sessions without TLS are told of
// already, since senders that know DANE want TLS as well.
func (j *judge) matchAll(h Host, records []tlsa) {
	used := make(map[uint]bool)
	for i, s := range h.encrypted() {
		var m Match
		if i < len(h.DANE.Matches) {
			m = h.DANE.Matches[i]
		}
		good := j.matchOne(h, s, m.Named == "yes", records, used)
		verified := j.verified(s.TLS)
		if len(h.DANE.Sessions) > 0 { // these asked for another name than the list's senders do
			verified = slices.ContainsFunc(h.Sessions, func(own Session) bool {
				return own.Address == s.Address && own.TLS != nil && j.verified(own.TLS)
			})
		}
		switch at := place(h, s); {
		case good && !verified:
			j.add("cross.dane-only", "%s", at)
		case !good && verified:
			j.add("cross.pkix-only", "%s", at)
		}
	}
	if len(used) == 0 {
		return
	}
	for _, r := range records {
		if !used[r.at] && !r.emptyDigest() {
			j.add("dane.stale-record", "%s (%s)", h.Name, brief(h.DANE.Records[r.at]))
		}
	}
}

// matchOne reports whether a sender that knows DANE delivers to the server. DANE-EE asks for neither name nor date
// (RFC 7672 section 3.1.1), DANE-TA for both (section 3.1.2 and 3.2).
func (j *judge) matchOne(h Host, s Session, named bool, records []tlsa, used map[uint]bool) bool {
	leaf, anchor := false, false
	for _, r := range records {
		if s.TLS.Keys.meets(r) {
			used[r.at] = true
			leaf = leaf || r.usage == discovery.UsageDANEEE
			anchor = anchor || r.usage == discovery.UsageDANETA
		}
	}
	at := place(h, s)
	switch {
	case leaf:
		return true
	case anchor && !named:
		j.add("dane.name", "%s (certificate for %s, asked for %s)", at, list(s.TLS.Names), list(h.DANE.Names))
		return false
	case anchor:
		return j.inTime(s.TLS) // cert.expired says it otherwise
	}
	if i := slices.IndexFunc(records, func(r tlsa) bool {
		return r.usage == discovery.UsageDANETA && slices.ContainsFunc(s.TLS.Keys.Anchors, r.names)
	}); i >= 0 {
		j.add("dane.ta-not-in-chain", "%s (%s)", at, brief(h.DANE.Records[records[i].at]))
		return false
	}
	j.add("dane.mismatch", "%s (%s)", at, j.rollover(h.DANE, s.TLS))
	return false
}

// rollover says what is published and what is sent, and whether it looks like a renewal that forgot the records.
func (j *judge) rollover(d *DANE, t *TLS) string {
	text := "published " + list(briefs(d.Records))
	if len(t.Keys.Chain) > 0 {
		text += ", sent key " + brief(t.Keys.Chain[0].SPKI)
	}
	from, err := time.Parse(timeFormat, t.NotBefore)
	if age := j.now.Sub(from); err == nil && age >= 0 && age < 30*24*time.Hour {
		text += fmt.Sprintf("; the certificate is %d days old: was it renewed with a new key and the records left as they were?", int(age.Hours()/24))
	}
	return text
}

func place(h Host, s Session) string { return fmt.Sprintf("%s [%s]", h.Name, s.Address) }

// brief cuts a long digest: "3 1 1 e3b0c44298fc1c14…".
func brief(text string) string {
	const most = 16
	head, digest := "", text
	if i := strings.LastIndexByte(text, ' '); i >= 0 {
		head, digest = text[:i+1], text[i+1:]
	}
	if len(digest) > most {
		digest = digest[:most] + "..."
	}
	return head + digest
}

func briefs(texts []string) []string {
	out := make([]string, len(texts))
	for i, text := range texts {
		out[i] = brief(text)
	}
	return out
}

// verified reports whether a sender that verifies by PKIX takes the certificate: the list's and MTA-STS's do.
func (j *judge) verified(t *TLS) bool {
	return j.certified(t) && (t.Version == "TLS 1.2" || t.Version == "TLS 1.3")
}

// inTime reports whether the leaf is valid now.
func (j *judge) inTime(t *TLS) bool {
	from, err1 := time.Parse(timeFormat, t.NotBefore)
	to, err2 := time.Parse(timeFormat, t.NotAfter)
	return err1 == nil && err2 == nil && !j.now.Before(from) && !j.now.After(to)
}
