package probe

import (
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"github.com/starttls-everywhere/policylist/policy"
	"github.com/starttls-everywhere/policylist/policy/canonical"
)

// maxVantageName caps the name of a vantage, in bytes.
const maxVantageName = 64

// maxCodes caps the codes of one line.
const maxCodes = 512

// Line is one domain's line of an evidence file as far as merging and history need it; what was observed stays in Raw.
// Slices are those of the reader: they last until it reads on.
type Line struct {
	Domain  policy.Domain
	At      time.Time
	Since   time.Time
	Verdict Verdict
	Codes   []string
	Vantage string // "" in a merged file
	Policy  []byte // the list's entry that it was held against, canonical; nil for none
	Seen    []Line // in a merged file: the vantages' own lines
	Raw     []byte // the whole line

	roots string
}

// Record decodes the observation too.
func (l Line) Record() (Record, error) {
	var r Record
	if err := json.Unmarshal(l.Raw, &r); err != nil {
		return r, fmt.Errorf("%w: %s: %v", ErrEvidence, l.Domain, err)
	}
	return r, nil
}

// parseLine reads a domain's line, of a merged file or of a vantage's.
func parseLine(line []byte, merged bool) (Line, error) {
	m, err := namedMembers(line)
	if err != nil {
		return Line{}, err
	}
	return m.line(line, merged)
}

func (m memberMap) line(raw []byte, merged bool) (Line, error) {
	l := Line{Raw: raw, Verdict: Verdict(m.text("verdict")), Vantage: m.text("vantage"), Policy: m.raw("policy"), roots: m.text("roots")}
	var err error
	if kind := m.text("kind"); kind != "domain" {
		return l, fmt.Errorf("%w: kind %q", ErrEvidence, kind)
	}
	if l.Domain, err = policy.ParseDomain(m.text("domain")); err != nil {
		return l, fmt.Errorf("%w: %w", ErrEvidence, err)
	}
	if l.Verdict.rank() < 0 {
		return l, fmt.Errorf("%w: verdict %q of %s", ErrEvidence, l.Verdict, l.Domain)
	}
	if l.Codes, err = codesOf(m.raw("codes")); err != nil {
		return l, fmt.Errorf("%w: codes of %s: %w", ErrEvidence, l.Domain, err)
	}
	var err1, err2 error
	l.At, err1 = policy.ParseTime(m.text("at"))
	l.Since, err2 = policy.ParseTime(m.text("since"))
	if err1 != nil || err2 != nil || l.Since.After(l.At) {
		return l, fmt.Errorf("%w: times of %s: at %q, since %q", ErrEvidence, l.Domain, m.text("at"), m.text("since"))
	}
	if merged {
		return l, l.takeSeen(m.raw("seen"))
	}
	if o := m.raw("observed"); len(o) == 0 || o[0] != '{' || l.Vantage != escape(l.Vantage, maxVantageName) {
		return l, fmt.Errorf("%w: %s: no observation, or by nobody", ErrEvidence, l.Domain)
	}
	return l, nil
}

// takeSeen reads the vantages' own lines inside a merged one.
func (l *Line) takeSeen(list []byte) error {
	elements, err := canonical.Elements(list)
	if err != nil {
		return fmt.Errorf("%w: seen: %w", ErrEvidence, err)
	}
	for _, e := range elements {
		own, err := canonical.Members(e)
		if err != nil {
			return fmt.Errorf("%w: seen: %w", ErrEvidence, err)
		}
		line, err := memberMap(own).line(e, false)
		if err == nil && line.Domain != l.Domain {
			err = fmt.Errorf("%w: a line of %s inside that of %s", ErrEvidence, line.Domain, l.Domain)
		}
		if err != nil {
			return err
		}
		l.Seen = append(l.Seen, line)
	}
	return nil
}

// codesOf reads a list of codes, sorted and unique.
func codesOf(list []byte) ([]string, error) {
	elements, err := canonical.Elements(list)
	if err != nil {
		return nil, err
	}
	if len(elements) > maxCodes {
		return nil, fmt.Errorf("%d of them, the most is %d", len(elements), maxCodes)
	}
	codes := make([]string, len(elements))
	for i, e := range elements {
		s := canonical.NewScanner(e)
		codes[i] = s.Str(64)
		if err := s.Done(); err != nil {
			return nil, err
		}
	}
	if !slices.IsSorted(codes) || len(slices.Compact(slices.Clone(codes))) != len(codes) {
		return nil, fmt.Errorf("%q are not sorted and unique", codes)
	}
	return codes, nil
}
