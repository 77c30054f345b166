package cells

import (
	"cmp"
	"crypto/sha256"
	"errors"
	"fmt"
	"slices"

	"github.com/starttls-everywhere/policylist/policy"
	"github.com/starttls-everywhere/policylist/policy/canonical"
	"github.com/starttls-everywhere/policylist/policy/tlsrpt"
)

// Format is the table's, see schema/README.md.
const Format = "feedback/1"

// Insufficient is what a table says of everything that has no row: what nobody reported, what too few did, and what is
// withheld are one and the same.
const Insufficient = "insufficient data"

// MaxTableBytes caps a table: it is one line of a release's evidence.
const MaxTableBytes = 8 << 20

// ErrTable is what every refusal of a table wraps.
var ErrTable = errors.New("not a feedback table")

// Cells are the shares of a row, in the order of tlsrpt.Classes.
type Cells [classes]Bucket

// Of returns the share of a class.
func (c Cells) Of(class tlsrpt.Class) Bucket { return c[position(class)] }

// Row is what a table says of a domain, or of what is left of a provider's.
type Row struct {
	Name  string
	Cells Cells
}

// Table is what is published of one week. Its bytes never change once it was made.
type Table struct {
	Week      Week
	Domains   []Row // sorted by name
	Providers []Row // sorted by name
}

// Row returns the cells of a domain; ok is false when there is insufficient data.
func (t Table) Row(d policy.Domain) (c Cells, ok bool) { return find(t.Domains, d.String()) }

// Provider returns the cells of the domains of a provider that have no row of their own, taken together.
func (t Table) Provider(name string) (c Cells, ok bool) { return find(t.Providers, name) }

func find(rows []Row, name string) (Cells, bool) {
	i, ok := slices.BinarySearchFunc(rows, name, func(r Row, name string) int { return cmp.Compare(r.Name, name) })
	if !ok {
		return Cells{}, false
	}
	return rows[i].Cells, true
}

// Bytes is the canonical form, one line without its end. Parse reads it.
func (t Table) Bytes() []byte {
	b := fmt.Appendf(nil, `{"domains":`)
	b = appendRows(b, "domain", t.Domains)
	b = fmt.Appendf(b, `,"else":"%s","format":"%s","from":"%s","providers":`, Insufficient, Format, t.Week.First())
	b = appendRows(b, "provider", t.Providers)
	return fmt.Appendf(b, `,"to":"%s"}`, t.Week.Last())
}

// Digest is SHA-256 over Bytes.
func (t Table) Digest() [32]byte { return sha256.Sum256(t.Bytes()) }

func appendRows(b []byte, member string, rows []Row) []byte {
	b = append(b, '[')
	for i, r := range rows {
		if i > 0 {
			b = append(b, ',')
		}
		b = append(b, `{"cells":{`...)
		for k, class := range sortedClasses() {
			if k > 0 {
				b = append(b, ',')
			}
			b = fmt.Appendf(b, `"%s":"%s"`, class, r.Cells.Of(class))
		}
		b = fmt.Appendf(b, `},"%s":"%s"}`, member, r.Name)
	}
	return append(b, ']')
}

// sortedClasses are the classes in the order of their names, as canonical objects have them.
func sortedClasses() []tlsrpt.Class {
	out := tlsrpt.Classes()
	slices.Sort(out)
	return out
}

// Parse reads what Bytes wrote and nothing else; errors wrap ErrTable.
func Parse(data []byte) (Table, error) {
	var t Table
	if len(data) > MaxTableBytes {
		return t, fmt.Errorf("%w: %d bytes, the most is %d", ErrTable, len(data), MaxTableBytes)
	}
	s := canonical.NewScanner(data)
	s.Literal(`{"domains":`)
	t.Domains = scanRows(s, "domain")
	s.Literal(`,"else":"` + Insufficient + `","format":"` + Format + `","from":`)
	first := s.Str(len("2026-01-01"))
	if w, err := ParseWeek(first); err != nil {
		s.Fail("%v", err)
	} else {
		t.Week = w
	}
	s.Literal(`,"providers":`)
	t.Providers = scanRows(s, "provider")
	s.Literal(`,"to":"` + t.Week.Last().String() + `"}`)
	if err := s.Done(); err != nil {
		return Table{}, fmt.Errorf("%w: %w", ErrTable, err)
	}
	return t, nil
}

func scanRows(s *canonical.Scanner, member string) (rows []Row) {
	s.Literal("[")
	if s.Err() != nil || s.Try("]") {
		return nil
	}
	for s.Err() == nil {
		r := scanRow(s, member)
		if n := len(rows); n > 0 && r.Name <= rows[n-1].Name {
			s.Fail("%q stands twice or behind %q", r.Name, rows[n-1].Name)
		}
		rows = append(rows, r)
		if !s.More("]") {
			break
		}
	}
	return rows
}

func scanRow(s *canonical.Scanner, member string) Row {
	var r Row
	s.Literal(`{"cells":{`)
	for k, class := range sortedClasses() {
		if k > 0 {
			s.Literal(",")
		}
		s.Literal(`"` + string(class) + `":`)
		word := s.Str(len(Insufficient))
		known := words()
		i := slices.Index(known[:], word)
		if i < 0 {
			s.Fail("%q is no share", word)
			return r
		}
		r.Cells[position(class)] = Bucket(i)
	}
	s.Literal(`},"` + member + `":`)
	r.Name = s.Str(253)
	if _, err := policy.ParseDomain(r.Name); s.Err() == nil && err != nil {
		s.Fail("%v", err)
	}
	s.Literal("}")
	return r
}

// position is the place of a class in Cells.
func position(c tlsrpt.Class) int { return slices.Index(tlsrpt.Classes(), c) }
