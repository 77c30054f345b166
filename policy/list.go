package policy

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"iter"
	"slices"
	"strings"
	"time"

	"github.com/starttls-everywhere/policylist/policy/canonical"
)

// TimeFormat is the one spelling of times in everything that is published: UTC, whole seconds.
const TimeFormat = "2006-01-02T15:04:05Z"

// ParseTime reads TimeFormat strictly: what it accepts formats back to itself.
func ParseTime(s string) (time.Time, error) {
	t, err := time.Parse(TimeFormat, s)
	if err != nil || t.Format(TimeFormat) != s {
		return time.Time{}, fmt.Errorf("time %q is not of the form YYYY-MM-DDTHH:MM:SSZ", s)
	}
	return t, nil
}

// MaxAuthorLen caps the author line, in bytes.
const MaxAuthorLen = 256

// ErrList is what every malformed published list wraps.
var ErrList = errors.New("malformed policy list")

// Entry is one domain's line.
type Entry struct {
	Domain Domain
	Policy Policy
}

// List is a set of entries, at most one a domain, sorted bytewise by domain. The zero value is the empty list.
// Lists are values that nobody changes: Apply returns a new one.
type List struct{ entries []Entry }

// NewList sorts entries, which it takes over; two entries of one domain are an error.
func NewList(entries []Entry) (List, error) {
	byDomain := func(a, b Entry) int { return cmp.Compare(a.Domain.name, b.Domain.name) }
	if !slices.IsSortedFunc(entries, byDomain) {
		slices.SortFunc(entries, byDomain)
	}
	for i := 1; i < len(entries); i++ {
		if entries[i].Domain == entries[i-1].Domain {
			return List{}, fmt.Errorf("%w: %s twice", ErrList, entries[i].Domain)
		}
	}
	return List{entries}, nil
}

// Len is the number of domains.
func (l List) Len() int { return len(l.entries) }

// Entries returns the sorted entries; the caller must not change them.
func (l List) Entries() []Entry { return l.entries }

// All iterates in order.
func (l List) All() iter.Seq2[Domain, Policy] {
	return func(yield func(Domain, Policy) bool) {
		for _, e := range l.entries {
			if !yield(e.Domain, e.Policy) {
				return
			}
		}
	}
}

// Lookup finds the policy of exactly d: the list knows no subdomains (rule R12).
func (l List) Lookup(d Domain) (Policy, bool) {
	i, ok := slices.BinarySearchFunc(l.entries, d, func(e Entry, d Domain) int { return cmp.Compare(e.Domain.name, d.name) })
	if !ok {
		return Policy{}, false
	}
	return l.entries[i].Policy, true
}

// Edit is one domain's new policy, or its removal when Policy is nil.
type Edit struct {
	Domain Domain
	Policy *Policy
}

// Apply returns l with edits, which must be sorted by domain and unique. It refuses an edit without effect: setting
// what already stands, removing what is not there.
func (l List) Apply(edits []Edit) (List, error) {
	if len(edits) == 0 {
		return l, nil
	}
	out := make([]Entry, 0, len(l.entries)+len(edits))
	rest := l.entries
	for i, e := range edits {
		if i > 0 && edits[i-1].Domain.name >= e.Domain.name {
			return List{}, fmt.Errorf("%w: changes are not sorted and unique at %s", ErrList, e.Domain)
		}
		n, found := slices.BinarySearchFunc(rest, e.Domain, func(x Entry, d Domain) int { return cmp.Compare(x.Domain.name, d.name) })
		out = append(out, rest[:n]...)
		rest = rest[n:]
		switch {
		case e.Policy == nil && !found:
			return List{}, fmt.Errorf("%w: %s is removed but not listed", ErrList, e.Domain)
		case e.Policy != nil && found && rest[0].Policy.Equal(*e.Policy):
			return List{}, fmt.Errorf("%w: %s is set to what it already is", ErrList, e.Domain)
		case e.Policy != nil:
			out = append(out, Entry{e.Domain, *e.Policy})
		}
		if found {
			rest = rest[1:]
		}
	}
	return List{append(out, rest...)}, nil
}

// Header is what policy.json says besides its policies.
type Header struct {
	Timestamp time.Time // when it was signed, UTC, whole seconds
	Expires   time.Time // when it stops counting, UTC, whole seconds
	Author    string    // printable ASCII, at most MaxAuthorLen bytes
}

