package probe

import (
	"cmp"
	"crypto/ed25519"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/starttls-everywhere/policylist/policy"
)

// maxMergedFiles caps the files of one merge: each is open while it lasts.
const maxMergedFiles = 1024

// MaxQuorum is the largest quorum of a merge: more vantages than files there cannot be.
const MaxQuorum = maxMergedFiles

// MergeOptions say what counts when vantage points are joined.
type MergeOptions struct {
	Quorum int // how many vantages must agree, at least 1
	// Keys of the vantages that count, by name: every file must be of one of them and signed by it. Nil: signatures are
	// not looked at, and the report says so.
	Keys map[string]ed25519.PublicKey
	// Window is how far apart the scans may have begun; 0 means any distance. A verdict by quorum of scans that are days
	// apart says nothing about any of those days.
	Window time.Duration
}

// EvidenceFile is an input of a merge. Name is for errors and notes only.
type EvidenceFile struct {
	Name string
	Open func() (io.ReadCloser, error)
}

// MergeReport is what a merge tells besides the domains.
type MergeReport struct {
	Notes     []string        // what a person should know: absent shards, withdrawn vantages, unsigned files
	Vantages  []string        // sorted; those that were withdrawn are among them
	Domains   int             //
	Verdicts  map[Verdict]int //
	Disagreed int             // domains of which one vantage says that mail arrives and another that it does not
	Oldest    time.Time       // when the first of the scans began
	Newest    time.Time       // when the last of the scans began
	NewestOf  string          // the vantage of that scan
	SHA256    string          // of the merged file
	Feedback  []byte          // of VerifyMerged: see Reader.Feedback
}

// Merge joins the files of several vantages, and the shards of one, into one line a domain, which it writes to out as
// merged evidence (nil: to nobody) and gives to each (nil: to nobody). It is a pure function of the files' bytes: in
// whatever order they come, the same bytes come out. It needs memory for one line a file. What was written before an
// error is not to be used: signatures stand at the ends of files.
func Merge(out io.Writer, files []EvidenceFile, o MergeOptions, each func(Merged) error) (MergeReport, error) {
	m := &merger{MergeOptions: o, out: newMergedWriter(out), each: each, report: MergeReport{Verdicts: make(map[Verdict]int)}}
	defer m.close()
	err := m.openAll(files)
	if err == nil {
		err = m.run()
	}
	return m.report, err
}

// merger is the state of one merge.
type merger struct {
	MergeOptions
	sources []*source
	opened  []io.Closer
	out     *mergedWriter
	each    func(Merged) error
	report  MergeReport
}

func (m *merger) close() {
	for _, c := range m.opened {
		c.Close()
	}
}

func (m *merger) openAll(files []EvidenceFile) error {
	if len(files) == 0 || len(files) > maxMergedFiles {
		return fmt.Errorf("%w: %d files, a merge takes 1 to %d", ErrEvidence, len(files), maxMergedFiles)
	}
	for _, f := range files {
		in, err := f.Open()
		if err != nil {
			return err
		}
		m.opened = append(m.opened, in)
		s, err := openSource(f.Name, in)
		if err != nil {
			return fmt.Errorf("%s: %w", f.Name, err)
		}
		m.sources = append(m.sources, s)
	}
	return m.arrange()
}

// arrange sorts the sources and looks at what they are together.
func (m *merger) arrange() error {
	slices.SortFunc(m.sources, (*source).compare)
	notes, err := checkSources(m.sources, m.MergeOptions)
	if err != nil {
		return err
	}
	m.report.Notes = notes
	for _, s := range m.sources {
		if n := len(m.report.Vantages); n == 0 || m.report.Vantages[n-1] != s.vantage {
			m.report.Vantages = append(m.report.Vantages, s.vantage)
		}
		if m.report.Oldest.IsZero() || s.started.Before(m.report.Oldest) {
			m.report.Oldest = s.started
		}
		if m.report.NewestOf == "" || s.started.After(m.report.Newest) {
			m.report.Newest, m.report.NewestOf = s.started, s.vantage
		}
	}
	return nil
}

