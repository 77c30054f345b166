package probe

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/starttls-everywhere/policylist/policy"
	"github.com/starttls-everywhere/policylist/policy/canonical"
)

// maxVantageName caps the name of a vantage, in bytes.
const maxVantageName = 64

// maxCodes caps the codes of a vantage's line; there are fewer in all.
const maxCodes = 256

// maxMergedCodes caps those of a merged line. It may have the codes of all its vantages and those of the merge: with a
// lower cap, a vantage could have a merge write what no reader takes.
const maxMergedCodes = maxMergedFiles * (maxCodes + 1)

// maxOwnDepth is how deep a vantage's line or header may nest. A merged one holds it in an object and a list, and
// canonical JSON ends at 32.
const maxOwnDepth = 30

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
	most := maxCodes
	if merged {
		most = maxMergedCodes
	}
	if l.Codes, err = codesOf(m.raw("codes"), most); err != nil {
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
	if i := slices.IndexFunc(l.Codes, notOfOne); i >= 0 {
		return l, fmt.Errorf("%w: %s: only several vantages or a release can give %q", ErrEvidence, l.Domain, l.Codes[i])
	}
	return l, checkDepth(raw)
}

// notOfOne reports whether a vantage cannot give the code: in a merged line it would pass for the merge's own.
func notOfOne(code string) bool {
	return code == codeDisagree || code == codeQuorum || code == codeOtherPolicy || strings.HasPrefix(code, "evidence.")
}

// checkDepth refuses a vantage's line or header, canonical already, that fits in no merged one.
func checkDepth(line []byte) error {
	depth := 0
	for i := 0; i < len(line); i++ {
		switch line[i] {
		case '"':
			i = stringEnd(line, i)
		case '{', '[':
			depth++
		case '}', ']':
			depth--
		}
		if depth > maxOwnDepth {
			return fmt.Errorf("%w: nested deeper than %d", ErrEvidence, maxOwnDepth)
		}
	}
	return nil
}

// stringEnd is where the string that begins at i ends. The line is canonical, so it does.
func stringEnd(line []byte, i int) int {
	for i++; line[i] != '"'; i++ {
		if line[i] == '\\' {
			i++
		}
	}
	return i
}

// maxScan is how long a scan may take. What a vantage says it saw before or long after it began is no part of that scan,
// and must not pass for fresh because the header is.
const maxScan = 7 * 24 * time.Hour

// within holds a vantage's line against the header's started.
func (l Line) within(started time.Time) error {
	if l.At.Before(started) || l.At.Sub(started) > maxScan {
		return fmt.Errorf("%w: %s was seen at %s, in a scan that began at %s and lasts %s at most", ErrEvidence,
			l.Domain, formatTime(l.At), formatTime(started), maxScan)
	}
	return nil
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
func codesOf(list []byte, most int) ([]string, error) {
	elements, err := canonical.Elements(list)
	if err != nil {
		return nil, err
	}
	if len(elements) > most {
		return nil, fmt.Errorf("%d of them, the most is %d", len(elements), most)
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
