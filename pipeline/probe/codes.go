package probe

import (
	"slices"
	"strings"

	"github.com/starttls-everywhere/policylist/policy"
)

// effect is what a code does to a domain's verdict.
type effect struct {
	policy.Code
	verdict Verdict
}

// Codes explains every code that a probe can give and package policy does not explain already, for "starttls-list code"
// and the site. README.md has the clauses of the RFCs beside them.
func Codes() []policy.Code {
	var codes []policy.Code
	for _, e := range effects() {
		if _, shared := policy.LookupCode(e.ID); !shared {
			codes = append(codes, e.Code)
		}
	}
	return codes
}

func effects() []effect {
	return slices.Concat(dnsCodes(), mxCodes(), listCodes(), smtpCodes(), starttlsCodes(), tlsCodes(), certCodes(), vantageCodes(), mergeCodes(),
		daneCodes(), stsCodes(), crossCodes(), reportCodes())
}

// effectOf finds a code. It searches the table's part only: a scan of many broken domains asks often.
func effectOf(id string) effect {
	var part []effect
	switch group, _, _ := strings.Cut(id, "."); group {
	case "cert":
		part = certCodes()
	case "cross":
		part = crossCodes()
	case "dane":
		part = daneCodes()
	case "proof", "tlsrpt":
		part = reportCodes()
	case "sts":
		part = stsCodes()
	case "smtp":
		part = smtpCodes()
	case "starttls":
		part = starttlsCodes()
	case "tls":
		part = tlsCodes()
	default:
		part = effects()
	}
	i := slices.IndexFunc(part, func(e effect) bool { return e.ID == id })
	if i < 0 {
		// A code outside the table would be a mistake of ours: nothing is decided by it.
		return effect{policy.Code{ID: id, Severity: policy.Warning}, Inconclusive}
	}
	return part[i]
}

func fails(id, rule, summary, fix string) effect {
	return effect{policy.Code{ID: id, Rules: []string{rule}, Severity: policy.Error, Summary: summary, Fix: fix}, Fail}
}

func warns(id, rule, summary, fix string) effect {
	return effect{policy.Code{ID: id, Rules: []string{rule}, Severity: policy.Warning, Summary: summary, Fix: fix}, Warn}
}

func leavesOpen(id, rule, summary, fix string) effect {
	return effect{policy.Code{ID: id, Rules: []string{rule}, Severity: policy.Warning, Summary: summary, Fix: fix}, Inconclusive}
}

// notes is what leaves the verdict as it is.
func notes(id, rule, summary, fix string) effect {
	return effect{policy.Code{ID: id, Rules: []string{rule}, Severity: policy.Notice, Summary: summary, Fix: fix}, Pass}
}

// shared is a code that the offline rules have as well: the same fault, found in a source or seen live.
func shared(id string, v Verdict) effect {
	c, _ := policy.LookupCode(id) // a test holds that it is there
	return effect{c, v}
}

func dnsCodes() []effect {
	return []effect{
		leavesOpen("dns.servfail", "R36", "the resolver could not find out (SERVFAIL)",
			"check that all name servers of the domain answer and that its DNSSEC signatures are valid"),
		leavesOpen("dns.bogus", "R36", "the answer's DNSSEC signatures are wrong, so resolvers that validate do not give it out",
			"renew the zone's signatures; compare the DS record at the parent with the zone's keys"),
		leavesOpen("dns.refused", "R36", "the resolver refused the question",
			"give the probe a resolver that answers it (--resolver)"),
		leavesOpen("dns.timeout", "R36", "nobody answered the DNS question in time",
			"check that all name servers of the domain answer over UDP and TCP; if other domains time out too, check --resolver"),
		leavesOpen("dns.malformed", "R36", "the DNS answer makes no sense: a CNAME loop, another question, an unknown code",
			"check the domain's CNAME records; a chain must end within eight steps"),
		fails("dns.nxdomain", "R48", "the domain does not exist",
			"check the spelling and the registration; a listed domain that stays away for 30 days is removed"),
	}
}