func (m *merger) run() error {
	if err := m.out.header(m.sources, m.Quorum); err != nil {
		return err
	}
	for _, s := range m.sources {
		if err := s.advance(); err != nil {
			return err
		}
	}
	for {
		domain := m.first()
		if domain.IsZero() {
			break
		}
		if err := m.domain(domain); err != nil {
			return err
		}
	}
	if err := m.finish(); err != nil {
		return err
	}
	m.report.SHA256 = m.out.digest()
	return nil
}

// first is the lowest domain that any source stands at, zero when all have ended.
func (m *merger) first() policy.Domain {
	var lowest policy.Domain
	for _, s := range m.sources {
		if d := s.line.Domain; !d.IsZero() && (lowest.IsZero() || d.String() < lowest.String()) {
			lowest = d
		}
	}
	return lowest
}

// domain joins what all sources say of a domain, and leads those behind it.
func (m *merger) domain(d policy.Domain) error {
	var votes []Vote
	var seen [][]byte
	for _, s := range m.sources {
		if s.line.Domain == d {
			votes = append(votes, s.vote(s.line))
			seen = append(seen, s.line.Raw)
		}
	}
	merged := combine(d, votes, m.Quorum)
	if err := m.out.domain(merged, seen); err != nil {
		return err
	}
	m.count(merged)
	if m.each != nil {
		if err := m.each(merged); err != nil {
			return err
		}
	}
	for _, s := range m.sources {
		if s.line.Domain == d {
			if err := s.advance(); err != nil {
				return err
			}
		}
	}
	return nil
}

func (m *merger) count(d Merged) {
	m.report.Domains++
	m.report.Verdicts[d.Verdict]++
	if slices.Contains(d.Codes, codeDisagree) {
		m.report.Disagreed++
	}
}

// finish verifies the signatures, now that all files are read, and writes the last line.
func (m *merger) finish() error {
	var ends []sourceEnd
	for _, s := range m.sources {
		if m.Keys != nil {
			if err := s.reader.Verify(m.Keys[s.vantage]); err != nil {
				return fmt.Errorf("%s: %w", s.name, err)
			}
		}
		end := sourceEnd{SHA256: s.reader.SHA256(), Signature: s.reader.signature}
		if end.Signature == nil {
			m.report.Notes = append(m.report.Notes, fmt.Sprintf("%s is not signed", s.name))
		}
		ends = append(ends, end)
	}
	if m.Keys == nil {
		m.report.Notes = append(m.report.Notes, "no keys were given, so anybody may have written these files")
	}
	return m.out.end(ends)
}

// source is one file of a merge: a whole scan of a vantage or a shard of one.
type source struct {
	name      string
	vantage   string
	raw       []byte // its header line
	shard     Shard
	started   time.Time
	canary    bool // it has one
	roots     string
	withdrawn bool // the canary looked wrong: nothing that it saw counts

	reader *Reader
	line   Line // the one that it stands at; zero at the end
}

func newSource(name string, h Header, raw []byte) (*source, error) {
	started, err := h.started()
	if err != nil {
		return nil, err
	}
	shard, err := ParseShard(h.Shard)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrEvidence, err)
	}
	if h.Vantage == "" {
		return nil, fmt.Errorf("%w: the vantage has no name (probe --vantage NAME)", ErrEvidence)
	}
	s := &source{name: name, vantage: h.Vantage, raw: raw, shard: shard, started: started, roots: h.Roots, canary: h.Canary != nil}
	s.withdrawn = s.canary && h.Canary.Verdict != Pass && h.Canary.Verdict != Warn
	return s, nil
}

func (s *source) compare(t *source) int {
	return cmp.Or(strings.Compare(s.vantage, t.vantage), cmp.Compare(s.shard.N, t.shard.N), cmp.Compare(s.shard.I, t.shard.I))
}

