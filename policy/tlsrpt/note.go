package tlsrpt

import (
	"fmt"
	"strconv"
)

// Code names a kind of note. Codes are stable.
type Code string

// The codes of notes. What each did to the report stands beside it.
const (
	NoteLabel     Code = "label"     // not what the transport's label said; read as what it is
	NoteTrailer   Code = "trailer"   // bytes after the end of the document were left out, or its gzip has no end
	NoteEncoding  Code = "encoding"  // a byte order mark or bytes that are no UTF-8 were replaced
	NoteSyntax    Code = "syntax"    // something that JSON forbids was read all the same
	NoteDuplicate Code = "duplicate" // a member stood twice; the last counts
	NoteName      Code = "name"      // a member had another name, of a draft or in other capitals
	NoteType      Code = "type"      // a value had another JSON type; converted, or left out
	NoteTime      Code = "time"      // a time was not as RFC 3339 has it; read as UTC, or left out
	NoteRange     Code = "range"     // the date range is absent, reversed or far longer than a day
	NoteAddress   Code = "address"   // an IP address was not readable; left out
	NoteDomain    Code = "domain"    // policy-domain was normalised, or is no domain and was left out
	NoteAbsent    Code = "absent"    // a member that RFC 8460 has is not there
	NoteUnknown   Code = "unknown"   // a policy-type or result-type of no registry; counts as "other"
	NoteCount     Code = "count"     // a number of sessions was not one, or beyond all bounds
	NoteTooMany   Code = "too-many"  // items beyond a limit were left out
	NoteTooLong   Code = "too-long"  // a text was cut
	NoteAttribute Code = "attribute" // an entry named no domain; one was found elsewhere
)

// Note says what was tolerated in a report, and where. Its text is harmless: whatever it quotes of the report is escaped to
// printable ASCII and cut.
type Note struct {
	Code Code   `json:"code"`
	Path string `json:"path"` // JSON pointer into the document (RFC 6901), "" for the whole of it
	Text string `json:"text"` // one line, for people
}

// String returns "/policies/0/policy: text", or the text alone.
func (n Note) String() string {
	if n.Path == "" {
		return n.Text
	}
	return n.Path + ": " + n.Text
}

// maxQuoted is how much of a hostile text a note quotes.
const maxQuoted = 60

// quote makes text of a report fit for a note, a log or a terminal: Go's escapes, so that neither escape sequences nor
// look-alikes nor line ends come through.
func quote(s string) string {
	if len(s) > maxQuoted {
		return strconv.QuoteToASCII(s[:maxQuoted]) + "..."
	}
	return strconv.QuoteToASCII(s)
}

// note adds a note as long as there is room.
func (r *Report) note(code Code, path, format string, args ...any) {
	most := r.maxNotes
	if most == 0 {
		most = DefaultLimits().Notes
	}
	if len(r.Notes) >= most {
		r.Unnoted++
		return
	}
	r.Notes = append(r.Notes, Note{Code: code, Path: path, Text: fmt.Sprintf(format, args...)})
}
