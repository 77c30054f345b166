package policy

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"

	"github.com/starttls-everywhere/policylist/policy/canonical"
)

// maxLine is more than the longest line of a list: a domain and MaxMXs patterns.
const maxLine = 16 << 10

// ParseList reads policy.json strictly: what it accepts writes back to the same bytes. Errors wrap ErrList and give
// line and column.
func ParseList(data []byte) (Header, List, error) { return ReadList(bytes.NewReader(data), List{}) }

// ReadList is ParseList for a file that is too large to be held beside the list. The list shares with like, which may be
// any, the lines that both have, so that the next release of a list takes no memory but for its changes. r is read to its
// end unless there is an error, which wraps ErrList or is r's own.
func ReadList(r io.Reader, like List) (Header, List, error) {
	p := newListParser(r)
	h, err := p.header()
	if err != nil {
		return Header{}, List{}, err
	}
	l, err := p.policies(like)
	return h, l, err
}

// listParser reads line by line, so that an error knows its place and no token outlives its line.
type listParser struct {
	in   *bufio.Reader
	off  int // bytes read
	line int
	// known has policies that were found canonical before: most domains share theirs with others.
	known map[string]bool
}

func newListParser(r io.Reader) *listParser {
	return &listParser{in: bufio.NewReaderSize(r, maxLine), known: map[string]bool{}}
}

// next returns a line without its newline, valid until the next call.
func (p *listParser) next() ([]byte, error) {
	p.line++
	line, err := p.in.ReadSlice('\n')
	switch {
	case errors.Is(err, io.EOF):
		return nil, fmt.Errorf("%w: line %d: the file ends here; a newline or more is missing", ErrList, p.line)
	case errors.Is(err, bufio.ErrBufferFull):
		return nil, fmt.Errorf("%w: line %d: more than %d bytes, which no domain's line has", ErrList, p.line, maxLine)
	case err != nil:
		return nil, err
	}
	p.off += len(line)
	return line[:len(line)-1], nil
}

func (p *listParser) errorf(s *canonical.Scanner, err error) error {
	return fmt.Errorf("%w: line %d, column %d: %w", ErrList, p.line, s.Offset()+1, err)
}

func (p *listParser) header() (Header, error) {
	var h Header
	fields := []struct {
		before, after string
		read          func(s *canonical.Scanner)
	}{
		{`{`, ``, nil},
		{`"timestamp":`, `,`, func(s *canonical.Scanner) { h.Timestamp = scanTime(s) }},
		{`"expires":`, `,`, func(s *canonical.Scanner) { h.Expires = scanTime(s) }},
		{`"version":"0.1",`, ``, nil},
		{`"author":`, `,`, func(s *canonical.Scanner) { h.Author = s.Str(MaxAuthorLen) }},
		{`"policy-aliases":{},`, ``, nil},
		{`"policies":{`, ``, nil},
	}
	for _, f := range fields {
		line, err := p.next()
		if err != nil {
			return h, err
		}
		s := canonical.NewScanner(line)
		s.Literal(f.before)
		if f.read != nil {
			f.read(s)
		}
		s.Literal(f.after)
		if err := s.Done(); err != nil {
			return h, p.errorf(s, err)
		}
	}
	return h, nil
}

func scanTime(s *canonical.Scanner) time.Time {
	t, err := ParseTime(s.Str(len(TimeFormat)))
	if err != nil {
		s.Fail("%v", err)
	}
	return t
}

func (p *listParser) policies(like List) (List, error) {
	b := builder{like: like.blocks}
	var text []byte
	last, comma := "", true
	for {
		line, err := p.next()
		if err != nil {
			return List{}, err
		}
		if string(line) == "}" {
			break
		}
		s := canonical.NewScanner(line)
		if !comma {
			s.Fail("the line before has no comma")
		}
		d := scanDomain(s)
		if last >= d.name && last != "" {
			s.Fail("domains are not sorted and unique at %q", d)
		}
		comma = p.policy(s, line)
		if err := s.Err(); err != nil {
			return List{}, p.errorf(s, err)
		}
		text = append(append(text[:0], bytes.TrimSuffix(line, []byte(","))...), ",\n"...)
		b.add(d.name, text)
		last = d.name
	}
	if comma && last != "" {
		return List{}, fmt.Errorf("%w: line %d: a comma after the last domain", ErrList, p.line-1)
	}
	rest, err := io.ReadAll(io.LimitReader(p.in, int64(len(fileEnd)+1)))
	if err != nil {
		return List{}, err
	}
	if string(rest) != fileEnd {
		return List{}, fmt.Errorf("%w: line %d: the file must end with one closing brace and a newline", ErrList, p.line+1)
	}
	return b.list(), nil
}

// fileEnd follows the line that ends the policies.
const fileEnd = "}\n"

func scanDomain(s *canonical.Scanner) Domain {
	d, err := ParseDomain(s.Str(maxNameLen))
	if err != nil {
		s.Fail("%v", err)
	}
	s.Literal(":")
	return d
}

// policy takes the rest of line, a policy and perhaps a comma. What was found canonical once is so again.
func (p *listParser) policy(s *canonical.Scanner, line []byte) (comma bool) {
	text, comma := bytes.CutSuffix(line[s.Offset():], []byte(","))
	if s.Err() != nil || p.known[string(text)] {
		return comma
	}
	ScanPolicy(s, nil)
	comma = s.Try(",")
	if s.Done() == nil && len(p.known) < maxKnown {
		p.known[string(text)] = true
	}
	return comma
}

// ScanPolicy takes a policy in the form that AppendJSON writes. keep, unless nil, may return a shared copy of a
// pattern's text.
func ScanPolicy(s *canonical.Scanner, keep func(string) string) Policy {
	s.Literal(`{"mode":`)
	mode, err := ParseMode(s.Str(len("testing")))
	if err != nil {
		s.Fail("%v", err)
	}
	s.Literal(`,"mxs":[`)
	var few [4]MXPattern
	mxs := few[:0]
	for more := s.Err() == nil; more; more = s.Err() == nil && s.More("]") {
		text := s.Str(maxNameLen + 1)
		if keep != nil {
			text = keep(text)
		}
		m, err := ParseMXPattern(text)
		if err != nil {
			s.Fail("%v", err)
		}
		if len(mxs) > 0 && mxs[len(mxs)-1].text >= m.text {
			s.Fail("mxs are not sorted and unique at %q", text)
		}
		mxs = append(mxs, m)
	}
	if len(mxs) > MaxMXs {
		s.Fail("%d mxs, the most is %d", len(mxs), MaxMXs)
	}
	s.Literal("}")
	return Policy{Mode: mode, MXs: slices.Clone(mxs)}
}
