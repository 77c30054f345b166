package policy

import (
	"path"
	"regexp"
	"strings"
	"time"
	"unicode"
)

// IncidentsDir is the folder of a source whose files tell what went wrong: they are shown on the site, and are no part of
// the list.
const IncidentsDir = "incidents"

// IsIncident reports whether a file of a source, by its path from the source's directory, tells of an incident.
func IsIncident(name string) bool { return strings.HasPrefix(name, IncidentsDir+"/") }

// The bounds of an incident's texts, in bytes, and of its paragraphs, domains and releases.
const (
	maxIncidentTitle = 120
	maxIncidentText  = 2000
	maxIncidentParts = 40
)

// Incident is what the operator says of something that went wrong.
type Incident struct {
	ID       string // the file's name without ".json": "2026-03-02-witness-down"
	Title    string
	Began    time.Time
	Ended    time.Time // zero: it goes on
	Text     []string  // paragraphs
	Domains  []Domain  // whom it was about, if anybody in particular
	Releases []int64   // which releases, likewise
}

// incidentName is the day on which it began, and words.
var incidentName = regexp.MustCompile(`^([0-9]{4}-[0-9]{2}-[0-9]{2})(-[a-z0-9]+)+\.json$`)

// ParseIncident reads a file of the folder. With errors among the findings the result is not to be used.
func ParseIncident(f File) (Incident, []Finding) {
	i, _, findings := ParseIncidentDocument(f)
	return i, findings
}

// ParseIncidentDocument is ParseIncident, and returns the parsed file besides, nil when it is no JSON.
func ParseIncidentDocument(f File) (Incident, *Document, []Finding) {
	r := openDocument(f)
	if r.doc == nil {
		return Incident{}, nil, r.findings
	}
	root, base := &r.doc.Root, path.Base(f.Path)
	i := Incident{ID: strings.TrimSuffix(base, ".json")}
	m := r.members(root, "an incident", "title", "began", "ended", "text", "domains", "releases")
	if m == nil {
		return i, r.doc, r.findings
	}
	if r.required(m["title"], root, "title") {
		i.Title = r.shown(m["title"], "the title", maxIncidentTitle)
	}
	if r.required(m["began"], root, "began") {
		i.Began = r.moment(m["began"], "began")
	}
	if n := m["ended"]; n != nil && r.is(n, JSONString, "ended", "") {
		if i.Ended = r.moment(n, "ended"); !i.Ended.IsZero() && i.Ended.Before(i.Began) {
			r.report("incident.time", n.At, "", "it ended at %s, before it began at %s", i.Ended.Format(TimeFormat), i.Began.Format(TimeFormat))
		}
	}
	name := incidentName.FindStringSubmatch(base)
	switch {
	case name == nil || len(base) > 100 || path.Base(path.Dir(f.Path)) != IncidentsDir:
		r.report("incident.name", root.At, "", "%q is no day and words, or not in the folder %s itself", base, IncidentsDir)
	case !i.Began.IsZero() && i.Began.Format(time.DateOnly) != name[1]:
		r.report("incident.name", root.At, "", "the name says %s, and it began on %s", name[1], i.Began.Format(time.DateOnly))
	}
	i.Text = r.paragraphs(m["text"], root)
	i.Domains, i.Releases = r.concerned(m["domains"]), r.numbers(m["releases"])
	return i, r.doc, r.findings
}

// moment reads a time; what is none is reported.
func (r *nodeReader) moment(n *Node, what string) time.Time {
	t, err := ParseTime(n.Text)
	if err != nil {
		r.report("incident.time", n.At, "", "%s: %s", what, err)
	}
	return t
}

// shown reads a text that people are to read on a page.
func (r *nodeReader) shown(n *Node, what string, limit int) string {
	switch {
	case strings.TrimSpace(n.Text) == "" || len(n.Text) > limit:
		r.report("incident.text", n.At, "", "%s has %d bytes, and should have 1 to %d", what, len(n.Text), limit)
	case strings.IndexFunc(n.Text, func(c rune) bool { return !unicode.IsPrint(c) && c != ' ' }) >= 0:
		r.report("incident.text", n.At, "", "%s has characters that cannot be shown: %.40q", what, n.Text)
	}
	if holdsAddress(n.Text) {
		r.report("note.email", n.At, "", "%s holds an @ between words", what)
	}
	return n.Text
}

func (r *nodeReader) paragraphs(n, in *Node) (out []string) {
	if n == nil {
		r.report("source.shape", in.At, "", "text is missing")
		return nil
	}
	for _, c := range r.parts(n, "text", 1) {
		if r.is(&c, JSONString, "a paragraph of text", "") {
			out = append(out, r.shown(&c, "a paragraph", maxIncidentText))
		}
	}
	return out
}

// parts are the items of an array that is not too long.
func (r *nodeReader) parts(n *Node, what string, least int) []Node {
	if n == nil || !r.is(n, JSONArray, what, "") {
		return nil
	}
	if len(n.Children) < least || len(n.Children) > maxIncidentParts {
		r.report("incident.text", n.At, "", "%s has %d items, and should have %d to %d", what, len(n.Children), least, maxIncidentParts)
	}
	return n.Children
}

func (r *nodeReader) concerned(n *Node) (out []Domain) {
	for _, c := range r.parts(n, "domains", 1) {
		if !r.is(&c, JSONString, "a domain", "") {
			continue
		}
		d, err := ParseDomain(c.Text)
		if err != nil {
			r.report("domain.syntax", c.At, c.Text, "%v", err)
			continue
		}
		out = append(out, d)
	}
	return out
}

func (r *nodeReader) numbers(n *Node) (out []int64) {
	for _, c := range r.parts(n, "releases", 1) {
		if v := r.bounded(&c, "source.shape", "the number of a release", 1, 1<<53-1); v > 0 {
			out = append(out, int64(v))
		}
	}
	return out
}