// Write writes policy.json, format 0.1, in its only form and returns how many bytes and their SHA-256. One domain
// stands on each line; the last has no comma; a newline ends the file.
func (l List) Write(w io.Writer, h Header) (size int64, digest [32]byte, err error) {
	buf, err := appendHeader(make([]byte, 0, 1<<16), h)
	if err != nil {
		return 0, digest, err
	}
	sum := sha256.New()
	out := io.MultiWriter(sum, w)
	for i, e := range l.entries {
		buf = append(buf, '"')
		buf = append(buf, e.Domain.name...)
		buf = append(buf, `":`...)
		buf = e.Policy.AppendJSON(buf)
		if i < len(l.entries)-1 {
			buf = append(buf, ',')
		}
		buf = append(buf, '\n')
		if len(buf) > 1<<16-4096 {
			n, err := out.Write(buf)
			size += int64(n)
			if err != nil {
				return size, digest, err
			}
			buf = buf[:0]
		}
	}
	n, err := out.Write(append(buf, listTail...))
	sum.Sum(digest[:0])
	return size + int64(n), digest, err
}

// listTail ends policy.json after its last line.
const listTail = "}\n}\n"

// appendHeader appends what stands before the first domain.
func appendHeader(b []byte, h Header) ([]byte, error) {
	author, err := canonical.AppendString(nil, h.Author)
	if err != nil || len(h.Author) > MaxAuthorLen {
		return nil, fmt.Errorf("%w: author of %d bytes: up to %d of printable ASCII can be published", ErrList, len(h.Author), MaxAuthorLen)
	}
	return fmt.Appendf(b, "{\n\"timestamp\":\"%s\",\n\"expires\":\"%s\",\n\"version\":\"0.1\",\n\"author\":%s,\n\"policy-aliases\":{},\n\"policies\":{\n",
		h.Timestamp.UTC().Format(TimeFormat), h.Expires.UTC().Format(TimeFormat), author), nil
}

// Bytes is Write into memory.
func (l List) Bytes(h Header) ([]byte, error) {
	var b bytes.Buffer
	if _, _, err := l.Write(&b, h); err != nil {
		return nil, err
	}
	return b.Bytes(), nil
}

// ParseList reads policy.json strictly: what it accepts writes back to the same bytes. Errors wrap ErrList and give
// line and column.
func ParseList(data []byte) (Header, List, error) {
	p := listParser{data: data, intern: map[string]string{}}
	h, err := p.header()
	if err != nil {
		return Header{}, List{}, err
	}
	l, err := p.policies()
	return h, l, err
}

// listParser reads line by line, so that an error knows its place and no token outlives its line.
type listParser struct {
	data   []byte
	off    int
	line   int
	intern map[string]string // MX names are shared by many domains; one copy of each is kept
}

func (p *listParser) next() ([]byte, error) {
	p.line++
	n := bytes.IndexByte(p.data[p.off:], '\n')
	if n < 0 {
		return nil, fmt.Errorf("%w: line %d: the file ends here; a newline or more is missing", ErrList, p.line)
	}
	line := p.data[p.off : p.off+n]
	p.off += n + 1
	return line, nil
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

func (p *listParser) policies() (List, error) {
	entries := make([]Entry, 0, bytes.Count(p.data, []byte("\n")))
	comma := true
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
		e := p.entry(s)
		comma = s.Try(",")
		if len(entries) > 0 && entries[len(entries)-1].Domain.name >= e.Domain.name {
			s.Fail("domains are not sorted and unique at %q", e.Domain)
		}
		if err := s.Done(); err != nil {
			return List{}, p.errorf(s, err)
		}
		entries = append(entries, e)
	}
	if comma && len(entries) > 0 {
		return List{}, fmt.Errorf("%w: line %d: a comma after the last domain", ErrList, p.line-1)
	}
	if rest := string(p.data[p.off:]); rest != "}\n" {
		return List{}, fmt.Errorf("%w: line %d: the file must end with one closing brace and a newline", ErrList, p.line+1)
	}
	return List{entries}, nil
}

func (p *listParser) entry(s *canonical.Scanner) Entry {
	d, err := ParseDomain(s.Str(maxNameLen))
	if err != nil {
		s.Fail("%v", err)
	}
	s.Literal(":")
	return Entry{d, ScanPolicy(s, p.keep)}
}

func (p *listParser) keep(name string) string {
	if k, ok := p.intern[name]; ok {
		return k
	}
	name = strings.Clone(name)
	p.intern[name] = name
	return name
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
