package policy

import (
	"slices"
	"strings"

	"golang.org/x/net/publicsuffix"
)

// sharedBase is a name under which any customer of a mail provider gets host names: a suffix pattern over it would let
// every other customer's host take the mail (rule R26).
type sharedBase struct {
	base  string
	below bool // customers also get names under sub-names of base
	whose string
}

func sharedBases() []sharedBase {
	return []sharedBase{
		{"mail.protection.outlook.com", false, "Microsoft 365 (tenant.mail.protection.outlook.com)"},
		{"mx.microsoft", true, "Microsoft 365 with DANE (tenant.x-v1.mx.microsoft)"},
		{"pphosted.com", false, "Proofpoint (mx0a-customer.pphosted.com)"},
		{"ppe-hosted.com", false, "Proofpoint Essentials"},
		{"iphmx.com", false, "Cisco Secure Email (customer.iphmx.com)"},
		{"ess.barracudanetworks.com", false, "Barracuda Email Gateway Defense (customer.ess.barracudanetworks.com)"},
		{"in.mailcontrol.com", false, "Forcepoint (customer.in.mailcontrol.com)"},
		{"in.tmes.trendmicro.com", false, "Trend Micro Email Security (customer.in.tmes.trendmicro.com)"},
	}
}

// sharedBy names the provider whose customers share base, or "".
func sharedBy(base Domain) string {
	for _, s := range sharedBases() {
		if base.name == s.base || s.below && strings.HasSuffix(base.name, "."+s.base) {
			return s.whose
		}
	}
	// The private part of the public suffix list: names whose owners let customers register below them.
	if suffix, icann := publicsuffix.PublicSuffix(base.name); !icann && suffix == base.name {
		return "the owner of " + suffix + " (public suffix list, private part)"
	}
	return ""
}

// knownProvider reports whether registered is a domain of a mail or filter provider whose hosts stand in many domains'
// MX records beside the domain's own; rule R53 does not ask a person about these.
func knownProvider(registered string) bool {
	return slices.Contains([]string{
		"google.com", "googlemail.com", "outlook.com", "mx.microsoft", "yahoodns.net", "icloud.com", "qq.com", "yandex.net", "mail.ru",
		"pphosted.com", "ppe-hosted.com", "mimecast.com", "iphmx.com", "messagelabs.com", "barracudanetworks.com", "mailcontrol.com",
		"trendmicro.com", "sophos.com", "hornetsecurity.com", "antispamcloud.com", "mailspamprotection.com", "spamhero.com",
		"messagingengine.com", "protonmail.ch", "mailbox.org", "posteo.de", "tutanota.de", "migadu.com", "zoho.com", "zoho.eu",
		"gandi.net", "ovh.net", "kundenserver.de", "rzone.de", "infomaniak.ch", "one.com", "transip.email", "hostedemail.com",
		"emailsrvr.com", "secureserver.net", "privateemail.com", "registrar-servers.com", "amazonaws.com", "mailgun.org",
	}, registered)
}

// RegisteredDomain returns the name that was registered above host: one label more than the public suffix. A public
// suffix itself has none, "".
func RegisteredDomain(host Domain) string {
	name, err := publicsuffix.EffectiveTLDPlusOne(host.name)
	if err != nil {
		return ""
	}
	return name
}

// SoldDomain returns the name that a registry sold of which d is part, "" for a suffix itself. Other than RegisteredDomain it
// does not count the private part of the public suffix list: names below dyndns.example are for the asking, so all of them are one
// to whom one organisation has one vote.
func SoldDomain(d Domain) string {
	suffix := PublicSuffix(d)
	rest, found := strings.CutSuffix(d.name, "."+suffix)
	if !found {
		return ""
	}
	return rest[strings.LastIndexByte(rest, '.')+1:] + "." + suffix
}

// PublicSuffix returns the suffix under which a registry sells d: "co.uk" of a.co.uk. The private part of the public suffix
// list does not count; a name outside the list has its last label.
func PublicSuffix(d Domain) string {
	suffix, icann := publicsuffix.PublicSuffix(d.name)
	for !icann {
		_, above, found := strings.Cut(suffix, ".")
		if !found {
			break // no rule: the last label
		}
		suffix, icann = publicsuffix.PublicSuffix(above)
	}
	return suffix
}

// mailSuffixes are public suffixes that take mail themselves, so that they may be listed (rule R13): the government of
// South Australia writes from addresses @sa.gov.au. A suffix joins them when its owner asks.
func mailSuffixes() []string { return []string{"sa.gov.au"} }

// isPublicSuffix reports whether anybody may register names under d. The private part of the public suffix list
// does not count: its names belong to somebody who may well take mail there.
func isPublicSuffix(d Domain) bool {
	suffix, icann := publicsuffix.PublicSuffix(d.name)
	return icann && suffix == d.name
}
