package mtasts

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/starttls-everywhere/policylist/policy"
)

// MaxPolicyBytes is the most that a sender reads of a policy (RFC 8461 section 3.3 suggests 64 KB).
const MaxPolicyBytes = 64 << 10

// maxMaxAge is the largest max_age, about a year, in seconds (RFC 8461 section 3.2).
const maxMaxAge = 31557600

var (
	// ErrPolicy is what every refused policy wraps.
	ErrPolicy = errors.New("not a valid MTA-STS policy")
	// ErrNoMX is the ErrPolicy of a policy that names no usable MX although its mode needs one. Taken for an empty list
	// it would stop all mail (a typing error, "nmx:", once did).
	ErrNoMX = fmt.Errorf("%w: no usable mx", ErrPolicy)
)

// Mode is a policy's mode (RFC 8461 section 5). Unlike the list's it knows "none".
type Mode string

const (
	Enforce Mode = "enforce" // without it no delivery
	Testing Mode = "testing" // delivered all the same, and reported
	None    Mode = "none"    // the domain has no policy any more
)

// Policy is an MTA-STS policy. MXs are sorted and unique, in the list's spelling; with None they may be empty.
type Policy struct {
	Mode   Mode
	MaxAge time.Duration
	MXs    []policy.MXPattern
	// Unusable are mx values that name no host: addresses, "*" in odd places. They match nothing.
	Unusable []string
	// Deviations say where the text strays from the grammar, in the order of the text: a strict reader would refuse it.
	Deviations []string
}

// Strict reports whether the text keeps to the grammar.
func (p Policy) Strict() bool { return len(p.Deviations) == 0 }

// Allows reports whether host may receive the domain's mail (RFC 8461 section 4.1).
func (p Policy) Allows(host policy.Domain) bool {
	return slices.ContainsFunc(p.MXs, func(m policy.MXPattern) bool { return m.Matches(host) })
}

// ParsePolicy reads a policy text. Lines end in LF or CRLF, the last may have no end. Unknown fields are ignored, of a
// repeated field other than mx the first counts (RFC 8461 section 3.2). Errors wrap ErrPolicy and name the line.
func ParsePolicy(text []byte) (Policy, error) {
	if len(text) > MaxPolicyBytes {
		return Policy{}, fmt.Errorf("%w: %d bytes, the most is %d", ErrPolicy, len(text), MaxPolicyBytes)
	}
	r := &reader{first: make(map[string]string)}
	lines := strings.Split(strings.TrimSuffix(string(text), "\n"), "\n")
	for i, line := range lines {
		if err := r.line(i+1, strings.TrimSuffix(line, "\r")); err != nil {
			return Policy{}, err
		}
	}
	return r.finish()
}

// reader collects the fields of a policy.
type reader struct {
	policy Policy
	first  map[string]string // field name to the first value
}

func (r *reader) deviates(n int, format string, args ...any) {
	r.policy.Deviations = append(r.policy.Deviations, fmt.Sprintf("line %d: ", n)+fmt.Sprintf(format, args...))
}

func (r *reader) line(n int, line string) error {
	if trim(line) == "" {
		r.deviates(n, "it is blank")
		return nil
	}
	name, value, ok := strings.Cut(line, ":")
	if !ok {
		return fmt.Errorf("%w: line %d: %q has no colon", ErrPolicy, n, cut(line))
	}
	value = trim(value)
	if bare := trim(name); bare != name {
		r.deviates(n, "blanks around the name %q", bare)
		name = bare
	}
	if !fieldName(name) {
		return fmt.Errorf("%w: line %d: %q is no name of a field", ErrPolicy, n, cut(name))
	}
	if !all(value, func(c byte) bool { return c >= 0x20 && c != 0x7f }) || value == "" {
		// A lone CR ends up here: it is no line end.
		return fmt.Errorf("%w: line %d: value %q", ErrPolicy, n, cut(value))
	}
	if name == "mx" {
		r.mx(n, value)
		return nil
	}
	if _, again := r.first[name]; again {
		r.deviates(n, "a second %q", name)
		return nil
	}
	r.first[name] = value
	return nil
}

// mx takes "host" or "*.suffix". Spelling that differs from the canonical one is mended, what names no host is kept
// apart.
func (r *reader) mx(n int, value string) {
	p, err := policy.NormalizeMXPattern(value)
	if err != nil || strings.HasPrefix(value, ".") {
		r.policy.Unusable = append(r.policy.Unusable, cut(value))
		r.deviates(n, "mx %q names no host", cut(value))
		return
	}
	if p.STS() != strings.ToLower(value) { // names are case-insensitive
		r.deviates(n, "mx %q should be written %q", cut(value), p.STS())
	}
	r.policy.MXs = append(r.policy.MXs, p)
}

func (r *reader) finish() (Policy, error) {
	p := r.policy
	for _, name := range []string{"version", "mode", "max_age"} {
		if _, ok := r.first[name]; !ok {
			return Policy{}, fmt.Errorf("%w: no %s", ErrPolicy, name)
		}
	}
	if v := r.first["version"]; v != "STSv1" {
		return Policy{}, fmt.Errorf("%w: version %q", ErrPolicy, cut(v))
	}
	switch p.Mode = Mode(r.first["mode"]); p.Mode {
	case Enforce, Testing, None:
	default:
		return Policy{}, fmt.Errorf("%w: mode %q", ErrPolicy, cut(string(p.Mode)))
	}
	age := r.first["max_age"]
	seconds, err := strconv.ParseUint(age, 10, 64)
	if err != nil || len(age) > 10 || seconds > maxMaxAge {
		return Policy{}, fmt.Errorf("%w: max_age %q is not 0 to %d seconds", ErrPolicy, cut(age), maxMaxAge)
	}
	p.MaxAge = time.Duration(seconds) * time.Second
	slices.SortFunc(p.MXs, func(a, b policy.MXPattern) int { return strings.Compare(a.String(), b.String()) })
	p.MXs = slices.Compact(p.MXs)
	if len(p.MXs) == 0 && p.Mode != None {
		return Policy{}, ErrNoMX
	}
	return p, nil
}

// cut keeps foreign text in messages short; %q around it keeps it harmless.
func cut(s string) string {
	const most = 100
	if len(s) > most {
		return s[:most] + "..."
	}
	return s
}
