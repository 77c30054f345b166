package probe

import (
	"bufio"
	"bytes"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"io"
	"time"

	"github.com/starttls-everywhere/policylist/policy"
	"github.com/starttls-everywhere/policylist/policy/canonical"
)

// Reader reads an evidence file line by line, of one vantage or merged, in as much memory as its longest line. Lines
// must be canonical, sorted by domain and whole; members that it does not know are passed over, since later versions
// may see more. Errors about the file wrap ErrEvidence and name the line.
type Reader struct {
	in        *bufio.Scanner
	capped    *io.LimitedReader
	limit     int64
	sum       hash.Hash // over the lines so far
	n         int       // lines so far
	header    Header
	started   time.Time // of the header
	first     []byte    // the header line
	merged    *mergedHeader
	trustAD   map[string]bool // of a merged file, once somebody asked
	sources   *mergedEnd
	signature *signatureLine
	feedback  []byte // see Feedback
	ofVantage bool   // it is to be merged: nothing but what a vantage writes is in it
	last      policy.Domain
	err       error // what Next returns from now on
}

// NewReader reads the header. limit caps the bytes read.
func NewReader(r io.Reader, limit int64) (*Reader, error) {
	capped := &io.LimitedReader{R: r, N: limit + 1}
	e := &Reader{in: bufio.NewScanner(capped), capped: capped, limit: limit, sum: sha256.New()}
	e.in.Buffer(make([]byte, 0, 64<<10), maxMergedLine+1)
	e.in.Split(wholeLines)
	line, err := e.scan()
	if errors.Is(err, io.EOF) {
		err = fmt.Errorf("%w: it is empty", ErrEvidence)
	}
	if err == nil {
		err = e.open(bytes.Clone(line))
	}
	if err != nil {
		return nil, e.at(err)
	}
	return e, nil
}

// Header is the first line of a vantage's file; of a merged file it is zero.
func (e *Reader) Header() Header { return e.header }

// Merged reports whether the file joins several vantages.
func (e *Reader) Merged() bool { return e.merged != nil }

// TrustAD reports whether the vantage could tell what DNSSEC vouches for: only then does evidence without DANE say anything.
func (e *Reader) TrustAD(vantage string) bool {
	if e.merged == nil {
		return e.header.TrustAD > 0
	}
	if e.trustAD == nil {
		e.trustAD = make(map[string]bool)
		for _, raw := range e.merged.files {
			if h, err := parseHeader(raw); err == nil && h.TrustAD > 0 {
				e.trustAD[h.Vantage] = true
			}
		}
	}
	return e.trustAD[vantage]
}

// Feedback is, after io.EOF, the feedback table that a release put behind the vantages' lines, nil for none. It is canonical, and
// its digest is the one that stands beside it; who says so is the release.
func (e *Reader) Feedback() []byte { return e.feedback }

// SHA256 is the digest of all lines so far; after io.EOF, of the whole file.
func (e *Reader) SHA256() string { return hex.EncodeToString(e.sum.Sum(nil)) }

// read is how many bytes there were, after io.EOF.
func (e *Reader) read() int64 { return e.limit + 1 - e.capped.N }

// at puts the number of the line before an error about it.
func (e *Reader) at(err error) error { return fmt.Errorf("line %d: %w", max(e.n, 1), err) }

// scan returns the next line without its end, which the next call overwrites, and adds it to the digest.
func (e *Reader) scan() ([]byte, error) {
	if !e.in.Scan() {
		switch err := e.in.Err(); {
		case errors.Is(err, bufio.ErrTooLong):
			e.n++
			return nil, fmt.Errorf("%w: longer than %d bytes", ErrEvidence, maxMergedLine)
		case err != nil:
			e.n++
			return nil, err
		case e.capped.N == 0:
			return nil, fmt.Errorf("%w: larger than %d bytes", ErrEvidence, e.limit)
		}
		return nil, io.EOF
	}
	e.n++
	line := e.in.Bytes()
	if most := e.longest(); len(line) > most && !bytes.HasPrefix(line, []byte(feedbackPrefix)) {
		return nil, fmt.Errorf("%w: longer than %d bytes", ErrEvidence, most)
	}
	return line, nil
}

func (e *Reader) longest() int {
	if e.n == 1 || e.merged != nil {
		return maxMergedLine
	}
	return maxLine
}

// add puts a line that was read into the digest.
func (e *Reader) add(line []byte) {
	e.sum.Write(line)
	e.sum.Write([]byte{'\n'})
}

