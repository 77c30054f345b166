package probe

import (
	"net/netip"
	"strings"

	"github.com/starttls-everywhere/policylist/policy"
	"github.com/starttls-everywhere/policylist/policy/discovery"
	"github.com/starttls-everywhere/policylist/policy/mtasts"
)

func stsCodes() []effect {
	const redo = "see RFC 8461 section 3: one TXT record, and a policy over HTTPS with a valid certificate for mta-sts.<domain>"
	return []effect{
		warns("sts.record-many", "R31", "there are several MTA-STS records, which to senders is the same as none",
			"keep one record that begins with v=STSv1"),
		warns("sts.record-invalid", "R31", "the MTA-STS record is broken, which to senders is the same as none",
			"write \"v=STSv1; id=<1 to 32 letters and digits>;\""),
		leavesOpen("sts.lookup-failed", "R36", "whether there is an MTA-STS record could not be found out",
			"check that all name servers of the domain answer questions for TXT at _mta-sts"),
		warns("sts.no-host", "R31", "there is an MTA-STS record, but its policy host has no address",
			"publish the address of mta-sts.<domain>, or remove the record"),
		leavesOpen("sts.host-lookup-failed", "R36", "the address of the policy host could not be found out",
			"check the name servers that answer for mta-sts.<domain>"),
		warns("sts.private-address", "R31", "the policy host has only private or reserved addresses, which nobody outside can reach",
			"publish a public address for mta-sts.<domain>"),
		leavesOpen("sts.no-route", "R36", "this vantage cannot reach the policy host's kind of address",
			"probe from a host with IPv4 and IPv6; publish both for the policy host"),
		leavesOpen("sts.unreachable", "R36", "the policy host accepts no connections",
			"start the web server, open port 443, or remove the MTA-STS record"),
		leavesOpen("sts.timeout", "R36", "the policy did not arrive in time", "check the web server of mta-sts.<domain>"),
		warns("sts.tls", "R31", "the policy host speaks no TLS that senders of today accept", "allow TLS 1.2 or later"),
		warns("sts.certificate", "R31", "the policy host's certificate is not valid for its name, so senders refuse the policy",
			"issue a certificate for mta-sts.<domain>, also where a provider hosts the policy"),
		warns("sts.certificate-expiring", "R31", "the policy host's certificate expires soon",
			"renew it, and automate renewal and reload"),
		warns("sts.http", "R31", "the policy host's answer is broken HTTP", redo),
		warns("sts.redirect", "R31", "the policy host redirects, and senders do not follow",
			"serve the policy itself at the address that RFC 8461 names"),
		warns("sts.http-status", "R31", "the policy host has no policy",
			"serve it at /.well-known/mta-sts.txt with status 200"),
		warns("sts.encoding", "R31", "the policy comes compressed although nobody asked for that",
			"switch compression off for the policy"),
		warns("sts.too-large", "R31", "the policy is larger than 64 KB", "serve the policy text and nothing else"),
		warns("sts.media-type", "R31", "the policy's media type is not text/plain, so senders may refuse it",
			"send Content-Type: text/plain"),
		warns("sts.media-missing", "R31", "the policy has no Content-Type", "send Content-Type: text/plain"),
		warns("sts.policy-invalid", "R31", "the policy text is not valid, so senders ignore it", redo),
		warns("sts.no-mx", "R31", "the policy names no usable MX host although its mode needs one; some senders then deliver nothing",
			"write one \"mx: <host>\" line for each MX host, or \"mx: *.<domain>\""),
		warns("sts.deviation", "R31", "the policy strays from the grammar: lenient senders take it, strict ones ignore it",
			"write it as RFC 8461 section 3.2 does"),
		warns("sts.mx-address", "R13", "the policy names an IP address where a host name belongs", "name the MX host"),
		warns("sts.mx-unusable", "R22", "the policy has an mx that names no host",
			"write a full host name, or \"*.\" and a domain"),
		fails("sts.mx-not-covered", "R42", "a live MX host is not in the MTA-STS policy: senders that know MTA-STS do not deliver to it",
			"add the host to the policy and change the record's id, or remove the MX record"),
		warns("sts.mx-not-covered-dead", "R42", "an MX host that nobody answers for is not in the MTA-STS policy",
			"remove the MX record, or add the host to the policy"),
		warns("sts.unused-pattern", "R42", "an mx of the MTA-STS policy matches no MX record",
			"remove it, unless it is meant for a host to come"),
		notes("sts.mode-none", "R35", "the MTA-STS policy has the mode none: the domain is leaving MTA-STS",
			"nothing, if so meant"),
		notes("sts.short-lived", "R31", "the policy's max_age is below one day: no list entry can follow it",
			"set max_age to 86400 or more; 10886400 or more needs no further proof"),
		notes("sts.needs-proof", "R31", "the policy's max_age is below 18 weeks (10886400): a list entry that follows it needs the owner's proof",
			"set max_age to 10886400 or more, or publish the proof in the DNS"),
	}
}

