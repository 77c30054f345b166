package records

import (
	"slices"
	"strings"

	"github.com/starttls-everywhere/policylist/policy/discovery"
	"github.com/starttls-everywhere/policylist/policy/txtrecord"
)

const noteReports = "any mailbox or https: address that somebody reads; a mailbox of another domain still gets reports while mail to this one fails"

// tlsrpt is where reports go.
func (s Seen) tlsrpt() Record {
	rua := s.TLSRPT.RUA
	if s.TLSRPT.Status != discovery.TLSRPTOK || len(rua) == 0 {
		rua = []string{"mailto:tls-reports@" + s.Domain.String()}
	}
	r := Record{Kind: TLSRPT, Name: "_smtp._tls." + s.Domain.String(), Type: "TXT", Note: noteReports + aliased(s.TLSRPT.Answer)}
	r.Value = txtrecord.Format("v=TLSRPTv1", "rua="+strings.Join(rua, ","))
	switch s.TLSRPT.Status {
	case discovery.TLSRPTOK:
		r.State, r.Note = There, ""
	case discovery.TLSRPTNone:
		r.State = Missing
	case discovery.TLSRPTFailed, "":
		r.State = Unknown
		return r
	default:
		r.State = Differs
	}
	if len(s.TLSRPT.Faults) > 0 {
		r.State, r.Now, r.Note = Differs, s.TLSRPT.Answer.TXT, strings.Join(append(slices.Clone(s.TLSRPT.Faults), noteReports), "; ")
	}
	return r
}
