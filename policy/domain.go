package policy

import (
	"errors"
	"fmt"
	"strings"

	"golang.org/x/net/idna"
)

// maxNameLen is the longest DNS name in text form without the trailing dot (RFC 1035 section 2.3.4).
const maxNameLen = 253

// ErrName is what every refused domain or MX name wraps.
var ErrName = errors.New("not a usable host name")

// Domain is a mail domain or a host name in its one form: lower-case A-labels, at least two labels, no trailing
// dot, at most 253 bytes. The zero value is no domain. Domains compare with == and may be map keys.
type Domain struct{ name string }

// ParseDomain accepts s only if it already is in canonical form. Errors wrap ErrName and say what is wrong.
func ParseDomain(s string) (Domain, error) {
	if err := checkName(s); err != nil {
		return Domain{}, err
	}
	return Domain{s}, nil
}

// NormalizeDomain brings what people write (capitals, U-labels, one trailing dot) into canonical form.
// The result is for display and repair; published bytes are read with ParseDomain.
func NormalizeDomain(s string) (Domain, error) {
	t := strings.TrimSuffix(s, ".")
	if isASCII(t) {
		t = strings.ToLower(t)
	} else {
		a, err := idna.Lookup.ToASCII(t)
		if err != nil {
			return Domain{}, fmt.Errorf("%w: %q has no IDNA form: %v", ErrName, s, err)
		}
		t = a
	}
	return ParseDomain(t)
}

// String returns the name, or "" for the zero value.
func (d Domain) String() string { return d.name }

// IsZero reports whether d holds no name.
func (d Domain) IsZero() bool { return d.name == "" }

// Parent returns the name without its first label; ok is false when fewer than two labels would stay.
func (d Domain) Parent() (parent Domain, ok bool) {
	_, rest, found := strings.Cut(d.name, ".")
	if !found || !strings.Contains(rest, ".") {
		return Domain{}, false
	}
	return Domain{rest}, true
}

func isASCII(s string) bool {
	for i := 0; i < len(s); i++ {
		if s[i] >= 0x80 {
			return false
		}
	}
	return true
}

// checkName is the whole syntax: LDH labels (RFC 5890 section 2.3.1), lower case, two labels or more, and a last
// label with a letter, so that an IPv4 address never passes for a name.
func checkName(s string) error {
	if s == "" {
		return fmt.Errorf("%w: it is empty", ErrName)
	}
	if len(s) > maxNameLen {
		return fmt.Errorf("%w: %d bytes, the most is %d", ErrName, len(s), maxNameLen)
	}
	labels, start := 0, 0
	for i := 0; i <= len(s); i++ {
		if i < len(s) && s[i] != '.' {
			continue
		}
		if err := checkLabel(s, start, i); err != nil {
			return err
		}
		labels++
		if i == len(s) && !hasLetter(s[start:i]) {
			return fmt.Errorf("%w: the last label of %q is all digits, as in an IP address", ErrName, s)
		}
		start = i + 1
	}
	if labels < 2 {
		return fmt.Errorf("%w: %q has a single label", ErrName, s)
	}
	return nil
}

func checkLabel(s string, start, end int) error {
	switch n := end - start; {
	case n == 0:
		return fmt.Errorf("%w: %q has an empty label", ErrName, s)
	case n > 63:
		return fmt.Errorf("%w: a label of %q has %d bytes, the most is 63", ErrName, s, n)
	}
	for i := start; i < end; i++ {
		switch c := s[i]; {
		case c >= 'a' && c <= 'z', c >= '0' && c <= '9':
		case c == '-':
			if i == start || i == end-1 {
				return fmt.Errorf("%w: a label of %q begins or ends with a hyphen", ErrName, s)
			}
		case c >= 'A' && c <= 'Z':
			return fmt.Errorf("%w: %q has capitals", ErrName, s)
		case c == '_':
			return fmt.Errorf("%w: %q has an underscore, which no certificate for a host may carry", ErrName, s)
		default:
			return fmt.Errorf("%w: %q has the byte %#02x at offset %d", ErrName, s, c, i)
		}
	}
	return nil
}

func hasLetter(label string) bool {
	for i := 0; i < len(label); i++ {
		if c := label[i]; c >= 'a' && c <= 'z' {
			return true
		}
	}
	return false
}
