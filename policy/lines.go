package policy

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"io"
)

// Lines are a list's lines as policy.json holds them, to be kept from release to release beside the list: the next
// file costs the formatting of what changed and one pass of SHA-256, however many domains stay as they are. Nearly all
// releases only renew a list.
//
// The zero value is the empty list. A value never changes: Apply makes another one. Safe for concurrent use.
type Lines struct{ all []byte } // one domain a line, each ending in a comma and a newline, the last too

// Lines formats every domain.
func (l List) Lines() Lines {
	size := 0
	for _, e := range l.entries {
		size += e.lineSize()
	}
	b := make([]byte, 0, size)
	for _, e := range l.entries {
		b = e.appendLine(b)
	}
	return Lines{b}
}

func (e Entry) appendLine(b []byte) []byte {
	b = append(append(append(b, '"'), e.Domain.name...), `":`...)
	return append(e.Policy.AppendJSON(b), ",\n"...)
}

// lineSize is the length of appendLine's line.
func (e Entry) lineSize() int {
	n := len(`"":{"mode":"","mxs":[]},`) + len("\n") + len(e.Domain.name) + len(e.Policy.Mode.String()) + max(0, len(e.Policy.MXs)-1)
	for _, m := range e.Policy.MXs {
		n += len(`""`) + len(m.text)
	}
	return n
}

// Apply returns the lines after edits that List.Apply took for the same list.
func (t Lines) Apply(edits []Edit) Lines {
	if len(edits) == 0 {
		return t
	}
	room := len(t.all)
	for _, e := range edits {
		if e.Policy != nil {
			room += Entry{e.Domain, *e.Policy}.lineSize()
		}
	}
	out, rest := make([]byte, 0, room), t.all
	for _, e := range edits {
		n, width := findLine(rest, e.Domain.name)
		out, rest = append(out, rest[:n]...), rest[n+width:]
		if e.Policy != nil {
			out = Entry{e.Domain, *e.Policy}.appendLine(out)
		}
	}
	return Lines{append(out, rest...)}
}

// findLine returns where the line of the domain name stands or belongs, and its length, 0 if there is none.
func findLine(lines []byte, name string) (at, width int) {
	low, high := 0, len(lines) // both at the start of a line, or at the end
	for low < high {
		begin := low + 1 + bytes.LastIndexByte(lines[low:(low+high)/2], '\n')
		end := begin + 1 + bytes.IndexByte(lines[begin:], '\n')
		domain, _, _ := bytes.Cut(lines[begin+1:end], []byte{'"'})
		switch order := cmp.Compare(string(domain), name); { // nothing is copied for a comparison
		case order == 0:
			return begin, end - begin
		case order < 0:
			low = end
		default:
			high = begin
		}
	}
	return low, 0
}

// Parts are policy.json with the header h in three pieces, of which the second is shared: do not change it. An error
// wraps ErrList: the header cannot be published.
func (t Lines) Parts(h Header) (parts [3][]byte, err error) {
	head, err := appendHeader(nil, h)
	if err != nil {
		return parts, err
	}
	lines, tail := t.all, listTail
	if len(lines) > 0 {
		lines, tail = lines[:len(lines)-len(",\n")], "\n"+tail // the last domain has no comma
	}
	return [3][]byte{head, lines, []byte(tail)}, nil
}

// Write does what List.Write does.
func (t Lines) Write(w io.Writer, h Header) (size int64, digest [32]byte, err error) {
	parts, err := t.Parts(h)
	if err != nil {
		return 0, digest, err
	}
	sum := sha256.New()
	for _, p := range parts {
		sum.Write(p)
		n, err := w.Write(p)
		size += int64(n)
		if err != nil {
			return size, digest, err
		}
	}
	sum.Sum(digest[:0])
	return size, digest, nil
}
