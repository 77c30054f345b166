package probe

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"hash"
	"io"

	"github.com/starttls-everywhere/policylist/policy"
	"github.com/starttls-everywhere/policylist/policy/canonical"
)

// maxMergedLine caps one line of a merged file: four vantages whose lines are as long as any may be, or many more of
// usual ones.
const maxMergedLine = 16 << 20

// mergedHeader is the first line of a merged file: the header lines of the files that it joins, sorted by vantage and
// shard, and the quorum.
type mergedHeader struct {
	files  [][]byte
	quorum int
}

// mergedEnd is the last line: for each file its digest and signature, so that the files can be made again from the
// merged one, byte for byte, and their signatures verified.
type mergedEnd struct {
	files []sourceEnd
}

type sourceEnd struct {
	SHA256    string         `json:"sha256"` // of the whole file
	Signature *signatureLine `json:"signature,omitempty"`
}

// mergedWriter writes a merged file and its digest.
type mergedWriter struct {
	out io.Writer // nil: the digest only
	sum hash.Hash
	buf []byte
}

func newMergedWriter(out io.Writer) *mergedWriter { return &mergedWriter{out: out, sum: sha256.New()} }

func (w *mergedWriter) digest() string { return hex.EncodeToString(w.sum.Sum(nil)) }

// line refuses what no Reader would take.
func (w *mergedWriter) line(b []byte) error {
	if len(b) > maxMergedLine {
		return fmt.Errorf("%w: a merged line of %d bytes, the most is %d", ErrEvidence, len(b), maxMergedLine)
	}
	w.buf = append(b, '\n')
	w.sum.Write(w.buf)
	if w.out == nil {
		return nil
	}
	if _, err := w.out.Write(w.buf); err != nil {
		return fmt.Errorf("write evidence: %w", err)
	}
	return nil
}

func (w *mergedWriter) header(sources []*source, quorum int) error {
	var raw [][]byte
	for _, s := range sources {
		raw = append(raw, s.raw)
	}
	return w.line(appendMergedHeader(w.buf[:0], raw, quorum))
}

func appendMergedHeader(b []byte, files [][]byte, quorum int) []byte {
	b = append(b, `{"files":`...)
	b = appendList(b, files)
	return fmt.Appendf(b, `,"format":"%s","kind":"merged","quorum":%d}`, evidenceFormat, quorum)
}

func appendList(b []byte, elements [][]byte) []byte {
	b = append(b, '[')
	b = append(b, bytes.Join(elements, []byte(","))...)
	return append(b, ']')
}

// domain writes a line; seen are the vantages' own, as they stand in their files.
func (w *mergedWriter) domain(m Merged, seen [][]byte) error {
	return w.line(appendMerged(w.buf[:0], m, seen))
}

// appendMerged writes codes and names without escapes: they hold nothing that needs one.
func appendMerged(b []byte, m Merged, seen [][]byte) []byte {
	b = fmt.Appendf(b, `{"at":"%s","codes":[`, formatTime(m.At))
	for i, c := range m.Codes {
		if i > 0 {
			b = append(b, ',')
		}
		b, _ = canonical.AppendString(b, c) // codes are printable: they were read from canonical lines
	}
	b = fmt.Appendf(b, `],"domain":"%s","kind":"domain"`, m.Domain)
	if m.Policy != nil {
		b = append(append(b, `,"policy":`...), m.Policy...)
	}
	b = appendList(append(b, `,"seen":`...), seen)
	return fmt.Appendf(b, `,"since":"%s","verdict":"%s"}`, formatTime(m.Since), m.Verdict)
}

func (w *mergedWriter) end(files []sourceEnd) error {
	return w.line(appendLine(w.buf[:0], struct {
		Files []sourceEnd `json:"files"`
		Kind  string      `json:"kind"`
	}{files, "end"}))
}

// parseMergedHeader reads the first line of a merged file.
func parseMergedHeader(m memberMap) (*mergedHeader, error) {
	files, err := canonical.Elements(m.raw("files"))
	if err != nil {
		return nil, fmt.Errorf("%w: files: %w", ErrEvidence, err)
	}
	s := canonical.NewScanner(m.raw("quorum"))
	quorum := s.Int()
	if err := s.Done(); err != nil || quorum < 1 || quorum > MaxQuorum || len(files) == 0 || len(files) > maxMergedFiles {
		return nil, fmt.Errorf("%w: no files, too many, or no quorum", ErrEvidence)
	}
	return &mergedHeader{files: files, quorum: int(quorum)}, nil
}

// parseMergedEnd reads the last line of a merged file of that many files.
func parseMergedEnd(line []byte, files int) (*mergedEnd, error) {
	var end struct {
		Files []sourceEnd `json:"files"`
		Kind  string      `json:"kind"`
	}
	if err := readCanonical(line, &end); err != nil {
		return nil, err
	}
	if end.Kind != "end" || len(end.Files) != files {
		return nil, fmt.Errorf("%w: the last line is about %d files, the first about %d", ErrEvidence, len(end.Files), files)
	}
	return &mergedEnd{files: end.Files}, nil
}