// stsCode names the code of a search that did not end in a valid policy.
func stsCode(s discovery.STSStatus) string {
	return map[discovery.STSStatus]string{
		discovery.STSRecordMany: "sts.record-many", discovery.STSRecordInvalid: "sts.record-invalid",
		discovery.STSRecordFailed: "sts.lookup-failed", discovery.STSFetchNoHost: "sts.no-host",
		discovery.STSFetchDNS: "sts.host-lookup-failed", discovery.STSFetchForbidden: "sts.private-address",
		discovery.STSFetchNoRoute: "sts.no-route", discovery.STSFetchConnect: "sts.unreachable",
		discovery.STSFetchTimeout: "sts.timeout", discovery.STSFetchTLS: "sts.tls", discovery.STSFetchCertificate: "sts.certificate",
		discovery.STSFetchHTTP: "sts.http", discovery.STSFetchRedirect: "sts.redirect", discovery.STSFetchStatus: "sts.http-status",
		discovery.STSFetchEncoding: "sts.encoding", discovery.STSFetchSize: "sts.too-large", discovery.STSFetchMedia: "sts.media-type",
		discovery.STSPolicyInvalid: "sts.policy-invalid", discovery.STSPolicyNoMX: "sts.no-mx",
	}[s]
}

// sts judges the domain's MTA-STS by itself and against its MX hosts.
func (j *judge) sts(s *STS, names []mxName) {
	if s == nil {
		return
	}
	switch s.Status {
	case STSOptedOut:
		j.add("probe.opted-out", "mta-sts.%s", j.domain)
	case STSNoName:
		j.add("probe.no-ehlo", "mta-sts.%s", j.domain)
	}
	if id := stsCode(discovery.STSStatus(s.Status)); id != "" {
		j.add(id, "%s", join(j.domain.String(), s.Detail))
	}
	if s.Policy == nil {
		return
	}
	j.stsText(s)
	switch {
	case !s.Policy.binding():
		j.add("sts.mode-none", "%s", j.domain)
	case s.Policy.Track == string(mtasts.TrackNone):
		j.add("sts.short-lived", "%s (%d seconds)", j.domain, s.Policy.MaxAge)
	case s.Policy.Track == string(mtasts.TrackProof):
		j.add("sts.needs-proof", "%s (%d seconds)", j.domain, s.Policy.MaxAge)
	}
	if s.Policy.binding() {
		j.stsCoverage(s.Policy, names)
	}
}

// stsText judges what a valid policy's text, header and certificate have beside the necessary.
func (j *judge) stsText(s *STS) {
	if s.HTTP != nil && s.HTTP.Media == string(mtasts.MediaMissing) {
		j.add("sts.media-missing", "%s", j.domain)
	}
	if s.HTTP != nil && j.expiring(s.HTTP.NotBefore, s.HTTP.NotAfter) {
		j.add("sts.certificate-expiring", "%s (on %s)", j.domain, s.HTTP.NotAfter)
	}
	for _, d := range s.Policy.Deviations {
		j.add("sts.deviation", "%s (%s)", j.domain, d)
	}
	for _, mx := range s.Policy.Unusable {
		id := "sts.mx-unusable"
		if _, err := netip.ParseAddr(strings.Trim(mx, "[]")); err == nil {
			id = "sts.mx-address"
		}
		j.add(id, "%s (mx: %s)", j.domain, mx)
	}
}

// stsCoverage holds the MX hosts against the MTA-STS policy, both ways. In testing mode senders deliver all the same
// (RFC 8461 section 5).
func (j *judge) stsCoverage(p *STSPolicy, names []mxName) {
	patterns := p.patterns()
	live := j.add
	if p.Mode == string(mtasts.Testing) {
		live = j.soften
	}
	own := policy.Policy{MXs: patterns}
	for _, n := range names {
		switch {
		case own.Allows(n.Domain):
		case n.dead:
			j.add("sts.mx-not-covered-dead", "%s", n)
		default:
			live("sts.mx-not-covered", "%s", n)
		}
	}
	j.unused(names, patterns, "sts.unused-pattern", "MTA-STS ")
}