// wholeLines splits at LF and refuses a last line without one: that is what a killed writer leaves.
func wholeLines(data []byte, atEOF bool) (int, []byte, error) {
	if i := bytes.IndexByte(data, '\n'); i >= 0 {
		return i + 1, data[:i], nil
	}
	if atEOF && len(data) > 0 {
		return 0, nil, fmt.Errorf("%w: the last line has no end", ErrEvidence)
	}
	return 0, nil, nil
}

// open takes the first line, which it keeps.
func (e *Reader) open(line []byte) error {
	members, err := namedMembers(line)
	if err != nil {
		return err
	}
	e.first = line
	e.add(line)
	switch kind, format := members.text("kind"), members.text("format"); {
	case format != evidenceFormat || kind != "header" && kind != "merged":
		return fmt.Errorf("%w: no header of %s", ErrEvidence, evidenceFormat)
	case kind == "merged":
		e.merged, err = parseMergedHeader(members)
		return err
	}
	e.header, err = parseHeader(line)
	if err == nil {
		e.started, err = e.header.started()
	}
	return err
}

// maxHeader caps a vantage's header: the headers of all vantages must fit into one line of a merged file. Honest ones
// have less than a kilobyte.
const maxHeader = 64 << 10

// parseHeader reads a vantage's header from a line that is canonical.
func parseHeader(line []byte) (Header, error) {
	var h Header
	if len(line) > maxHeader {
		return h, fmt.Errorf("%w: header: longer than %d bytes", ErrEvidence, maxHeader)
	}
	if err := checkDepth(line); err != nil {
		return h, err
	}
	if err := json.Unmarshal(line, &h); err != nil {
		return h, fmt.Errorf("%w: header: %v", ErrEvidence, err)
	}
	if _, err := h.started(); err != nil {
		return h, err
	}
	if _, err := ParseShard(h.Shard); err != nil || h.Vantage != escape(h.Vantage, maxVantageName) || len(h.Roots) != 2*sha256.Size {
		return h, fmt.Errorf("%w: header: vantage, shard or roots are none", ErrEvidence)
	}
	return h, nil
}

func (h Header) started() (time.Time, error) {
	t, err := policy.ParseTime(h.Started)
	if err != nil {
		return t, fmt.Errorf("%w: started: %w", ErrEvidence, err)
	}
	return t, nil
}

// Next returns the next domain's line, which is valid until the next call, and io.EOF behind the last one.
func (e *Reader) Next() (Line, error) {
	if e.err != nil {
		return Line{}, e.err
	}
	line, err := e.next()
	if err != nil {
		if !errors.Is(err, io.EOF) {
			err = e.at(err)
		}
		e.err = err
	}
	return line, err
}

func (e *Reader) next() (Line, error) {
	line, err := e.scan()
	switch {
	case err != nil:
		return Line{}, e.ended(err)
	case bytes.HasPrefix(line, []byte(feedbackPrefix)) && !e.ofVantage && e.feedback == nil && (e.merged == nil || e.sources != nil):
		e.feedback, err = parseFeedback(line)
	case e.signature != nil || e.sources != nil || e.feedback != nil:
		return Line{}, fmt.Errorf("%w: a line after the last one", ErrEvidence)
	case bytes.HasPrefix(line, []byte(`{"key":`)) && e.merged == nil:
		err = e.takeSignature(line)
	case bytes.HasPrefix(line, []byte(`{"files":`)) && e.merged != nil:
		e.sources, err = parseMergedEnd(line, len(e.merged.files))
	default:
		l, err := e.parse(line)
		e.add(line)
		return l, err
	}
	if err != nil {
		return Line{}, err
	}
	e.add(line)
	return e.next() // which finds the end, or one line too many
}

// ended turns the end of a merged file that has not said how it ends into an error.
func (e *Reader) ended(err error) error {
	if errors.Is(err, io.EOF) && e.merged != nil && e.sources == nil {
		return fmt.Errorf("%w: a merged file without its last line", ErrEvidence)
	}
	return err
}

func (e *Reader) parse(line []byte) (Line, error) {
	l, err := parseLine(line, e.merged != nil)
	if err != nil {
		return l, err
	}
	if l.Domain.String() <= e.last.String() {
		return l, fmt.Errorf("%w: %s stands twice or behind %s: lines are sorted by domain", ErrEvidence, l.Domain, e.last)
	}
	if e.merged == nil && (l.Vantage != e.header.Vantage || l.roots != e.header.Roots) {
		return l, fmt.Errorf("%w: %s was seen by another vantage or with other roots than the header says", ErrEvidence, l.Domain)
	}
	if e.merged == nil {
		if err := l.within(e.started); err != nil {
			return l, err
		}
	}
	e.last = l.Domain
	return l, nil
}

