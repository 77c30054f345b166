package policy

import (
	"bufio"
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
// Lists are values that nobody changes: Apply returns a new one, which shares all but the lines that changed with the old.
//
// What a list holds is its lines of policy.json: a million domains take the 90 MB of their file, a change costs its
// domains, and the next file is one pass of SHA-256 over what is there. An entry is decoded when it is asked for. Safe
// for concurrent use.
type List struct {
	blocks []block // none is empty
	n      int     // domains
}

// NewList sorts entries, which it takes over; two entries of one domain are an error.
func NewList(entries []Entry) (List, error) {
	byDomain := func(a, b Entry) int { return cmp.Compare(a.Domain.name, b.Domain.name) }
	if !slices.IsSortedFunc(entries, byDomain) {
		slices.SortFunc(entries, byDomain)
	}
	var b builder
	var text []byte
	for i, e := range entries {
		if i > 0 && e.Domain == entries[i-1].Domain {
			return List{}, fmt.Errorf("%w: %s twice", ErrList, e.Domain)
		}
		text = appendLine(text[:0], e)
		b.add(e.Domain.name, text)
	}
	return b.list(), nil
}

// Len is the number of domains.
func (l List) Len() int { return l.n }

// Entries returns the sorted entries, newly made: All costs no memory.
func (l List) Entries() []Entry {
	out := make([]Entry, 0, l.n)
	for d, p := range l.All() {
		out = append(out, Entry{d, p})
	}
	return out
}

// All iterates in order.
func (l List) All() iter.Seq2[Domain, Policy] {
	return func(yield func(Domain, Policy) bool) {
		var policies policyReader
		for c := (cursor{blocks: l.blocks}); ; {
			next, ok := c.peek()
			if !ok || !yield(Domain{next.name}, policies.read(next.policy)) {
				return
			}
			c.take(next)
		}
	}
}

// Lookup finds the policy of exactly d: the list knows no subdomains (rule R12).
func (l List) Lookup(d Domain) (Policy, bool) {
	if l.n == 0 {
		return Policy{}, false
	}
	text := l.blocks[blockOf(l.blocks, d.name)].text
	for text != "" {
		next := cutLine(text)
		switch {
		case next.name == d.name:
			return decodePolicy(next.policy), true
		case next.name > d.name:
			return Policy{}, false
		}
		text = text[next.size:]
	}
	return Policy{}, false
}

// Equal reports whether both say the same.
func (l List) Equal(m List) bool {
	if l.n != m.n {
		return false
	}
	a, b := cursor{blocks: l.blocks}, cursor{blocks: m.blocks}
	for {
		a.skipShared(&b)
		x, ok := a.peek()
		y, _ := b.peek()
		if x != y {
			return false
		}
		if !ok {
			return true
		}
		a.take(x)
		b.take(y)
	}
}

// Edit is one domain's new policy, or its removal when Policy is nil.
type Edit struct {
	Domain Domain
	Policy *Policy
}

// Apply returns l with edits, which must be sorted by domain and unique. It refuses an edit without effect: setting
// what already stands, removing what is not there.
func (l List) Apply(edits []Edit) (List, error) {
	for i := 1; i < len(edits); i++ {
		if edits[i-1].Domain.name >= edits[i].Domain.name {
			return List{}, fmt.Errorf("%w: changes are not sorted and unique at %s", ErrList, edits[i].Domain)
		}
	}
	if len(edits) == 0 {
		return l, nil
	}
	out := List{make([]block, 0, len(l.blocks)+1), l.n}
	rest := l.blocks
	for len(edits) > 0 {
		i, n, text := blockOf(rest, edits[0].Domain.name), len(edits), ""
		out.blocks = append(out.blocks, rest[:i]...)
		if rest = rest[i:]; len(rest) > 0 {
			text, rest = rest[0].text, rest[1:]
		}
		if len(rest) > 0 {
			end := rest[0].first()
			n, _ = slices.BinarySearchFunc(edits, end, func(e Edit, end string) int { return cmp.Compare(e.Domain.name, end) })
		}
		merged, err := merge(text, edits[:n])
		if err != nil {
			return List{}, err
		}
		out.n += bytes.Count(merged, []byte("\n")) - strings.Count(text, "\n")
		out.blocks, edits = appendBlocks(out.blocks, merged), edits[n:]
	}
	out.blocks = append(out.blocks, rest...)
	return out, nil
}

func errNotListed(d Domain) error {
	return fmt.Errorf("%w: %s is removed but not listed", ErrList, d)
}

func errNoEffect(d Domain) error {
	return fmt.Errorf("%w: %s is set to what it already is", ErrList, d)
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
	chunks, err := l.Chunks(h)
	if err != nil {
		return 0, digest, err
	}
	sum := sha256.New()
	out := bufio.NewWriterSize(io.MultiWriter(sum, w), 1<<16)
	for _, c := range chunks {
		n, err := out.WriteString(c)
		size += int64(n)
		if err != nil {
			return size, digest, err
		}
	}
	err = out.Flush()
	sum.Sum(digest[:0])
	return size, digest, err
}

// Chunks are policy.json with the header h in pieces, nearly all of which are the list's own. An error wraps ErrList: the
// header cannot be published.
func (l List) Chunks(h Header) ([]string, error) {
	head, err := appendHeader(nil, h)
	if err != nil {
		return nil, err
	}
	out := append(make([]string, 0, len(l.blocks)+2), string(head))
	for _, b := range l.blocks {
		out = append(out, b.text)
	}
	if len(l.blocks) == 0 {
		return append(out, listTail), nil
	}
	last := &out[len(out)-1]
	*last = strings.TrimSuffix(*last, ",\n") // the last domain has no comma
	return append(out, "\n"+listTail), nil
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
	chunks, err := l.Chunks(h)
	if err != nil {
		return nil, err
	}
	size := 0
	for _, c := range chunks {
		size += len(c)
	}
	out := make([]byte, 0, size)
	for _, c := range chunks {
		out = append(out, c...)
	}
	return out, nil
}
