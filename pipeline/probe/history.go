package probe

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/starttls-everywhere/policylist/policy"
)

// maxHistoryFiles caps the files of one history: each is open while it lasts. It is a year of three vantages and their
// merges.
const maxHistoryFiles = 4096

// History is what evidence files together say of one domain.
type History struct {
	Domain policy.Domain
	Spans  []Span // of merged evidence, then of each vantage; each of these in the order of time
}

// Span is a time over which a verdict stood.
type Span struct {
	Verdict  Verdict
	Since    time.Time // as the first evidence says, but not before the last that said something else
	Until    time.Time // when it was seen last
	Codes    []string  // all that were given meanwhile, sorted
	Vantages []string  // who saw it, sorted: of merged evidence those on the verdict's side
	Merged   bool      // decided by quorum
	Scans    int
}

// ReadHistory gives each domain's history to each, sorted by domain. It is a pure function of the files, merged or of one
// vantage, in whatever order; the same evidence twice counts once. It needs memory for one line a file. It looks at no
// signature. Errors about a file wrap ErrEvidence; two files that say different things of one vantage, domain and
// second are such an error.
func ReadHistory(files []EvidenceFile, each func(History) error) error {
	if len(files) > maxHistoryFiles {
		return fmt.Errorf("%w: %d files, a history takes at most %d", ErrEvidence, len(files), maxHistoryFiles)
	}
	queue, closeAll, err := openSorted(files)
	defer closeAll()
	if err != nil {
		return err
	}
	for len(queue) > 0 {
		h, err := queue.next()
		if err != nil {
			return err
		}
		if err := each(h); err != nil {
			return err
		}
	}
	return nil
}

// next collects all points of the first domain.
func (q *sortedQueue) next() (History, error) {
	domain := (*q)[0].line.Domain
	var points []point
	for len(*q) > 0 && (*q)[0].line.Domain == domain {
		c := (*q)[0]
		points = append(points, pointOf(c))
		if err := q.step(); err != nil {
			return History{}, err
		}
	}
	spans, err := spansOf(points)
	if err != nil {
		return History{}, fmt.Errorf("%s: %w", domain, err)
	}
	return History{domain, spans}, nil
}

// point is one look at a domain.
type point struct {
	series   string // "" for merged evidence, else the vantage
	file     string
	at       time.Time
	since    time.Time
	verdict  Verdict
	codes    []string
	vantages []string
}

func pointOf(c *sortedCursor) point {
	l := c.line
	p := point{series: l.Vantage, file: c.name, at: l.At, since: l.Since, verdict: l.Verdict, codes: l.Codes}
	if !c.reader.Merged() {
		p.vantages = []string{l.Vantage}
		return p
	}
	p.series = ""
	for _, own := range l.Seen {
		if own.Verdict == l.Verdict || own.Verdict.good() && l.Verdict.good() {
			p.vantages = append(p.vantages, own.Vantage)
		}
	}
	return p
}

func (p point) compare(q point) int {
	if c := strings.Compare(p.series, q.series); c != 0 {
		return c
	}
	if c := p.at.Compare(q.at); c != 0 {
		return c
	}
	return strings.Compare(p.file, q.file)
}

// says reports whether both are the same look, found in two files.
func (p point) says(q point) bool {
	return p.verdict == q.verdict && p.since.Equal(q.since) && slices.Equal(p.codes, q.codes)
}

func spansOf(points []point) ([]Span, error) {
	slices.SortFunc(points, point.compare)
	var spans []Span
	for i, p := range points {
		fresh := i == 0 || points[i-1].series != p.series
		if !fresh && points[i-1].at.Equal(p.at) {
			if !p.says(points[i-1]) {
				return nil, fmt.Errorf("%w: %s and %s say different things of one moment, %s", ErrEvidence, points[i-1].file, p.file, formatTime(p.at))
			}
			continue
		}
		if !fresh && spans[len(spans)-1].Verdict == p.verdict {
			spans[len(spans)-1].extend(p)
			continue
		}
		s := Span{Verdict: p.verdict, Since: p.since, Merged: p.series == ""}
		if !fresh && s.Since.Before(points[i-1].at) {
			s.Since = points[i-1].at
		}
		s.extend(p)
		spans = append(spans, s)
	}
	return spans, nil
}

// extend adds a later look that saw the same.
func (s *Span) extend(p point) {
	s.Until = p.at
	s.Scans++
	s.Codes = union(s.Codes, p.codes)
	s.Vantages = union(s.Vantages, p.vantages)
}

func union(a, b []string) []string {
	all := slices.Concat(a, b)
	slices.Sort(all)
	return slices.Compact(all)
}
