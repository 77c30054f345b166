package doctor

import (
	"fmt"
	"slices"
	"strings"

	"github.com/starttls-everywhere/policylist/policy"
)

// Finding is one thing that is wrong, or worth knowing.
type Finding struct {
	Code     string          `json:"code"` // explained by "starttls-policy doctor --code CODE"
	Severity policy.Severity `json:"severity"`
	Summary  string          `json:"summary"` // what the code means
	Found    string          `json:"found"`   // what it is here
	Fix      string          `json:"fix"`     // what to do about it; a command where one does it
}

// LookupCode finds the explanation of id among Codes.
func LookupCode(id string) (policy.Code, bool) {
	codes := Codes()
	i := slices.IndexFunc(codes, func(c policy.Code) bool { return c.ID == id })
	if i < 0 {
		return policy.Code{}, false
	}
	return codes[i], true
}

// found is a finding of code id. A fix of "" is that of the code. An id outside the table would be a mistake of ours; it
// counts as an error, so that nothing slips through.
func found(id, fix, format string, args ...any) Finding {
	c, ok := LookupCode(id)
	if !ok {
		c.Severity = policy.Error
	}
	if fix == "" {
		fix = c.Fix
	}
	return Finding{id, c.Severity, c.Summary, fmt.Sprintf(format, args...), fix}
}

// HasErrors reports whether any finding is an error.
func HasErrors(findings []Finding) bool {
	return slices.ContainsFunc(findings, func(f Finding) bool { return f.Severity == policy.Error })
}

// Count is how many findings are of a severity.
func Count(findings []Finding, s policy.Severity) int {
	n := 0
	for _, f := range findings {
		if f.Severity == s {
			n++
		}
	}
	return n
}

// Examine applies every rule. Errors come first, then warnings, then notices; each in the order of Codes.
func Examine(f Facts) []Finding {
	var out []Finding
	for _, rule := range []func(Facts) []Finding{
		server, policyMaps, transports, tables, dialects, levels, authorities, protocols, relays, sockets, daemon, resolver,
		lists, local, updates, feedback, state, exim,
	} {
		out = append(out, rule(f)...)
	}
	severities := []policy.Severity{policy.Error, policy.Warning, policy.Notice}
	slices.SortStableFunc(out, func(a, b Finding) int {
		return slices.Index(severities, a.Severity) - slices.Index(severities, b.Severity)
	})
	return out
}

func server(f Facts) (out []Finding) {
	for _, what := range f.Unseen {
		out = append(out, found("doctor.unseen", "", "%s", what))
	}
	switch {
	case f.Postfix == nil && f.Exim == nil:
		out = append(out, found("doctor.mta.none", "", "%s", f.OtherMTA))
	case f.Postfix != nil && f.Table == nil && f.Exim == nil && len(f.Daemon.listen()) == 0 && !f.oursAnswers():
		out = append(out, found("doctor.mta.unused", "", "Postfix %s is here, and the configuration has neither [postfix] nor [serve]", f.Postfix.Version))
	}
	return out
}

func (d *Daemon) listen() []string {
	if d == nil {
		return nil
	}
	return d.Listen
}

func (f Facts) oursAnswers() bool {
	return slices.ContainsFunc(f.Sockets, func(s Socket) bool { return s.Ours })
}

// postconf is the command that sets a parameter.
func postconf(name, value string) string {
	return fmt.Sprintf("postconf -e %s && postfix reload", quote(strings.TrimSpace(name+" = "+value)))
}

// quote makes one word of s for a shell.
func quote(s string) string { return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'" }
