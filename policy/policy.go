package policy

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
)

// Mode says what a sender does when no allowed MX can be reached over verified TLS (RFC 8461 section 5).
type Mode uint8

const (
	// Testing delivers all the same and reports.
	Testing Mode = iota + 1
	// Enforce does not deliver.
	Enforce
)

// ParseMode reads "testing" or "enforce"; the list has no "none".
func ParseMode(s string) (Mode, error) {
	switch s {
	case "testing":
		return Testing, nil
	case "enforce":
		return Enforce, nil
	}
	return 0, fmt.Errorf("mode %q is neither \"testing\" nor \"enforce\"", s)
}

// String returns the published spelling, "" for the zero value.
func (m Mode) String() string {
	switch m {
	case Testing:
		return "testing"
	case Enforce:
		return "enforce"
	}
	return ""
}

// MaxMXs is the most patterns that one policy may have (rule R41; the old list's largest had 8).
const MaxMXs = 16

// Policy is what the list says of one domain. MXs are sorted, unique, 1 to MaxMXs; NewPolicy makes it so.
// Policies are values: nobody changes MXs in place.
type Policy struct {
	Mode Mode
	MXs  []MXPattern
}

// NewPolicy sorts and deduplicates mxs; it refuses an empty or overlong set and an unknown mode.
func NewPolicy(mode Mode, mxs []MXPattern) (Policy, error) {
	if mode.String() == "" {
		return Policy{}, errors.New("policy without a mode")
	}
	sorted := slices.Clone(mxs)
	slices.SortFunc(sorted, func(a, b MXPattern) int { return cmp.Compare(a.text, b.text) })
	sorted = slices.Compact(sorted)
	if len(sorted) == 0 || len(sorted) > MaxMXs {
		return Policy{}, fmt.Errorf("policy with %d mxs: it takes 1 to %d", len(sorted), MaxMXs)
	}
	return Policy{Mode: mode, MXs: sorted}, nil
}

// Allows reports whether host may receive the domain's mail.
func (p Policy) Allows(host Domain) bool {
	return slices.ContainsFunc(p.MXs, func(m MXPattern) bool { return m.Matches(host) })
}

// Equal reports whether both say the same.
func (p Policy) Equal(q Policy) bool { return p.Mode == q.Mode && slices.Equal(p.MXs, q.MXs) }

// AppendJSON appends the canonical form, {"mode":"enforce","mxs":["mx.example.org"]}. Names hold nothing that
// JSON would escape.
func (p Policy) AppendJSON(b []byte) []byte {
	b = append(b, `{"mode":"`...)
	b = append(b, p.Mode.String()...)
	b = append(b, `","mxs":[`...)
	for i, m := range p.MXs {
		if i > 0 {
			b = append(b, ',')
		}
		b = append(b, '"')
		b = append(b, m.text...)
		b = append(b, '"')
	}
	return append(b, `]}`...)
}
