package policy

import (
	"cmp"
	"fmt"
)

// Severity tells an error, which keeps a change out, from a warning, which a person should read, and from a notice,
// which is worth knowing and no fault.
type Severity string

const (
	Error   Severity = "error"   // keeps the change out
	Warning Severity = "warning" // a person should read it
	Notice  Severity = "notice"  // no fault
)

// Position is a place in a source file: 1-based line and column (in bytes); 0 where unknown.
type Position struct {
	File string `json:"file,omitempty"`
	Line int    `json:"line,omitempty"`
	Col  int    `json:"column,omitempty"`
}

// String returns file:line:column, shorter where parts are unknown.
func (p Position) String() string {
	switch {
	case p.Line == 0:
		return p.File
	case p.Col == 0:
		return fmt.Sprintf("%s:%d", p.File, p.Line)
	}
	return fmt.Sprintf("%s:%d:%d", p.File, p.Line, p.Col)
}

// Finding is a decision with its reason: the terminal, the pull request and the site print the same value.
// A Go error means "could not decide"; a Finding means "decided, and here is why".
type Finding struct {
	Code     string   `json:"code"` // stable and dotted, explained by "starttls-list code CODE"
	Severity Severity `json:"severity"`
	Position
	Domain  string `json:"domain,omitempty"` // the mail domain concerned, if one
	Summary string `json:"summary"`          // what is wrong here, one line
	Fix     string `json:"fix"`              // what to do about it
}

// Compare orders findings by place, then code, so that output is the same on every run.
func (f Finding) Compare(g Finding) int {
	return cmp.Or(
		cmp.Compare(f.File, g.File), cmp.Compare(f.Line, g.Line), cmp.Compare(f.Col, g.Col),
		cmp.Compare(f.Code, g.Code), cmp.Compare(f.Domain, g.Domain), cmp.Compare(f.Summary, g.Summary))
}