func mxCodes() []effect {
	return []effect{
		fails("mx.none", "R47", "the domain has neither an MX record nor an address, so it receives no mail",
			"publish MX records, or remove the domain from the list"),
		shared("mx.null", Fail),
		fails("mx.null-malformed", "R47", "the only MX record names the root, but with a preference other than 0, which is no null MX",
			"write \"0 .\" for a domain without mail, else name a host"),
		fails("mx.null-mixed", "R47", "\".\" stands beside other MX records: a null MX must be the only record",
			"remove the record with \".\", or all others"),
		warns("mx.implicit", "R47", "there is no MX record; mail goes to the domain's own address",
			"publish an MX record; not every sender with a policy accepts an implicit MX"),
		warns("mx.cname", "R27", "an MX record points to an alias (CNAME)",
			"let the MX record name the host itself; the certificate must carry the name in the MX record"),
		warns("mx.ip-literal", "R13", "an MX record holds an IP address where a host name belongs",
			"give the server a name with an address record and put the name into the MX record"),
		fails("mx.underscore", "R13", "an MX host name has an underscore, and no certificate can be issued for such a name",
			"rename the host without the underscore"),
		fails("mx.bad-name", "R13", "an MX host name is no host name: one label, odd characters or no ASCII form",
			"use a full name of letters, digits and hyphens"),
		warns("mx.no-address", "R42", "an MX host has no address",
			"remove the MX record or give the host an address"),
		fails("mx.unresolvable", "R42", "not one MX host can be reached by anybody: no address, or none that is public",
			"check the names in the MX records and their address records"),
		warns("mx.private-address", "R42", "an MX host has a private or reserved address, which nobody outside can reach",
			"publish only public addresses for MX hosts"),
		warns("mx.too-many", "R42", "there are more MX hosts or addresses than the probe looks at",
			"publish at most 32 MX hosts with 64 addresses in all"),
	}
}

func listCodes() []effect {
	return []effect{
		fails("mx.not-covered", "R42", "a live MX host matches none of the policy's mxs: senders would not deliver to it",
			"add the host to mxs, or remove the MX record"),
		warns("mx.not-covered-dead", "R42", "an MX host that nobody answers for matches none of the policy's mxs",
			"remove the MX record, or add the host to mxs before it comes to life"),
		warns("mx.unused-pattern", "R42", "one of the policy's mxs matches no MX record",
			"remove it from mxs, unless it is meant for a host to come"),
		shared("mx.foreign-unused", Warn),
	}
}

func smtpCodes() []effect {
	return []effect{
		leavesOpen("smtp.unreachable", "R42", "nobody accepts connections on the SMTP port",
			"start the server, open the port, or remove the MX record or address"),
		fails("smtp.dead", "R42", "for three days and more nobody accepts connections on the SMTP port of any MX host",
			"start a server, open the port, or remove the domain from the list if it receives no mail"),
		leavesOpen("smtp.no-route", "R36", "this vantage cannot reach addresses of that family",
			"probe from a host with IPv4 and IPv6"),
		leavesOpen("smtp.timeout", "R36", "the server accepted the connection and did not finish its reply in time",
			"check for tarpits and slow DNS checks of clients; allow the probe's name"),
		leavesOpen("smtp.closed", "R36", "the server hung up in the middle of the session",
			"check the server's log; rate limits and block lists act like this"),
		leavesOpen("smtp.refused-temp", "R36", "the server turned the probe away for now (4xx)",
			"nothing, if it was greylisting or a rate limit; the next scan asks again"),
		leavesOpen("smtp.refused-perm", "R36", "the server turned the probe away (5xx), which says nothing about its TLS",
			"check whether the probe's address or name is on a block list"),
		leavesOpen("smtp.malformed", "R36", "what the server sent is not SMTP",
			"check what listens on the port"),
		warns("pool.inconsistent", "R42", "sessions with one and the same address show different things: one of several machines behind it is not in order",
			"bring all machines behind the address to the same configuration and certificate"),
		fails("smtp.no-ehlo", "R29", "the server does not know EHLO, so it cannot offer STARTTLS",
			"switch on ESMTP in the mail server or in the firewall before it"),
	}
}