// advance goes on to the next line.
func (s *source) advance() error {
	line, err := s.reader.Next()
	if err != nil && !errors.Is(err, io.EOF) {
		return fmt.Errorf("%s: %w", s.name, err)
	}
	s.line = line
	if err == nil && !s.shard.Has(line.Domain) {
		return fmt.Errorf("%s: %w", s.name, s.reader.at(fmt.Errorf("%w: %s does not belong to shard %s", ErrEvidence, line.Domain, s.shard)))
	}
	return nil
}

// vote is what the source's line counts for.
func (s *source) vote(l Line) Vote {
	v := Vote{Vantage: s.vantage, Verdict: l.Verdict, Codes: l.Codes, At: l.At, Since: l.Since, line: l}
	if s.withdrawn || slices.Contains(l.Codes, codeWithdrawn) {
		v.Void = codeWithdrawn
	}
	return v
}

// checkSources holds sorted sources against each other and against what is asked of them. The notes are for people.
func checkSources(sources []*source, o MergeOptions) (notes []string, err error) {
	if o.Quorum < 1 || o.Quorum > MaxQuorum {
		return nil, fmt.Errorf("%w: a quorum of %d, which is 1 to %d", ErrEvidence, o.Quorum, MaxQuorum)
	}
	oldest, newest, vantages := sources[0], sources[0], 0
	for i := 0; i < len(sources); {
		end := i + 1
		for end < len(sources) && sources[end].vantage == sources[i].vantage {
			end++
		}
		found, err := checkShards(sources[i:end])
		if err != nil {
			return nil, err
		}
		notes = append(notes, found...)
		vantages++
		i = end
	}
	for _, s := range sources {
		if s.started.Before(oldest.started) {
			oldest = s
		}
		if s.started.After(newest.started) {
			newest = s
		}
		if _, known := o.Keys[s.vantage]; o.Keys != nil && !known {
			return nil, fmt.Errorf("%s: %w: no key of a vantage %q is known", s.name, ErrEvidence, s.vantage)
		}
		switch {
		case s.withdrawn:
			notes = append(notes, fmt.Sprintf("%s: the canary looked wrong to %s, which counts as absent", s.name, s.vantage))
		case !s.canary:
			notes = append(notes, fmt.Sprintf("%s: %s looked at no canary", s.name, s.vantage))
		}
	}
	if apart := newest.started.Sub(oldest.started); o.Window > 0 && apart > o.Window {
		return nil, fmt.Errorf("%w: %s began %s before %s, and at most %s are allowed between the scans of one merge", ErrEvidence,
			oldest.name, apart, newest.name, o.Window)
	}
	if vantages < o.Quorum {
		notes = append(notes, fmt.Sprintf("%d vantages cannot be a quorum of %d: nothing can be decided", vantages, o.Quorum))
	}
	return notes, nil
}

// checkShards looks at the files of one vantage, sorted by shard: one whole scan, or shards of one partition.
func checkShards(files []*source) (notes []string, err error) {
	first := files[0]
	present := make(map[int]bool)
	for i, s := range files {
		if i > 0 && (s.shard == files[i-1].shard || s.shard.N != first.shard.N) {
			a, b := files[i-1], s
			return nil, fmt.Errorf("%w: %s (%s) and %s (%s) of vantage %s overlap: a vantage counts once", ErrEvidence,
				a.name, a.shard.describe(), b.name, b.shard.describe(), first.vantage)
		}
		present[s.shard.I] = true
	}
	var missing []string
	for i := 1; i <= first.shard.N; i++ {
		if !present[i] {
			missing = append(missing, Shard{i, first.shard.N}.String())
		}
	}
	if len(missing) > 0 {
		const most = 10
		if len(missing) > most {
			missing = append(missing[:most], fmt.Sprintf("and %d more", len(missing)-most))
		}
		notes = append(notes, fmt.Sprintf("vantage %s: missing shards: %s", first.vantage, strings.Join(missing, ", ")))
	}
	return notes, nil
}
