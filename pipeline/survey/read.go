package survey

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"slices"

	"github.com/starttls-everywhere/policylist/policy"
)

// ReadReport reads what Report.Append wrote. It holds the numbers against each other: a measure's classes are known and add
// up to the domains, a table's rows to the total. Errors wrap ErrReport.
func ReadReport(data []byte) (Report, error) {
	var r Report
	dec := json.NewDecoder(bytes.NewReader(data))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&r); err != nil {
		return r, fmt.Errorf("%w: %v", ErrReport, err)
	}
	if _, err := dec.Token(); err != io.EOF {
		return r, fmt.Errorf("%w: something follows the object", ErrReport)
	}
	if r.Format != Format {
		return r, fmt.Errorf("%w: its format is %q, this program reads %s", ErrReport, r.Format, Format)
	}
	for _, at := range []string{r.From, r.Until} {
		if _, err := policy.ParseTime(at); err != nil {
			return r, fmt.Errorf("%w: %w", ErrReport, err)
		}
	}
	if err := r.Total.check(); err != nil {
		return r, err
	}
	for _, t := range []Table{r.TLDs, r.Suffixes, r.Providers} {
		if err := t.check(r.Total.Domains); err != nil {
			return r, err
		}
	}
	return r, nil
}

func (t Table) check(domains int) error {
	rows := t.Rows
	if t.Other != nil {
		rows = append(slices.Clone(rows), *t.Other)
	}
	sum := 0
	for _, row := range rows {
		if err := row.check(); err != nil {
			return err
		}
		sum += row.Domains
	}
	if sum != domains {
		return fmt.Errorf("%w: the rows of a table have %d domains, the total %d", ErrReport, sum, domains)
	}
	return nil
}

// maxCount keeps sums of counts far from an overflow.
const maxCount = 1 << 40

func (r Row) check() error {
	if r.Domains < 0 || r.Domains > maxCount {
		return fmt.Errorf("%w: %d domains", ErrReport, r.Domains)
	}
	for _, m := range Measures() {
		classes, told := r.Measures[m.Name]
		if !told {
			if m.Name == listName() {
				continue
			}
			return fmt.Errorf("%w: a row without the measure %s", ErrReport, m.Name)
		}
		sum := 0
		for class, n := range classes {
			if !slices.Contains(m.Classes, class) || n < 0 || n > maxCount {
				return fmt.Errorf("%w: %s %q counts %d", ErrReport, m.Name, class, n)
			}
			sum += n
		}
		if sum != r.Domains {
			return fmt.Errorf("%w: the classes of %s have %d domains, their row %d", ErrReport, m.Name, sum, r.Domains)
		}
	}
	for name := range r.Measures {
		if !slices.ContainsFunc(Measures(), func(m Measure) bool { return m.Name == name }) {
			return fmt.Errorf("%w: a measure %q", ErrReport, name)
		}
	}
	for code, n := range r.Codes {
		if n < 0 || n > r.Domains {
			return fmt.Errorf("%w: code %q of %d among %d domains", ErrReport, code, n, r.Domains)
		}
	}
	return nil
}

func listName() string { return measureTable()[listMeasure].Name }
