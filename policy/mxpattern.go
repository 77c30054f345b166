package policy

import (
	"fmt"
	"strings"
)

// MXPattern says which MX host names may receive a domain's mail: a full name, or ".suffix", where exactly one
// label stands in front of the dot (RFC 8461 section 4.1 writes the same as "*.suffix"). The zero value matches
// nothing. Patterns compare with ==.
type MXPattern struct{ text string }

// ParseMXPattern accepts s only in canonical form: "mx.example.org" or ".example.org", lower-case A-labels.
func ParseMXPattern(s string) (MXPattern, error) {
	if err := checkName(strings.TrimPrefix(s, ".")); err != nil {
		return MXPattern{}, fmt.Errorf("mx pattern: %w", err)
	}
	return MXPattern{s}, nil
}

// NormalizeMXPattern also accepts "*.suffix", capitals, U-labels and one trailing dot.
func NormalizeMXPattern(s string) (MXPattern, error) {
	rest, suffix := strings.CutPrefix(s, "*.")
	if !suffix {
		rest, suffix = strings.CutPrefix(s, ".")
	}
	d, err := NormalizeDomain(rest)
	if err != nil {
		return MXPattern{}, fmt.Errorf("mx pattern: %w", err)
	}
	if suffix {
		return MXPattern{"." + d.name}, nil
	}
	return MXPattern{d.name}, nil
}

// String returns the list's spelling: "mx.example.org" or ".example.org".
func (p MXPattern) String() string { return p.text }

// STS returns the spelling of RFC 8461: "mx.example.org" or "*.example.org".
func (p MXPattern) STS() string {
	if p.IsSuffix() {
		return "*" + p.text
	}
	return p.text
}

// IsSuffix reports whether the pattern stands for many hosts.
func (p MXPattern) IsSuffix() bool { return strings.HasPrefix(p.text, ".") }

// Base returns the name without the leading dot.
func (p MXPattern) Base() Domain { return Domain{strings.TrimPrefix(p.text, ".")} }

// Matches reports whether host is allowed: the same name, or one label in front of the suffix. ".example.org"
// matches neither "example.org" nor "a.b.example.org" (rule R23, R24).
func (p MXPattern) Matches(host Domain) bool {
	if !p.IsSuffix() {
		return p.text != "" && p.text == host.name
	}
	label, ok := strings.CutSuffix(host.name, p.text)
	return ok && label != "" && !strings.Contains(label, ".")
}

// Covers reports whether every host that q allows is allowed by p as well.
func (p MXPattern) Covers(q MXPattern) bool {
	if q.IsSuffix() {
		return p == q
	}
	return p.Matches(Domain{q.text})
}
