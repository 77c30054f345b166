package survey

import (
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"text/tabwriter"
)

// Share is a part of a whole, exactly.
type Share struct{ Part, Whole int }

// Share is the class's part of the domains of which the measure says anything: those with mail that could be looked at.
func (r Row) Share(m Measure, class string) Share {
	whole := 0
	for c, n := range r.Measures[m.Name] {
		if counts(c) {
			whole += n
		}
	}
	return Share{r.Measures[m.Name][class], whole}
}

// perMille rounds half up; -1 where there is no whole.
func (s Share) perMille() int {
	if s.Whole == 0 {
		return -1
	}
	return (2000*s.Part + s.Whole) / (2 * s.Whole)
}

// String is "12.5%", or "-" where there is no whole.
func (s Share) String() string {
	n := s.perMille()
	if n < 0 {
		return "-"
	}
	return fmt.Sprintf("%d.%d%%", n/10, n%10)
}

// PrintTotal prints what was counted of all domains, for people: each class with its number and its share.
func (r Report) PrintTotal(out io.Writer) error {
	p := printed{{"domains", "", fmt.Sprint(r.Total.Domains), ""}}
	for _, m := range Measures() {
		for _, class := range m.Classes {
			n, share := r.Total.Measures[m.Name][class], ""
			if counts(class) {
				share = r.Total.Share(m, class).String()
			}
			if n > 0 {
				p = append(p, []string{m.Name, class, fmt.Sprint(n), share})
			}
		}
	}
	for _, code := range slices.Sorted(maps.Keys(r.Total.Codes)) {
		p = append(p, []string{"code", code, fmt.Sprint(r.Total.Codes[code]), Share{r.Total.Codes[code], r.Total.Domains}.String()})
	}
	return p.write(out)
}

// Compare prints the shares of each class in reports, of which there is at least one, and how they changed from the first
// to the last: adoption over time. Codes are told as parts of all domains.
func Compare(out io.Writer, reports []Report) error {
	days, domains := []string{"", ""}, []string{"domains", ""}
	for _, r := range reports {
		days = append(days, r.Until[:len("2026-03-01")])
		domains = append(domains, fmt.Sprint(r.Total.Domains))
	}
	more := reports[len(reports)-1].Total.Domains - reports[0].Total.Domains
	p := printed{append(days, "change"), append(domains, fmt.Sprintf("%+d", more))}
	for _, m := range Measures() {
		for _, class := range m.Classes {
			if counts(class) {
				p.compare(m.Name, class, reports, func(r Row) Share { return r.Share(m, class) })
			}
		}
	}
	for _, code := range allCodes(reports) {
		p.compare("code", code, reports, func(r Row) Share { return Share{r.Codes[code], r.Domains} })
	}
	return p.write(out)
}

// printed is a table of words.
type printed [][]string

// compare adds a line, unless no report has the class.
func (p *printed) compare(measure, class string, reports []Report, share func(Row) Share) {
	line, some := []string{measure, class}, false
	for _, r := range reports {
		s := share(r.Total)
		some = some || s.Part > 0
		line = append(line, s.String())
	}
	if !some {
		return
	}
	first, last := share(reports[0].Total).perMille(), share(reports[len(reports)-1].Total).perMille()
	change := "-"
	if first >= 0 && last >= 0 {
		change = points(last - first)
	}
	*p = append(*p, append(line, change))
}

// write aligns the columns; no line ends in blanks.
func (p printed) write(out io.Writer) error {
	var text strings.Builder
	w := tabwriter.NewWriter(&text, 0, 0, 2, ' ', 0)
	for _, line := range p {
		fmt.Fprintln(w, strings.Join(line, "\t"))
	}
	w.Flush() // a strings.Builder takes everything
	for line := range strings.Lines(text.String()) {
		if _, err := fmt.Fprintln(out, strings.TrimRight(line, " \n")); err != nil {
			return err
		}
	}
	return nil
}

// points is a difference of shares in percentage points: "+0.3".
func points(perMille int) string {
	sign := '+'
	if perMille < 0 {
		sign, perMille = '-', -perMille
	}
	return fmt.Sprintf("%c%d.%d", sign, perMille/10, perMille%10)
}

func allCodes(reports []Report) []string {
	codes := make(map[string]bool)
	for _, r := range reports {
		for code := range r.Total.Codes {
			codes[code] = true
		}
	}
	return slices.Sorted(maps.Keys(codes))
}
