// Package tlsrpt reads and writes the reports that mail servers send each other about TLS (RFC 8460), counts what they say,
// and makes the scrubbed documents with which a sender contributes to the list. It is pure: no clock, network or log.
//
// Reading is lenient, as reports come from dozens of programs: Read takes JSON or gzip whatever its label said, keeps all that
// makes sense, and says in a Note what did not. Writing is strict: what Marshal writes is RFC 8460 to the letter.
//
//	report, err := tlsrpt.Read(body, tlsrpt.DefaultLimits())
//	report.Attribute(tlsrpt.Hint{Domain: enrolled}) // for entries that name no domain
//	for _, t := range tlsrpt.Tallies(report) {
//		t.Domain, t.Day, t.Sessions, t.Failed   // d.example 2026-01-10 7 2
//		t.Policies[0].Results                   // [{certificate-expired 2}]
//	}
//	report.Key(submitter, domain).Digest()          // the same report twice counts once
//
// # The contribution profile
//
// What a sender gives to the list is an RFC 8460 document with less in it: one UTC day, listed domains, no address, host name,
// organisation or free text, counts as buckets, padded to a multiple of 16 KiB. Scrub makes it from reports,
// MarshalContribution writes its one form, ValidateContribution refuses everything else:
//
//	{"date-range":{"end-datetime":"2026-01-10T23:59:59Z","start-datetime":"2026-01-10T00:00:00Z"},"policies":[
//	{"failure-details":[{"failed-session-count":20,"receiving-mx-hostname":"unlisted-mx","result-type":"certificate-host-mismatch"}],
//	"policy":{"policy-domain":"d.example","policy-type":"sts"},
//	"summary":{"total-failure-session-count":20,"total-successful-session-count":100}}],
//	"report-id":"00112233445566778899aabbccddeeff"}
//
// (shown broken; it is one line of canonical JSON, then spaces.)
package tlsrpt