// VerifyMerged reads a merged file and merges what it holds again: every line must come out as it stands there, and
// with Keys every vantage's file, made again from it, must be signed. A stranger needs nothing else. o.Quorum of 0 takes
// the file's own; any other must be the file's. each gets the domains before it is known whether the rest is good.
func VerifyMerged(in io.Reader, limit int64, o MergeOptions, each func(Merged) error) (MergeReport, error) {
	r, err := NewReader(in, limit)
	if err != nil {
		return MergeReport{}, err
	}
	if !r.Merged() {
		return MergeReport{}, r.at(fmt.Errorf("%w: it is of one vantage, not merged", ErrEvidence))
	}
	if o.Quorum != 0 && o.Quorum != r.merged.quorum {
		return MergeReport{}, r.at(fmt.Errorf("%w: merged with a quorum of %d instead of %d", ErrEvidence, r.merged.quorum, o.Quorum))
	}
	o.Quorum = r.merged.quorum
	v := &verifier{merger: merger{MergeOptions: o, out: newMergedWriter(nil), each: each,
		report: MergeReport{Verdicts: make(map[Verdict]int)}}, in: r}
	if err := v.open(); err != nil {
		return v.report, r.at(err)
	}
	return v.report, v.run()
}

// verifier plays a merge again.
type verifier struct {
	merger
	in   *Reader
	sums []hash.Hash // of the files that the merged one was made of
}

func (v *verifier) open() error {
	for i, raw := range v.in.merged.files {
		m, err := namedMembers(raw)
		if err != nil {
			return err
		}
		h, err := parseHeader(raw)
		if err != nil {
			return err
		}
		if m.text("kind") != "header" || m.text("format") != evidenceFormat {
			return fmt.Errorf("%w: file %d has no header of %s", ErrEvidence, i+1, evidenceFormat)
		}
		s, err := newSource("", h, raw)
		if err != nil {
			return err
		}
		s.name = fmt.Sprintf("vantage %s (%s)", s.vantage, s.shard.describe())
		if i > 0 && v.sources[i-1].compare(s) >= 0 {
			return fmt.Errorf("%w: files are not sorted by vantage and shard", ErrEvidence)
		}
		sum := sha256.New()
		sum.Write(append(bytes.Clone(raw), '\n'))
		v.sources, v.sums = append(v.sources, s), append(v.sums, sum)
	}
	if err := v.arrange(); err != nil {
		return err
	}
	if !bytes.Equal(v.in.first, appendMergedHeader(nil, v.in.merged.files, v.Quorum)) {
		return fmt.Errorf("%w: the header has members that a merge does not write", ErrEvidence)
	}
	return nil
}

func (v *verifier) run() error {
	var line Line
	var err error
	for line, err = v.in.Next(); err == nil; line, err = v.in.Next() {
		if err := v.check(line); err != nil {
			return v.in.at(err)
		}
	}
	if err != io.EOF {
		return err
	}
	for i, s := range v.sources {
		if err := v.signed(i, v.in.sources.files[i]); err != nil {
			return v.in.at(fmt.Errorf("%s: %w", s.name, err))
		}
	}
	if v.Keys == nil {
		v.report.Notes = append(v.report.Notes, "no keys were given, so anybody may have written this file")
	}
	v.report.SHA256, v.report.Feedback = v.in.SHA256(), v.in.Feedback()
	return nil
}

// check merges the lines inside a merged one again.
func (v *verifier) check(line Line) error {
	var votes []Vote
	var seen [][]byte
	last := -1
	for _, own := range line.Seen {
		i, err := v.origin(own, line.Domain)
		if err != nil {
			return err
		}
		if i <= last {
			return fmt.Errorf("%w: %s: what was seen is not sorted by vantage", ErrEvidence, line.Domain)
		}
		last = i
		v.sums[i].Write(own.Raw)
		v.sums[i].Write([]byte{'\n'})
		votes, seen = append(votes, v.sources[i].vote(own)), append(seen, own.Raw)
	}
	if len(votes) == 0 {
		return fmt.Errorf("%w: nobody saw %s", ErrEvidence, line.Domain)
	}
	merged := combine(line.Domain, votes, v.Quorum)
	if !bytes.Equal(appendMerged(nil, merged, seen), line.Raw) {
		return fmt.Errorf("%w: %s: what the vantages saw does not come out as this line", ErrEvidence, line.Domain)
	}
	v.count(merged)
	if v.each == nil {
		return nil
	}
	return v.each(merged)
}

// origin finds the file that a vantage's line comes from.
func (v *verifier) origin(own Line, d policy.Domain) (int, error) {
	for i, s := range v.sources {
		if s.vantage == own.Vantage && s.shard.Has(d) {
			if own.roots != s.roots {
				return 0, fmt.Errorf("%w: %s was seen with other roots than the header of vantage %s says", ErrEvidence, d, own.Vantage)
			}
			return i, own.within(s.started)
		}
	}
	return 0, fmt.Errorf("%w: %s was seen by %q, of whom no header stands at the top", ErrEvidence, d, own.Vantage)
}

// signed holds a file that was made again against its digest and, with Keys, its signature.
func (v *verifier) signed(i int, end sourceEnd) error {
	if end.Signature != nil {
		if got := hex.EncodeToString(v.sums[i].Sum(nil)); got != end.Signature.SHA256 {
			return fmt.Errorf("%w: its lines have digest %s, signed is %s", ErrEvidence, got, escape(end.Signature.SHA256, 64))
		}
		v.sums[i].Write(append(appendLine(nil, end.Signature), '\n'))
	}
	if got := hex.EncodeToString(v.sums[i].Sum(nil)); got != end.SHA256 {
		return fmt.Errorf("%w: the file had digest %s, its lines give %s", ErrEvidence, escape(end.SHA256, 64), got)
	}
	if v.Keys == nil {
		return nil
	}
	return end.Signature.verify(v.sources[i].vantage, v.Keys[v.sources[i].vantage])
}
