package postfix

import (
	"strings"

	"github.com/starttls-everywhere/policylist/pipeline/lab"
)

// own are domains that publish a policy themselves, by MTA-STS or DANE.
var own = []destination{
	// The list is out of date; what the domain says now counts.
	{domain: "moved.example", mode: "enforce", mxs: []string{"mx.before.example"}, hosts: []host{{"mx.moved.example", lab.Good}}, want: "Verified"},
	{domain: "leaving.example", mode: "enforce", mxs: []string{"mx.leaving.example"}, hosts: []host{{"mx.leaving.example", lab.WrongName}}, want: "Trusted"},
	// Not listed.
	{domain: "sts.example", hosts: []host{{"mx.sts.example", lab.Good}}, want: "Verified"},
	{domain: "broken.example", hosts: []host{{"mx.broken.example", lab.WrongName}}, want: notVerified},
	{domain: "taken.example", hosts: []host{{"mx.thief.example", lab.Good}}, want: notNamed},
	// The policy cannot be fetched; the list protects.
	{domain: "dark.example", mode: "enforce", mxs: []string{"mx.dark.example"}, hosts: []host{{"mx.dark.example", lab.WrongName}}, want: notVerified},
	{domain: "dim.example", mode: "enforce", mxs: []string{"mx.dim.example"}, hosts: []host{{"mx.dim.example", lab.Good}}, want: "Verified"},
	// DANE comes before the list and before the CA; without signatures it is none.
	{domain: "dane.example", mode: "enforce", mxs: []string{"mx.before.example"}, hosts: []host{{"mx.dane.example", lab.SelfSigned}}, want: "Verified"},
	{domain: "mismatch.example", hosts: []host{{"mx.mismatch.example", lab.Good}}, want: notVerified},
	{domain: "unsigned.example", mode: "enforce", mxs: []string{"mx.unsigned.example"}, hosts: []host{{"mx.unsigned.example", lab.SelfSigned}}, want: notVerified},
	{domain: "bogus.example", hosts: []host{{"mx.bogus.example", lab.Good}}, want: badTable},
}

// dane are the domains of own that have TLSA records, and what is wrong with them.
var dane = map[string]string{"dane.example": "", "mismatch.example": "another key", "unsigned.example": "not signed", "bogus.example": "no answer"}

// publishOwn has the domains of own publish their policies.
func (s *server) publishOwn() {
	s.t.Helper()
	for domain, text := range map[string]string{
		"moved.example": lab.STSPolicy("enforce", 604800, "mx.moved.example"), "leaving.example": lab.STSPolicy("testing", 604800, "mx.leaving.example"),
		"sts.example": lab.STSPolicy("enforce", 604800, "mx.sts.example"), "broken.example": lab.STSPolicy("enforce", 604800, "mx.broken.example"),
		"taken.example": lab.STSPolicy("enforce", 604800, "mx.taken.example"), "dark.example": lab.STSPolicy("none", 604800),
		"dim.example": lab.STSPolicy("none", 604800),
	} {
		s.must(s.lab.SetSTS(domain, text))
	}
	s.lab.SetWebFault("mta-sts.dark.example", lab.WebNoTLS)
	s.lab.SetWebFault("mta-sts.dim.example", lab.WebCert)
	for domain, fault := range dane {
		mx := "mx." + domain
		sent, err := s.lab.Sent(mx)
		s.must(err)
		record := s.lab.TLSA(mx, 3, 1, 1, sent[0])
		if fault == "another key" {
			record = s.lab.TLSAName(mx) + " 60 IN TLSA 3 1 1 " + strings.Repeat("ab", 32)
		}
		s.must(s.lab.AddRecord(record))
		s.lab.SetSecure(fault != "not signed", domain, mx, s.lab.TLSAName(mx))
		if fault == "no answer" {
			s.must(s.lab.SetFault(s.lab.TLSAName(mx), "TLSA", lab.DNSServFail))
		}
	}
}