func (e *Reader) takeSignature(line []byte) error {
	var s signatureLine
	if err := readCanonical(line, &s); err != nil {
		return err
	}
	if digest := e.SHA256(); s.Kind != "signature" || s.SHA256 != digest {
		return fmt.Errorf("%w: the signature is for %s, the lines before it have digest %s", ErrEvidence, escape(s.SHA256, 64), digest)
	}
	e.signature = &s
	return nil
}

// Verify reports, after io.EOF, whether the vantage with that key signed the file. Errors wrap ErrEvidence.
func (e *Reader) Verify(key ed25519.PublicKey) error {
	if e.err == nil || !errors.Is(e.err, io.EOF) {
		return fmt.Errorf("%w: it was not read to its end", ErrEvidence)
	}
	return e.signature.verify(e.header.Vantage, key)
}

// verify is about a signature whose digest was compared already; nil is none.
func (s *signatureLine) verify(vantage string, key ed25519.PublicKey) error {
	if s == nil {
		return fmt.Errorf("%w: it is not signed", ErrEvidence)
	}
	hint, err := keyHint(key)
	if err != nil {
		return err
	}
	sig, err := base64.StdEncoding.Strict().DecodeString(s.Signature)
	if err != nil || s.Key != hint || !ed25519.Verify(key, signedMessage(vantage, s.SHA256), sig) {
		return fmt.Errorf("%w: no signature of vantage %q by key %s", ErrEvidence, vantage, hint)
	}
	return nil
}

// Evidence is a vantage's file that was read into memory.
type Evidence struct {
	Header  Header
	Records map[policy.Domain]Record
	SHA256  string // of the whole file, as the release leaf names it

	signature *signatureLine
}

// ReadEvidence reads a vantage's file as a whole; Reader is for those that may be large.
func ReadEvidence(in io.Reader, limit int64) (*Evidence, error) {
	r, err := NewReader(in, limit)
	if err != nil {
		return nil, err
	}
	if r.Merged() {
		return nil, r.at(fmt.Errorf("%w: it joins several vantages", ErrEvidence))
	}
	e := &Evidence{Header: r.Header(), Records: make(map[policy.Domain]Record)}
	for {
		line, err := r.Next()
		if errors.Is(err, io.EOF) {
			e.SHA256, e.signature = r.SHA256(), r.signature
			return e, nil
		}
		if err != nil {
			return nil, err
		}
		if e.Records[line.Domain], err = line.Record(); err != nil {
			return nil, r.at(err)
		}
	}
}

// Verify reports whether the vantage with that key signed the file. Errors wrap ErrEvidence.
func (e *Evidence) Verify(key ed25519.PublicKey) error {
	return e.signature.verify(e.Header.Vantage, key)
}

// memberMap finds members by name.
type memberMap []canonical.Member

// namedMembers takes a line apart. Names are words in lower case at every level: encoding/json would take "Verdict" for
// "verdict", and then two readers could see two things in one line.
func namedMembers(line []byte) (memberMap, error) {
	members, err := canonical.Members(line)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrEvidence, err)
	}
	start := 0
	for i := 0; i < len(line); i++ {
		if line[i] != '"' {
			continue
		}
		start, i = i+1, stringEnd(line, i)
		// The line is canonical, so something follows every string, and a colon only what is a name.
		if line[i+1] == ':' && bytes.ContainsFunc(line[start:i], notWord) {
			return nil, fmt.Errorf("%w: a member is called %q: names are a-z, 0-9 and -", ErrEvidence, line[start:i])
		}
	}
	return members, nil
}

func notWord(c rune) bool { return (c < 'a' || c > 'z') && (c < '0' || c > '9') && c != '-' }

// raw is the value of a member, nil when it is not there.
func (m memberMap) raw(name string) []byte {
	for _, member := range m {
		if member.Name == name {
			return member.Value
		}
	}
	return nil
}

// text is the value of a string member, "" for any other.
func (m memberMap) text(name string) string {
	s := canonical.NewScanner(m.raw(name))
	v := s.Str(maxLine)
	if s.Done() != nil {
		return ""
	}
	return v
}
