package manual

import (
	"regexp"
	"strings"
)

// Configuration is the page of a configuration file, from the text of one that explains every key: comments ("# …") stand
// in front of what they explain, and what is left out at first is commented out without a blank ("#key = …", "#[table]").
// title is the line of NAME, path the file; intro is what comes before the keys, in paragraphs.
func (b Book) Configuration(name, title, path, intro, example string) Page {
	r := &roff{}
	b.begin(r, name, "5")
	r.section("NAME")
	r.plain(name + " - " + title)
	r.section("SYNOPSIS")
	r.plain(path)
	r.section("DESCRIPTION")
	r.blocks(split(intro).text)
	r.section("KEYS")
	keys(r, example)
	r.section("EXAMPLE")
	r.text("All of it, with every key:")
	r.verbatim(example)
	r.section("SEE ALSO")
	r.references(append([]string{b.Root.Name() + "(1)"}, b.Related...))
	return Page{name, "5", r.Bytes()}
}

var (
	tableLine = regexp.MustCompile(`^#?(\[+[a-z-]+\]+)$`)
	keyLine   = regexp.MustCompile(`^#?([a-z-]+ = .*)$`)
)

// keys writes one item for each run of key lines, with the comment before it, and a heading for each table.
func keys(r *roff, example string) {
	comment, terms := "", []string{}
	flush := func() {
		for i, t := range terms {
			if i == 0 {
				r.item(bold(t))
			} else {
				r.WriteString(".TQ\n" + bold(t) + "\n")
			}
		}
		r.text(comment)
		comment, terms = "", nil
	}
	for l := range strings.Lines(example) {
		l = strings.TrimRight(l, "\n")
		if m := keyLine.FindStringSubmatch(l); m != nil {
			terms = append(terms, m[1])
			continue
		}
		if len(terms) > 0 || l == "" {
			flush()
		}
		if m := tableLine.FindStringSubmatch(l); m != nil {
			r.subsection(m[1])
			flush()
		} else if text, ok := strings.CutPrefix(l, "# "); ok {
			comment += text + " "
		}
	}
	flush()
}