func starttlsCodes() []effect {
	return []effect{
		fails("starttls.missing", "R29", "the server does not offer STARTTLS",
			"switch on STARTTLS with a certificate for the MX host name"),
		fails("starttls.stripped", "R29", "something between the probe and the server writes over STARTTLS (\"XXXXXXXA\", blanks, \"220 ****\")",
			"switch off SMTP inspection (\"fixup\") in the firewall before the server; compare with other vantage points"),
		leavesOpen("starttls.refused-temp", "R36", "the server offers STARTTLS but refuses it for now (4xx)",
			"check that the server can read its key and certificate"),
		fails("starttls.refused", "R29", "the server offers STARTTLS but refuses the command (5xx)",
			"configure a certificate and key, or stop offering STARTTLS"),
		fails("starttls.refused-long", "R29", "for three days and more the server offers STARTTLS and refuses it (4xx)",
			"check that the server can read its key and certificate, and its log"),
		fails("starttls.blocked", "R29", "the server offers STARTTLS and then does not know the command (500 or 502)",
			"look for a firewall or virus scanner before the server that filters commands; compare with other vantage points"),
		fails("starttls.injection", "R30", "unencrypted bytes follow the reply to STARTTLS",
			"update the mail server: it, or something before it, mixes clear text into the secured session (CVE-2011-0411)"),
	}
}

func tlsCodes() []effect {
	return []effect{
		leavesOpen("tls.interrupted", "R36", "the connection went silent or was closed inside the TLS handshake",
			"check the server's log; if it is the same from everywhere, look for an intrusion prevention system"),
		fails("tls.not-tls", "R30", "after accepting STARTTLS the server goes on without TLS",
			"check what answers for the server: a proxy before it may not understand STARTTLS"),
		fails("tls.handshake", "R30", "no TLS session comes about: server and senders of today share no parameters",
			"allow TLS 1.2 or later with an ECDHE cipher suite"),
		notes("tls.sni-required", "R27", "only clients that ask for the host name (SNI) get the right certificate",
			"nothing, if that is meant; old senders without SNI see another certificate, so a good default one serves more of them"),
		fails("tls.version", "R30", "the server speaks nothing newer than TLS 1.1",
			"allow TLS 1.2 or later"),
	}
}

func certCodes() []effect {
	return []effect{
		fails("cert.expired", "R29", "the certificate has expired", "renew it, and automate renewal and reload"),
		fails("cert.not-yet-valid", "R29", "the certificate is not valid yet", "check the clock of the server and of the issuer"),
		warns("cert.expiring", "R29", "the certificate expires soon", "renew it, and automate renewal and reload"),
		fails("cert.name", "R27", "the certificate does not carry the MX host name",
			"issue a certificate with the MX host name among its subject alternative names"),
		fails("cert.no-san", "R28", "the certificate has no subject alternative name; the common name does not count",
			"issue a certificate with the MX host name among its subject alternative names"),
		fails("cert.self-signed", "R29", "the certificate is self-signed", "use a certificate of a public certificate authority"),
		fails("cert.untrusted", "R29", "the certificate leads to no root that Mozilla trusts",
			"use a certificate of a public certificate authority"),
		fails("cert.chain-incomplete", "R29", "the server does not send the intermediate certificate",
			"configure the full chain: leaf first, then the intermediates (fullchain.pem)"),
		fails("cert.chain-expired", "R29", "an intermediate certificate in the chain has expired",
			"renew the certificate and install the chain that came with it"),
		notes("cert.stale-extra", "R29", "the server also sends certificates that have expired and that nobody needs",
			"remove them from the chain file: some old senders stop at them"),
		fails("cert.malformed", "R29", "the certificate cannot be parsed, or the server sends more of them than anybody reads",
			"issue a new certificate"),
		fails("cert.key-type", "R29", "the certificate is for a kind of key that no public authority certifies",
			"issue a certificate for an ECDSA or a plain RSA key"),
	}
}

func vantageCodes() []effect {
	return []effect{
		leavesOpen("probe.no-ehlo", "R36", "the probe has no name to introduce itself with, so it visits loopback only",
			"give the full host name of the machine that probes (--ehlo)"),
		leavesOpen("probe.opted-out", "R36", "the probe was asked to stay away, and did",
			"nothing; to be probed again, ask the list's operator to strike the entry from the opt-out list"),
		leavesOpen("vantage.withdrawn", "R36", "the canary domain looked wrong from this vantage, so nothing that it saw counts",
			"check the vantage's own network: outbound port 25, SMTP inspection, resolver"),
	}
}
