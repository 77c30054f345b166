package survey

import (
	"encoding/csv"
	"io"
	"maps"
	"slices"
	"strconv"
)

// WriteCSV writes the report as a table of numbers, one a line: when the survey ended, which table and row, the measure
// and the class in it, and how many domains. Classes that count 0 are left out. Files of several days can be joined: every
// line says of when it is.
//
//	until,table,name,measure,class,domains
//	2026-03-01T12:00:00Z,total,,mta-sts,enforce,31
func (r Report) WriteCSV(out io.Writer) error {
	w := csvWriter{csv.NewWriter(out), r.Until}
	w.line("until", "table", "name", "measure", "class", "domains")
	w.row("total", r.Total)
	for _, t := range []struct {
		name string
		Table
	}{{"tld", r.TLDs}, {"suffix", r.Suffixes}, {"provider", r.Providers}} {
		for _, row := range t.Rows {
			w.row(t.name, row)
		}
		if t.Other != nil {
			row := *t.Other
			row.Name = "(other)"
			w.row(t.name, row)
		}
	}
	w.to.Flush()
	return w.to.Error()
}

type csvWriter struct {
	to    *csv.Writer
	until string
}

// line leaves errors to the end: csv.Writer keeps the first.
func (w csvWriter) line(fields ...string) { w.to.Write(fields) }

func (w csvWriter) row(table string, r Row) {
	number := func(measure, class string, n int) {
		w.line(w.until, table, r.Name, measure, class, strconv.Itoa(n))
	}
	number("domains", "", r.Domains)
	for _, m := range Measures() {
		for _, class := range m.Classes {
			if n := r.Measures[m.Name][class]; n > 0 {
				number(m.Name, class, n)
			}
		}
	}
	for _, code := range slices.Sorted(maps.Keys(r.Codes)) {
		number("code", code, r.Codes[code])
	}
}
