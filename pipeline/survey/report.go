package survey

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/starttls-everywhere/policylist/policy"
)

// Format names the format of a Report.
const Format = "policylist/survey/v1"

// ErrReport is what a refused report wraps.
var ErrReport = errors.New("not a survey's statistics")

// MaxReport caps a report, in bytes: 10,000 rows have 10 MB.
const MaxReport = 256 << 20

// Report is the result of a survey. Its JSON is described in schema/README.md.
type Report struct {
	Format    string   `json:"format"`
	Tool      string   `json:"tool"`
	From      string   `json:"from"`     // time of the first look
	Until     string   `json:"until"`    // of the last one
	Vantages  []string `json:"vantages"` // who looked, sorted
	Min       int      `json:"min"`
	Input     *Input   `json:"input,omitempty"` // what the domains were taken from; not where evidence was counted
	Total     Row      `json:"total"`
	TLDs      Table    `json:"tlds"`
	Suffixes  Table    `json:"suffixes"`
	Providers Table    `json:"providers"`
}

// Row is what was counted of some domains. A class or code that is missing counts 0.
type Row struct {
	Name     string                    `json:"name,omitempty"`
	Domains  int                       `json:"domains"`
	Measures map[string]map[string]int `json:"measures"` // by measure and class
	Codes    map[string]int            `json:"codes"`    // domains with that code
}

// Table is a row for each name with at least Report.Min domains, those with the most first, and one for all others.
type Table struct {
	Rows   []Row `json:"rows"`
	Folded int   `json:"folded"`          // how many names are in Other
	Other  *Row  `json:"other,omitempty"` // nil where Folded is 0
}

// Report tells what was counted so far.
func (t *Tally) Report() Report {
	r := Report{
		Format: Format, Tool: t.opts.Tool, Vantages: slices.Sorted(maps.Keys(t.vantages)), Min: t.opts.Min, Total: t.row("", &t.total),
		TLDs: t.table(tldTable), Suffixes: t.table(suffixTable), Providers: t.table(providerTable),
	}
	if r.Vantages == nil {
		r.Vantages = []string{}
	}
	r.From, r.Until = t.from.UTC().Format(policy.TimeFormat), t.to.UTC().Format(policy.TimeFormat)
	return r
}

func (t *Tally) row(name string, c *cell) Row {
	r := Row{Name: name, Domains: int(c.domains), Measures: make(map[string]map[string]int), Codes: make(map[string]int)}
	for i, m := range t.measures {
		if i == listMeasure && !t.listed {
			continue
		}
		classes := make(map[string]int)
		for k, class := range m.Classes {
			if n := c.classes[i][k]; n > 0 {
				classes[class] = int(n)
			}
		}
		r.Measures[m.Name] = classes
	}
	for _, e := range c.codes {
		r.Codes[e.code] = int(e.count)
	}
	return r
}

// table folds the small rows. Where what is folded is small itself, the smallest of the others goes with it: else it could
// be taken for what it is (the one domain that the total has more than all rows).
func (t *Tally) table(which int) Table {
	from := &t.tables[which]
	names := slices.SortedFunc(maps.Keys(from.cells), func(a, b string) int {
		return cmp.Or(cmp.Compare(from.cells[b].domains, from.cells[a].domains), cmp.Compare(a, b))
	})
	small := uint32(t.opts.Min)
	out := Table{Rows: []Row{}}
	other := from.rest
	other.codes = slices.Clone(other.codes)
	out.Folded = int(other.domains) // their names were not kept: each may have another
	for len(names) > 0 {
		last := from.cells[names[len(names)-1]]
		if last.domains >= small && (other.domains == 0 || other.domains >= small) {
			break
		}
		other.merge(last)
		out.Folded++
		names = names[:len(names)-1]
	}
	for _, name := range names {
		out.Rows = append(out.Rows, t.row(name, from.cells[name]))
	}
	if out.Folded > 0 {
		row := t.row("", &other)
		out.Other = &row
	}
	return out
}

// Append writes the report as JSON, indented, with names in byte order: the same report is the same bytes.
func (r Report) Append(b []byte) ([]byte, error) {
	text, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		return nil, fmt.Errorf("survey: %w", err)
	}
	return append(append(b, text...), '\n'), nil
}
