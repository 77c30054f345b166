package probe

import (
	"slices"
	"strings"

	"github.com/starttls-everywhere/policylist/policy"
	"github.com/starttls-everywhere/policylist/policy/discovery"
	"github.com/starttls-everywhere/policylist/policy/mtasts"
)

func crossCodes() []effect {
	return []effect{
		warns("cross.mxs-wider", "R38", "the list allows MX hosts that the domain's MTA-STS policy does not",
			"narrow the entry's mxs to the MTA-STS policy's"),
		warns("cross.mxs-narrower", "R38", "the list does not allow all MX hosts that the domain's MTA-STS policy does",
			"widen the entry's mxs to the MTA-STS policy's"),
		warns("cross.mxs-differ", "R38", "the list and the domain's MTA-STS policy allow different MX hosts",
			"let the entry follow the MTA-STS policy"),
		notes("cross.mode-weaker", "R38", "the list says testing, the domain's MTA-STS policy enforce",
			"nothing: the entry is promoted after its passes"),
		warns("cross.mode-stronger", "R38", "the list says enforce, the domain's MTA-STS policy only testing",
			"let the entry follow the MTA-STS policy"),
		warns("cross.sts-none", "R35", "the domain is listed, but its MTA-STS policy has the mode none: the owner wants out",
			"remove the entry when the policy has stood for 48 hours"),
		notes("cross.dane-only", "R29", "senders that know DANE deliver to this server; those that verify by PKIX, the list's among them, do not",
			"use a certificate of a public certificate authority with the MX host's name, and keep the TLSA record in step"),
		notes("cross.pkix-only", "R29", "senders that verify by PKIX deliver to this server; those that know DANE, which goes first, do not",
			"put the TLSA records right"),
	}
}

// listed holds the list's entry against the MTA-STS policy: a valid one is the owner's word and wins, an absent one or one
// that cannot be fetched never does (R38).
func (j *judge) listed(s *STS) {
	if s == nil || s.Policy == nil || s.Status != string(discovery.STSOK) || len(j.policy.MXs) == 0 {
		return
	}
	if !s.Policy.binding() {
		j.add("cross.sts-none", "%s", j.domain)
		return
	}
	switch mode := mtasts.Mode(s.Policy.Mode); {
	case j.policy.Mode == policy.Testing && mode == mtasts.Enforce:
		j.add("cross.mode-weaker", "%s", j.domain)
	case j.policy.Mode == policy.Enforce && mode == mtasts.Testing:
		j.add("cross.mode-stronger", "%s", j.domain)
	}
	theirs := s.Policy.patterns()
	more, less := uncovered(j.policy.MXs, theirs), uncovered(theirs, j.policy.MXs)
	switch {
	case len(more) > 0 && len(less) > 0:
		j.add("cross.mxs-differ", "%s (only in the list %s; only in MTA-STS %s)", j.domain, strings.Join(more, " "), list(less))
	case len(more) > 0:
		j.add("cross.mxs-wider", "%s (only in the list %s)", j.domain, strings.Join(more, " "))
	case len(less) > 0:
		j.add("cross.mxs-narrower", "%s (only in MTA-STS %s)", j.domain, list(less))
	}
}

// uncovered are the patterns of which no pattern of by allows every host.
func uncovered(patterns, by []policy.MXPattern) []string {
	var out []string
	for _, p := range patterns {
		if !slices.ContainsFunc(by, func(q policy.MXPattern) bool { return q.Covers(p) }) {
			out = append(out, p.String())
		}
	}
	return out
}
