package survey

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/starttls-everywhere/policylist/policy"
)

// ErrInput is what ReadDomains wraps for a file that cannot be a list of domains.
var ErrInput = errors.New("not a list of domains")

const (
	// MaxDomains caps the domains of a survey: they are held in memory, 100 bytes or so each.
	MaxDomains = 5_000_000
	// maxInput caps the bytes of their file.
	maxInput = 1 << 30
	// maxInputLine caps a line; a longer one is bad. A name has at most 253 bytes.
	maxInputLine = 4096
	// maxBadLines is how many bad lines are kept with their numbers. All are counted.
	maxBadLines = 20
)

// Input is what a file of domains held.
type Input struct {
	Lines      int `json:"lines"` // without empty lines, comments and the line of names
	Domains    int `json:"domains"`
	Duplicates int `json:"duplicates"`
	Bad        int `json:"bad"` // lines that name no domain

	BadLines []BadLine `json:"-"` // the first of them
}

// BadLine is a line that names no domain. Why may quote the line, unescaped.
type BadLine struct {
	Line int // from 1
	Why  string
}

// ReadDomains reads a list of domains, one a line, as people and rankings write them: U-labels, capitals and a dot at the
// end are brought into canonical form, "#" begins a comment, lines end with LF or CRLF, a byte order mark is passed over.
// Of several columns (comma, semicolon or tab) the domain is the first, or the second where the first is a number, as in
// "1,google.com"; a first line with the name "domain" names the column. Domains come sorted, each once. A line that names
// no domain is told in Input and left out; errors wrap ErrInput or are the reader's.
func ReadDomains(in io.Reader) ([]policy.Domain, Input, error) {
	capped := &io.LimitedReader{R: in, N: maxInput + 1}
	r := bufio.NewReaderSize(capped, 64<<10)
	d := domainReader{column: -1}
	switch mark, _ := r.Peek(3); {
	case bytes.HasPrefix(mark, []byte("\xef\xbb\xbf")):
		r.Discard(3)
	case bytes.HasPrefix(mark, []byte("\xff\xfe")), bytes.HasPrefix(mark, []byte("\xfe\xff")):
		return nil, Input{}, fmt.Errorf("%w: it is in UTF-16; save it as UTF-8", ErrInput)
	}
	for {
		line, long, err := readLine(r)
		if err != nil && !errors.Is(err, io.EOF) {
			return nil, Input{}, err
		}
		if len(line) > 0 || long || err == nil {
			d.line(line, long)
		}
		switch {
		case capped.N == 0:
			return nil, Input{}, fmt.Errorf("%w: larger than %d bytes", ErrInput, maxInput)
		case len(d.domains) > MaxDomains:
			return nil, Input{}, fmt.Errorf("%w: more than %d domains", ErrInput, MaxDomains)
		case err != nil:
			return d.finish()
		}
	}
}

// readLine returns the next line without its end, cut where it is too long.
func readLine(r *bufio.Reader) (line []byte, long bool, err error) {
	for {
		part, err := r.ReadSlice('\n')
		if room := maxInputLine - len(line); len(part) > room {
			part, long = part[:room], true
		}
		line = append(line, part...)
		if !errors.Is(err, bufio.ErrBufferFull) {
			return bytes.TrimRight(line, "\r\n"), long, err
		}
	}
}

// domainReader collects the domains of a file.
type domainReader struct {
	domains []policy.Domain
	input   Input
	n       int // lines so far, of any kind
	column  int // of the domain; -1: it is not named
}

func (d *domainReader) line(text []byte, long bool) {
	d.n++
	content, _, _ := strings.Cut(string(text), "#")
	if content = strings.TrimSpace(content); content == "" && !long {
		return
	}
	if long {
		d.bad("it is longer than a name can be")
		return
	}
	fields := columns(content)
	if d.input.Lines == 0 && d.column < 0 {
		if d.column = slices.IndexFunc(fields, func(f string) bool { return strings.EqualFold(f, "domain") }); d.column >= 0 {
			return
		}
	}
	name := d.pick(fields)
	domain, err := policy.NormalizeDomain(name)
	if err != nil {
		d.bad(strings.TrimPrefix(err.Error(), policy.ErrName.Error()+": "))
		return
	}
	d.input.Lines++
	d.domains = append(d.domains, domain)
}

func (d *domainReader) bad(why string) {
	d.input.Lines++
	d.input.Bad++
	if len(d.input.BadLines) < maxBadLines {
		d.input.BadLines = append(d.input.BadLines, BadLine{d.n, why})
	}
}

// columns takes a line apart. Quotes are taken off; a name holds none, nor a separator.
func columns(line string) []string {
	fields := strings.FieldsFunc(line, func(c rune) bool { return c == ',' || c == ';' || c == '\t' })
	for i, f := range fields {
		fields[i] = strings.TrimSpace(strings.Trim(strings.TrimSpace(f), `"`))
	}
	return fields
}

// pick is the field with the domain.
func (d *domainReader) pick(fields []string) string {
	switch {
	case d.column >= 0 && d.column < len(fields):
		return fields[d.column]
	case d.column >= 0 || len(fields) == 0:
		return ""
	case len(fields) > 1 && isNumber(fields[0]):
		return fields[1]
	}
	return fields[0]
}

func isNumber(s string) bool {
	return s != "" && strings.Trim(s, "0123456789") == ""
}

// finish sorts.
func (d *domainReader) finish() ([]policy.Domain, Input, error) {
	slices.SortFunc(d.domains, func(a, b policy.Domain) int { return strings.Compare(a.String(), b.String()) })
	all := len(d.domains)
	d.domains = slices.Compact(d.domains)
	d.input.Domains = len(d.domains)
	d.input.Duplicates = all - len(d.domains)
	return d.domains, d.input, nil
}
