package feedback

import (
	"maps"
	"slices"

	"github.com/starttls-everywhere/policylist/mirror/trial"
	"github.com/starttls-everywhere/policylist/policy"
	"github.com/starttls-everywhere/policylist/policy/tlsrpt"
)

// logResults are what the codes of a log's tally mean in a report. The log of Postfix tells less than its reports: not whether a
// certificate has the wrong name, has expired or is of nobody's, and of deliveries that wait not always which host it was.
var logResults = map[trial.Code]tlsrpt.Detail{
	trial.CodeClear:       {Result: tlsrpt.STARTTLSNotSupported},
	trial.CodeHandshake:   {Result: tlsrpt.ValidationFailure},
	trial.CodeCertificate: {Result: tlsrpt.CertificateNotTrusted},
	trial.CodeMX:          {Result: tlsrpt.CertificateHostMismatch, ReceivingMX: string(tlsrpt.UnlistedMX)},
}

// FromLog makes a day's contribution of the counts of Postfix's log. It counts deliveries, one for each recipient, where reports
// count sessions. What went out without a word about TLS is left out.
func FromLog(t *trial.Tally, key Key, day tlsrpt.Day, listed func(policy.Domain) (policy.Policy, bool)) tlsrpt.Contribution {
	r := &tlsrpt.Report{Begin: day.Begin(), End: day.End()}
	for _, counted := range t.Domains {
		d, err := policy.ParseDomain(counted.Domain)
		p, ok := listed(d)
		at := slices.IndexFunc(counted.Days, func(on trial.Day) bool { return on.Date == day.String() })
		if err != nil || !ok || at < 0 {
			continue
		}
		r.Policies = append(r.Policies, ofLog(d, p.Mode, counted.Days[at]))
	}
	return tlsrpt.Scrub([]*tlsrpt.Report{r}, day, reportID(key, day), listed)
}

func ofLog(d policy.Domain, mode policy.Mode, on trial.Day) tlsrpt.Policy {
	// As Postfix calls the list's policies in its own reports, and what has none.
	out := tlsrpt.Policy{Type: tlsrpt.STS, Domain: d, Successful: on.Verified + on.Trusted, Failed: on.Failures()}
	if mode != policy.Enforce {
		out.Type = tlsrpt.NoPolicyFound
	}
	for _, code := range slices.Sorted(maps.Keys(on.Failed)) {
		detail, known := logResults[code]
		if !known {
			detail.Result = tlsrpt.ValidationFailure
		}
		detail.Failed = on.Failed[code]
		out.Details = append(out.Details, detail)
	}
	return out
}
