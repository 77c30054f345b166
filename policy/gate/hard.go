package gate

import (
	"slices"
	"strings"
)

// HardFault reports whether a code of a probe is a fault for which the list's senders cannot deliver: no STARTTLS, no
// good certificate, a name that does not match, no server at all. Faults that touch only those who follow DANE or
// MTA-STS (dane.*, sts.*, cross.*) are none: the list's own senders deliver all the same. Nor is dns.nxdomain, which
// has a rule of its own (R48).
func HardFault(code string) bool {
	group, _, _ := strings.Cut(code, ".")
	switch group {
	case "cert", "starttls", "tls":
		return !slices.Contains(softOfThese(), code)
	}
	return slices.Contains([]string{
		"mx.none", "mx.null", "mx.null-malformed", "mx.null-mixed", "mx.underscore", "mx.bad-name", "mx.unresolvable",
		"smtp.dead", "smtp.no-ehlo",
	}, code)
}

// softOfThese are the codes of those groups that are no fault, or none that is sure.
func softOfThese() []string {
	return []string{"cert.expiring", "cert.stale-extra", "starttls.refused-temp", "tls.interrupted", "tls.sni-required"}
}
