package survey

import (
	"slices"

	"github.com/starttls-everywhere/policylist/pipeline/probe"
	"github.com/starttls-everywhere/policylist/policy/discovery"
)

// daneClass is what senders that know DANE (RFC 7672) make of the MX hosts at which somebody may answer.
func daneClass(r probe.Record, mail, trustAD bool) string {
	switch {
	case mxClass(r.Observed) == inconclusive:
		return inconclusive
	case !mail:
		return noMail
	case !trustAD:
		return inconclusive
	}
	kinds := make(map[string]int)
	total := 0
	for _, h := range r.Observed.Hosts {
		if len(h.Sessions) > 0 {
			kinds[hostKind(h)]++
			total++
		}
	}
	usable := kinds[string(discovery.DANEUsable)]
	switch {
	case slices.ContainsFunc(r.Codes, isMismatch):
		return "mismatch"
	case kinds[inconclusive] > 0, total == 0:
		return inconclusive
	case usable == total:
		return "valid"
	case usable > 0:
		return "partial"
	case kinds[string(discovery.DANEUnusable)] > 0:
		return "unusable"
	case kinds[string(discovery.DANENone)] > 0:
		return none
	}
	return "insecure"
}

func isMismatch(code string) bool {
	return code == "dane.mismatch" || code == "dane.ta-not-in-chain" || code == "dane.name"
}

// hostKind is the host's discovery.DANEKind, or inconclusive: usable records that no server could be held against prove
// nothing.
func hostKind(h probe.Host) string {
	if h.DANE == nil {
		return string(discovery.DANEInsecure)
	}
	switch discovery.DANEKind(h.DANE.Kind) {
	case discovery.DANENone, discovery.DANEUnusable:
		return h.DANE.Kind
	case discovery.DANEUsable:
		if len(h.DANE.Matches) > 0 {
			return h.DANE.Kind
		}
	}
	return inconclusive
}
