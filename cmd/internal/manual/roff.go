package manual

import (
	"bytes"
	"fmt"
	"strings"
)

// width is where lines of the source end, so that people can read a page's source as well. It is not what a reader sees.
const width = 76

// roff is a page that is being written, in the man(7) macros.
type roff struct {
	bytes.Buffer
	headed bool // nothing stands below the last heading yet, which leaves a blank line itself
}

// title begins a page. date may be empty.
func (r *roff) title(name, section, date, source, book string) {
	fmt.Fprintf(r, ".TH %s %s %s %s %s\n.nh\n.ad l\n", quote(strings.ToUpper(name)), quote(section), `"`+date+`"`, quote(source), quote(book))
}

func (r *roff) section(name string)    { r.heading("SH", name) }
func (r *roff) subsection(name string) { r.heading("SS", name) }

func (r *roff) heading(macro, name string) {
	fmt.Fprintf(r, ".%s %s\n", macro, quote(name))
	r.headed = true
}

func (r *roff) paragraph() { r.WriteString(".PP\n") }

// item begins one of a list: a term, already in roff, and what text comes after.
func (r *roff) item(term string) { fmt.Fprintf(r, ".TP\n%s\n", term) }

// text fills words into lines.
func (r *roff) text(s string) {
	line := ""
	for _, word := range strings.Fields(s) {
		if line != "" && len(line)+1+len(word) > width {
			r.plain(line)
			line = ""
		}
		if line != "" {
			line += " "
		}
		line += word
	}
	if line != "" {
		r.plain(line)
	}
}

// verbatim keeps lines as they are, indented.
func (r *roff) verbatim(lines string) {
	if !r.headed {
		r.WriteString(".sp\n")
	}
	r.headed = false
	r.WriteString(".RS 4\n.EX\n")
	for l := range strings.Lines(strings.Trim(lines, "\n")) {
		r.plain(strings.TrimRight(l, "\n "))
	}
	r.WriteString(".EE\n.RE\n")
}

func (r *roff) plain(line string) {
	r.WriteString(guard(escape(line)) + "\n")
	r.headed = false
}

// blocks writes the paragraphs of a help text. One that has an indented line is a table or an example, and stays as it is.
func (r *roff) blocks(paragraphs []string) {
	for i, p := range paragraphs {
		if strings.HasPrefix(p, " ") || strings.Contains(p, "\n ") {
			r.verbatim(outdent(p))
			continue
		}
		if i > 0 {
			r.paragraph()
		}
		r.text(p)
	}
}

// outdent takes the blanks away that all lines begin with.
func outdent(s string) string {
	lines := strings.Split(strings.Trim(s, "\n"), "\n")
	common := -1
	for _, l := range lines {
		if indent := len(l) - len(strings.TrimLeft(l, " ")); l != "" && (common < 0 || indent < common) {
			common = indent
		}
	}
	for i, l := range lines {
		lines[i] = l[min(max(common, 0), len(l)):]
	}
	return strings.Join(lines, "\n")
}

// escape makes text stand for itself. A hyphen that somebody copies to a shell has to be the ASCII one; ^, ~, ' and ` too
// are drawn as something else by some printers. A line's end inside would let what follows begin a request.
func escape(s string) string {
	return strings.NewReplacer(`\`, `\e`, "-", `\-`, "^", `\(ha`, "~", `\(ti`, "'", `\(aq`, "`", `\(ga`, "\n", " ").Replace(s)
}

// guard keeps a line from being a request: those begin with a point or an apostrophe.
func guard(line string) string {
	if strings.HasPrefix(line, ".") || strings.HasPrefix(line, "'") {
		return `\&` + line
	}
	return line
}

// quote makes one argument of a macro, in which a quotation mark is written twice.
func quote(s string) string { return `"` + strings.ReplaceAll(escape(s), `"`, `\(dq`) + `"` }

// bold and italic are words in a font; the text around them stays in its own.
func bold(s string) string   { return `\fB` + escape(s) + `\fR` }
func italic(s string) string { return `\fI` + escape(s) + `\fR` }
