package site

import (
	"bytes"
	"encoding/csv"
	"fmt"
	"strings"
)

// table is rows of text and numbers as CSV has them (RFC 4180, with the line ends of Unix, which its readers take).
type table struct {
	columns []string
	rows    [][]any // a string or an int each, as many as there are columns
}

func (t *table) add(cells ...any) { t.rows = append(t.rows, cells) }

// csv writes the table. A cell that a spreadsheet would take for a formula gets an apostrophe in front: names in it come
// from strangers.
func (t table) csv() ([]byte, error) {
	var b bytes.Buffer
	w := csv.NewWriter(&b)
	if err := w.Write(t.columns); err != nil {
		return nil, err
	}
	for _, row := range t.rows {
		if len(row) != len(t.columns) {
			return nil, fmt.Errorf("a row of %d cells in a table of %d columns", len(row), len(t.columns))
		}
		fields := make([]string, len(row))
		for i, cell := range row {
			switch v := cell.(type) {
			case int:
				fields[i] = fmt.Sprint(v)
			case string:
				fields[i] = plainCell(v)
			default:
				return nil, fmt.Errorf("a cell of type %T", cell)
			}
		}
		if err := w.Write(fields); err != nil {
			return nil, err
		}
	}
	w.Flush()
	return b.Bytes(), w.Error()
}

// plainCell keeps spreadsheets from calculating with a text (OWASP, "CSV Injection": these characters begin a formula, or
// are passed over in front of one).
func plainCell(s string) string {
	if s != "" && strings.ContainsRune("=+-@\t\r\n＝＋－＠", []rune(s)[0]) {
		return "'" + s
	}
	return s
}
