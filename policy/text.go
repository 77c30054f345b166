package policy

import (
	"bytes"
	"cmp"
	"fmt"
	"slices"

	"github.com/starttls-everywhere/policylist/policy/canonical"
)

// Text is a published list that is looked up where it lies, in the bytes of policy.json: the format has one line a
// domain, sorted, so that bisection finds a line without an index, and nothing but that line is decoded. A million
// domains take the 90 MB of their file and not one allocation more, and are ready as soon as they are read.
//
// The zero value is the empty list. Safe for concurrent use.
type Text struct {
	lines []byte
	index textIndex
}

// OpenText reads the header of policy.json and keeps data, which must not change. It trusts the lines: the caller knows
// from a verified digest that they are a list, else ParseList is the one to ask. Errors wrap ErrList.
func OpenText(data []byte) (Header, Text, error) {
	p := newListParser(bytes.NewReader(data))
	h, err := p.header()
	if err != nil {
		return Header{}, Text{}, err
	}
	lines, ok := bytes.CutSuffix(data[p.off:], []byte("}\n}\n"))
	if !ok || len(lines) > 0 && lines[len(lines)-1] != '\n' {
		return Header{}, Text{}, fmt.Errorf("%w: the file must end with two closing braces, each on its line", ErrList)
	}
	return h, Text{lines: lines}, nil
}

// Len is the number of domains. It reads all lines, in pieces: the runtime cannot interrupt the counting of one, and what
// stops the world would wait for it, and everybody with it.
func (t Text) Len() (n int) {
	for piece := range slices.Chunk(t.lines, 1<<20) {
		n += bytes.Count(piece, []byte("\n"))
	}
	return n
}

// Lookup finds the policy of exactly d, as List.Lookup does. A line on the way that is none is an error, which wraps
// ErrList: then nobody knows what the list says of d.
func (t Text) Lookup(d Domain) (Policy, bool, error) {
	if t.index.slots != nil {
		return t.index.lookup(t.lines, d)
	}
	low, high := 0, len(t.lines) // both at the start of a line, or at the end
	for low < high {
		begin := low + 1 + bytes.LastIndexByte(t.lines[low:(low+high)/2], '\n')
		end := begin + bytes.IndexByte(t.lines[begin:high], '\n')
		if end < begin {
			return Policy{}, false, fmt.Errorf("%w: byte %d of the policies: no line ends here", ErrList, begin)
		}
		line := t.lines[begin:end]
		switch order, err := compareLine(line, d); {
		case err != nil:
			return Policy{}, false, err
		case order == 0:
			p, err := linePolicy(line, d)
			return p, err == nil, err
		case order < 0:
			low = end + 1
		default:
			high = begin
		}
	}
	return Policy{}, false, nil
}

// compareLine compares the domain at the start of a line with d, without copying it.
func compareLine(line []byte, d Domain) (int, error) {
	name, ok := lineName(line)
	if !ok {
		return 0, fmt.Errorf("%w: a line of the policies begins with %.20q", ErrList, line)
	}
	return cmp.Compare(string(name), d.name), nil // the compiler copies nothing for a comparison
}

// lineName is the domain at the start of a line.
func lineName(line []byte) ([]byte, bool) {
	name, rest, ok := bytes.Cut(line, []byte(`":{`))
	if !ok || len(name) == 0 || name[0] != '"' || len(rest) == 0 {
		return nil, false
	}
	return name[1:], true
}

func linePolicy(line []byte, d Domain) (Policy, error) {
	s := canonical.NewScanner(line)
	s.Literal(`"`)
	s.Literal(d.name)
	s.Literal(`":`)
	p := ScanPolicy(s, nil)
	s.Try(",")
	if err := s.Done(); err != nil {
		return Policy{}, fmt.Errorf("%w: the line of %s: %w", ErrList, d, err)
	}
	return p, nil
}
