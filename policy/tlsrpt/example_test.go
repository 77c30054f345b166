package tlsrpt_test

import (
	"fmt"
	"strings"

	"github.com/starttls-everywhere/policylist/policy"
	"github.com/starttls-everywhere/policylist/policy/tlsrpt"
)

// A report from a sender that leaves out what it may not: it counts all the same, and the notes say what was amiss.
func ExampleRead() {
	report, err := tlsrpt.Read([]byte(`{
		"date-range": {"start-datetime": "2026-01-10T00:00:00", "end-datetime": "2026-01-10T23:59:59Z"}, "report-id": "7", "contact-info": null,
		"policies": [{"policy": {"policy-type": "sts", "policy-domain": "D.Example."},
			"summary": {"total-successful-session-count": 5, "total-failure-session-count": 2},
			"failure-details": [{"result-type": "certificate-expired", "failed-session-count": 2}]}]}`), tlsrpt.DefaultLimits())
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, t := range tlsrpt.Tallies(report) {
		fmt.Println(t.Domain, t.Day, t.Sessions, t.Failed, t.Policies[0].Results)
	}
	for _, n := range report.Notes {
		fmt.Println(n)
	}
	// Output:
	// d.example 2026-01-10 7 2 [{certificate-expired 2}]
	// /date-range/start-datetime: lenient: "2026-01-10T00:00:00" was read as 2026-01-10T00:00:00Z
	// /policies/0/policy/policy-domain: "D.Example." was read as d.example
}

// What of a report goes to the list: no address, no host name, no exact number.
func ExampleScrub() {
	domain, _ := policy.ParseDomain("d.example")
	mx, _ := policy.ParseMXPattern("mx.d.example")
	entry, _ := policy.NewPolicy(policy.Enforce, []policy.MXPattern{mx})
	day, _ := tlsrpt.ParseDay("2026-01-10")
	report := &tlsrpt.Report{Organization: "Sender", Begin: day.Begin(), End: day.End(), Policies: []tlsrpt.Policy{{
		Type: tlsrpt.STS, Domain: domain, Successful: 123, Failed: 23,
		Details: []tlsrpt.Detail{{Result: tlsrpt.CertificateHostMismatch, ReceivingMX: "mx.evil.example", Failed: 23}},
	}}}
	c := tlsrpt.Scrub([]*tlsrpt.Report{report}, day, "00112233445566778899aabbccddeeff", func(d policy.Domain) (policy.Policy, bool) {
		return entry, d == domain
	})
	body, err := tlsrpt.MarshalContribution(c)
	fmt.Println(len(body), err)
	fmt.Println(strings.NewReplacer("],", "],\n", "},", "},\n").Replace(strings.TrimRight(string(body), " ")))
	// Output:
	// 16384 <nil>
	// {"date-range":{"end-datetime":"2026-01-10T23:59:59Z","start-datetime":"2026-01-10T00:00:00Z"},
	// "policies":[{"failure-details":[{"failed-session-count":20,"receiving-mx-hostname":"unlisted-mx","result-type":"certificate-host-mismatch"}],
	// "policy":{"policy-domain":"d.example","policy-type":"sts"},
	// "summary":{"total-failure-session-count":20,"total-successful-session-count":100}}],
	// "report-id":"00112233445566778899aabbccddeeff"}
}
