package policy

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
)

// ErrFormat says that a file was not brought into the normal form, because it could not be understood wholly.
var ErrFormat = errors.New("not formatted")

// FormatFragment returns the normal form of a fragment: aliases before policies, one line each, sorted, names as they
// are published, mxs sorted and without those that others cover, notes kept. It is a fixed point. A file in which
// anything is an error is refused (ErrFormat, with the first finding): formatting must never lose what was meant.
func FormatFragment(f File) ([]byte, error) {
	fr := ParseFragment(f)
	if err := fr.formattable(); err != nil {
		return nil, err
	}
	return fr.format(nil), nil
}

// FormatOldSource is FormatFragment for a source in a single 0.1 file; version, times and author stay as they are.
func FormatOldSource(f File) ([]byte, error) {
	fr := ParseOldSource(f)
	if err := fr.formattable(); err != nil {
		return nil, err
	}
	return fr.format([]string{"timestamp", "expires", "version", "author"}), nil
}

// FormatSettings returns the normal form of list.json.
func FormatSettings(f File) ([]byte, error) {
	_, findings := ParseSettings(f)
	if err := firstError(findings); err != nil {
		return nil, err
	}
	doc, err := ParseDocument(f)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrFormat, err)
	}
	var b bytes.Buffer
	b.WriteString("{")
	comma := ""
	for _, name := range []string{"author", "origin", "lifetime", "vantages", "quorum"} {
		n, ok := doc.Root.Member(name)
		if !ok {
			continue
		}
		fmt.Fprintf(&b, "%s\n  %s: ", comma, quote(name))
		comma = ","
		if n.Kind != JSONArray || len(n.Children) == 0 {
			writeNode(&b, n)
			continue
		}
		b.WriteString("[")
		for i := range n.Children {
			b.WriteString(strings.Repeat(",", min(i, 1)) + "\n    ")
			writeNode(&b, &n.Children[i])
		}
		b.WriteString("\n  ]")
	}
	b.WriteString("\n}\n")
	return b.Bytes(), nil
}

func firstError(findings []Finding) error {
	i := slices.IndexFunc(findings, func(f Finding) bool { return f.Severity == Error })
	if i < 0 {
		return nil
	}
	return fmt.Errorf("%w: %s: %s: %s", ErrFormat, findings[i].Position, findings[i].Code, findings[i].Summary)
}

// formattable also refuses two spellings of one domain, which only the sorted whole shows.
func (f *Fragment) formattable() error {
	if err := firstError(f.findings); err != nil {
		return err
	}
	seen := make(map[Domain]place, len(f.entries))
	for _, e := range f.entries {
		if first, ok := seen[e.Domain]; ok {
			return fmt.Errorf("%w: %s: domain.duplicate: %s is listed already at %s", ErrFormat, e.Position(), e.Domain, first.Position())
		}
		seen[e.Domain] = e.place
	}
	return nil
}

// format writes the file anew, first the members named in head as they are.
func (f *Fragment) format(head []string) []byte {
	var b bytes.Buffer
	b.WriteString("{")
	comma := ""
	member := func(name string) (*Node, bool) {
		n, ok := f.doc.Root.Member(name)
		if ok {
			fmt.Fprintf(&b, "%s\n  %s: ", comma, quote(name))
			comma = ","
		}
		return n, ok
	}
	for _, name := range head {
		if n, ok := member(name); ok {
			writeNode(&b, n)
		}
	}
	if n, ok := member("policy-aliases"); ok {
		writeTable(&b, n, func(key string) string { return key })
	}
	if n, ok := member("policies"); ok {
		writeTable(&b, n, func(key string) string {
			d, err := NormalizeDomain(key)
			if err != nil {
				return key // cannot be: formattable has refused the file
			}
			return d.name
		})
	}
	b.WriteString("\n}\n")
	return b.Bytes()
}

// writeTable writes an object with one member a line, sorted by name.
func writeTable(b *bytes.Buffer, n *Node, name func(key string) string) {
	type row struct {
		name string
		node *Node
	}
	rows := make([]row, len(n.Children))
	for i := range n.Children {
		rows[i] = row{name(n.Children[i].Key), &n.Children[i]}
	}
	slices.SortFunc(rows, func(a, b row) int { return cmp.Compare(a.name, b.name) })
	b.WriteString("{")
	for i, r := range rows {
		b.WriteString(strings.Repeat(",", min(i, 1)) + "\n    " + quote(r.name) + ": ")
		writeEntry(b, r.node)
	}
	if len(rows) > 0 {
		b.WriteString("\n  ")
	}
	b.WriteString("}")
}

func writeEntry(b *bytes.Buffer, n *Node) {
	b.WriteString("{")
	comma := ""
	for _, name := range []string{"mode", "mxs", "policy-alias", "managed-by", "override", "note"} {
		m, ok := n.Member(name)
		if !ok {
			continue
		}
		b.WriteString(comma + quote(name) + ": ")
		comma = ", "
		if name == "mxs" {
			writePatterns(b, m)
			continue
		}
		writeNode(b, m)
	}
	b.WriteString("}")
}

func writePatterns(b *bytes.Buffer, n *Node) {
	var mxs []MXPattern
	for i := range n.Children {
		if p, err := NormalizeMXPattern(n.Children[i].Text); err == nil {
			mxs = append(mxs, p)
		}
	}
	slices.SortFunc(mxs, func(a, b MXPattern) int { return cmp.Compare(a.text, b.text) })
	b.WriteString("[")
	comma := ""
	for _, p := range mxs {
		if slices.ContainsFunc(mxs, func(q MXPattern) bool { return q != p && q.Covers(p) }) {
			continue
		}
		b.WriteString(comma + quote(p.text))
		comma = ", "
	}
	b.WriteString("]")
}

// writeNode writes any value on one line.
func writeNode(b *bytes.Buffer, n *Node) {
	switch n.Kind {
	case JSONString:
		b.WriteString(quote(n.Text))
	case JSONArray, JSONObject:
		open, end := "[", "]"
		if n.Kind == JSONObject {
			open, end = "{", "}"
		}
		b.WriteString(open)
		for i := range n.Children {
			b.WriteString(strings.Repeat(", ", min(i, 1)))
			if n.Kind == JSONObject {
				b.WriteString(quote(n.Children[i].Key) + ": ")
			}
			writeNode(b, &n.Children[i])
		}
		b.WriteString(end)
	case JSONNull:
		b.WriteString("null")
	default:
		b.WriteString(n.Text)
	}
}

// quote is s as JSON, leaving everything readable that may be.
func quote(s string) string {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(s); err != nil {
		return `""` // cannot be: strings always encode
	}
	return strings.TrimSuffix(b.String(), "\n")
}
