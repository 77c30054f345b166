package site

import (
	"maps"
	"slices"
	"strings"
)

// statisticsFile is one of the CSV files beside the page: mirror/site/README.md explains its columns.
type statisticsFile struct {
	name  string
	table func(statistics) table
}

func statisticsFiles() []statisticsFile {
	return []statisticsFile{
		{"size.csv", func(s statistics) table {
			t := table{columns: []string{"day", "enforce", "testing"}}
			for _, d := range s.Days {
				t.add(d.Day, d.Enforce, d.Testing)
			}
			return t
		}},
		{"joined.csv", func(s statistics) table { return monthTable(s.Joined) }},
		{"tlds.csv", func(s statistics) table { return rankTable(s.TLDs) }},
		{"suffixes.csv", func(s statistics) table { return rankTable(s.Suffixes) }},
		{"providers.csv", func(s statistics) table { return rankTable(s.Providers) }},
		{"verdicts.csv", func(s statistics) table {
			t := table{columns: []string{"verdict", "domains"}}
			for _, v := range s.Verdicts {
				t.add(v.Verdict, v.Domains)
			}
			return t
		}},
		{"codes.csv", func(s statistics) table {
			t := table{columns: []string{"code", "severity", "summary", "domains"}}
			for _, c := range s.Codes {
				t.add(c.ID, string(c.Severity), c.Summary, c.Domains)
			}
			return t
		}},
		{"failing.csv", func(s statistics) table { return monthTable(s.Failing) }},
		{"fixes.csv", fixTable},
	}
}

func monthTable(rows []monthRow) table {
	t := table{columns: []string{"month", "enforce", "testing"}}
	for _, r := range rows {
		t.add(r.Month, r.Enforce, r.Testing)
	}
	return t
}

func rankTable(rows []rankRow) table {
	t := table{columns: []string{"name", "enforce", "testing"}}
	for _, r := range rows {
		t.add(r.Name, r.Enforce, r.Testing)
	}
	return t
}

// fixTable leaves the days of too few empty: nobody should read a median of two from a file either.
func fixTable(s statistics) table {
	t := table{columns: []string{"kind", "ended", "median-days", "ninety-percent-days", "open", "left", "half-open-since"}}
	for _, r := range s.Fixes {
		since, _, _ := strings.Cut(r.Since, "T")
		switch {
		case !r.Ends():
			t.add(r.Kind, "", "", "", r.Open, "", since)
		case r.Few():
			t.add(r.Kind, r.Ended, "", "", r.Open, r.Left, since)
		default:
			t.add(r.Kind, r.Ended, r.Median, r.Ninety, r.Open, r.Left, since)
		}
	}
	return t
}

// table has the columns of "starttls-list survey --csv", so that the two can be joined.
func (s *survey) table() table {
	t := table{columns: []string{"until", "table", "name", "measure", "class", "domains"}}
	row := func(kind string, r surveyRow) {
		t.add(s.Until, kind, r.Name, "domains", "", r.Domains)
		for _, m := range surveyMeasures() {
			for _, class := range m.Classes {
				if n := r.Measures[m.Name][class]; n > 0 {
					t.add(s.Until, kind, r.Name, m.Name, class, n)
				}
			}
		}
		for _, code := range slices.Sorted(maps.Keys(r.Codes)) {
			t.add(s.Until, kind, r.Name, "code", code, r.Codes[code])
		}
	}
	row("total", s.Total)
	for _, of := range []struct {
		kind string
		surveyTable
	}{{"tld", s.TLDs}, {"suffix", s.Suffixes}, {"provider", s.Providers}} {
		for _, r := range of.Rows {
			row(of.kind, r)
		}
		if of.Other != nil {
			r := *of.Other
			r.Name = "(other)"
			row(of.kind, r)
		}
	}
	return t
}
