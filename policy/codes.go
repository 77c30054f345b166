package policy

import "slices"

// Reason is the severity of a code that is no finding: it says in a log leaf why a change or an override was made.
const Reason Severity = "reason"

// Code explains one stable identifier. Codes are never renamed or given another meaning: logs and other people's
// scripts hold them.
type Code struct {
	ID       string   `json:"code"`     // lower case, dotted: "mx.public-suffix"
	Rules    []string `json:"rules"`    // the rules it stands for, as policy/RULES.md numbers them
	Severity Severity `json:"severity"` // Error, Warning, Notice or Reason
	Summary  string   `json:"summary"`  // what it means, one line
	Fix      string   `json:"fix"`      // what to do about it; for a reason, who may give it
}

// Codes returns the whole table of this package, in the order of policy/RULES.md.
func Codes() []Code {
	return slices.Concat(fileCodes(), incidentCodes(), listCodes(), domainCodes(), entryCodes(), mxCodes(), oldListCodes(), changeCodes(), reasonCodes())
}

// LookupCode finds the explanation of id among Codes.
func LookupCode(id string) (Code, bool) {
	codes := Codes()
	i := slices.IndexFunc(codes, func(c Code) bool { return c.ID == id })
	if i < 0 {
		return Code{}, false
	}
	return codes[i], true
}

// NewFinding is a finding of code id at a place, with that code's severity and fix. An id outside the table would be a
// mistake of ours; it counts as an error, so that nothing slips through.
func NewFinding(id string, at Position, domain, summary string) Finding {
	c, ok := LookupCode(id)
	if !ok {
		c.Severity = Error
	}
	return Finding{Code: id, Severity: c.Severity, Position: at, Domain: domain, Summary: summary, Fix: c.Fix}
}

// HasErrors reports whether any finding is an error.
func HasErrors(findings []Finding) bool {
	return slices.ContainsFunc(findings, func(f Finding) bool { return f.Severity == Error })
}
