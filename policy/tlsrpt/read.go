package tlsrpt

import (
	"bytes"
	"strings"
	"time"
)

// Read reads one report, gzip or JSON, whatever its label said. It keeps all that makes sense and notes what did not: a field
// of the wrong type, an unreadable time, a domain that is none cost that field and no more. Errors are for documents that
// are no report at all, not JSON, or cut off (ErrFormat), and for those beyond a limit (ErrLimit); they name the byte and quote
// only escaped text. data is neither kept nor changed.
func Read(data []byte, limits Limits) (*Report, error) {
	json, notes, err := Unpack(data, limits)
	if err != nil {
		return nil, err
	}
	p := &parser{report: &Report{maxNotes: limits.Notes}, limits: limits}
	for _, n := range notes {
		p.report.note(n.Code, n.Path, "%s", n.Text)
	}
	p.s = scanner{maxDepth: limits.Depth, maxText: limits.Text, lenient: p.lenient}
	if p.s.src = bytes.TrimPrefix(json, []byte("\ufeff")); len(p.s.src) < len(json) {
		p.note(NoteEncoding, "a byte order mark was left out")
	}
	return p.document()
}

// parser joins the scanner with the report that it fills. path is the JSON pointer of what is being read.
type parser struct {
	s       scanner
	report  *Report
	limits  Limits
	path    []string
	details int // over the whole report
}

func (p *parser) note(code Code, format string, args ...any) {
	p.report.note(code, p.pointer(), format, args...)
}

func (p *parser) pointer() string {
	if len(p.path) == 0 {
		return ""
	}
	var b strings.Builder
	for _, step := range p.path {
		b.WriteByte('/')
		b.WriteString(pointerStep(step))
	}
	return b.String()
}

func (p *parser) lenient(code Code, what string) { p.note(code, "%s was let pass", what) }

// at runs read with one more step in the path.
func (p *parser) at(step string, read func()) {
	p.path = append(p.path, step)
	read()
	p.path = p.path[:len(p.path)-1]
}

func (p *parser) document() (*Report, error) {
	switch p.s.peek() {
	case '{':
		p.root()
	case '[': // a few tools keep a report as the one item of an array
		p.s.array(func(i int) {
			if i > 0 || p.s.peek() != '{' {
				p.s.fail("an array of something else than one report")
				return
			}
			p.note(NoteType, "the report was the item of an array")
			p.root()
		})
	default:
		p.s.fail("a report begins with a brace, not with %s", p.s.next())
	}
	if p.s.err != nil {
		return nil, p.s.err
	}
	if rest := bytes.Trim(p.s.src[p.s.pos:], "\x00 \t\r\n\x1a"); len(rest) > 0 {
		p.note(NoteTrailer, "%d bytes after the end of the report were left out", len(rest))
	}
	p.check()
	return p.report, nil
}

// root reads the members of RFC 8460 section 4.4. A member that stands twice counts as it stands last, as in most readers.
func (p *parser) root() {
	r, known := p.report, 0
	p.members(func(name string) bool {
		switch name {
		case "organization-name":
			r.Organization = p.textOr(r.Organization)
		case "contact-info":
			r.Contact = p.textOr(r.Contact)
		case "report-id":
			r.ID = p.textOr(r.ID)
		case "date-range":
			p.dateRange()
		case "policies":
			p.policies()
		case "policy", "summary", "failure-details": // before draft-ietf-uta-smtp-tlsrpt-08 a report had one policy, in itself
			if len(r.Policies) == 0 {
				p.note(NoteName, "a member of one policy stands in the report itself")
				r.Policies = []Policy{{Type: OtherPolicy}}
			}
			return p.policyMember(name, &r.Policies[0])
		default:
			return false
		}
		known++
		return true
	})
	if known == 0 && p.s.err == nil {
		p.s.fail("an object without any member of a report")
	}
}

// check notes what is wrong with the report as a whole.
func (p *parser) check() {
	r := p.report
	p.path = nil
	if r.ID == "" {
		r.note(NoteAbsent, "/report-id", "it is absent: duplicates are told by range and domain alone")
	}
	span := r.End.Sub(r.Begin)
	switch {
	case r.Begin.IsZero() || r.End.IsZero():
		r.note(NoteRange, "/date-range", "it is absent or half of it is")
	case span < 0:
		r.note(NoteRange, "/date-range", "it ends before it begins")
	case span > 49*time.Hour:
		r.note(NoteRange, "/date-range", "it spans %d days", int(span/(24*time.Hour)))
	}
}
