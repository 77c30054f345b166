package term

import (
	"fmt"
	"io"
	"strings"

	"github.com/starttls-everywhere/policylist/policy"
)

// Findings prints findings for people: place, severity, code and what is wrong on one line, below it what to do.
func Findings(w io.Writer, findings []policy.Finding) {
	for _, f := range findings {
		place := ""
		if f.File != "" {
			place = f.Position.String() + ": "
		}
		fmt.Fprintf(w, "%s%s: %s: %s\n    fix: %s\n", Escape(place), f.Severity, f.Code, Escape(f.Summary), Escape(f.Fix))
	}
}

// GitHub prints findings as workflow commands, which GitHub shows beside the lines of a pull request. The text comes from
// the pull request itself: unescaped it could give commands of its own to the workflow.
func GitHub(w io.Writer, findings []policy.Finding) {
	message := strings.NewReplacer("%", "%25", "\r", "%0D", "\n", "%0A")
	property := strings.NewReplacer("%", "%25", "\r", "%0D", "\n", "%0A", ":", "%3A", ",", "%2C")
	for _, f := range findings {
		var props []string
		if f.File != "" {
			props = append(props, "file="+property.Replace(f.File))
			if f.Line > 0 {
				props = append(props, fmt.Sprintf("line=%d,col=%d", f.Line, f.Col))
			}
		}
		props = append(props, "title="+property.Replace(f.Code))
		text := Escape(f.Summary) + "\nfix: " + Escape(f.Fix)
		fmt.Fprintf(w, "::%s %s::%s\n", f.Severity, strings.Join(props, ","), message.Replace(text))
	}
}

// Count says how many errors and warnings there are: "1 error, no warnings".
func Count(findings []policy.Finding) string {
	errors, warnings := 0, 0
	for _, f := range findings {
		if f.Severity == policy.Error {
			errors++
		} else {
			warnings++
		}
	}
	return Plural(errors, "error") + ", " + Plural(warnings, "warning")
}

// Plural is "no dogs", "1 dog" or "2 dogs".
func Plural(n int, noun string) string {
	switch n {
	case 0:
		return "no " + noun + "s"
	case 1:
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}
