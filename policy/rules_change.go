package policy

import (
	"encoding/json"
	"fmt"
	"regexp"
	"slices"
)

// SourceChange is a Change with where it comes from.
type SourceChange struct {
	Change
	Alias string   // the alias whose edit made it, "" when the entry itself was edited
	At    Position // of the entry now; zero when it is gone
}

// MarshalJSON is Change's with "alias" and the place added.
func (c SourceChange) MarshalJSON() ([]byte, error) {
	inner, err := c.Change.MarshalJSON()
	if err != nil || c.Alias == "" && c.At.File == "" {
		return inner, err
	}
	rest, err := json.Marshal(struct {
		Alias string `json:"alias,omitempty"`
		Position
	}{c.Alias, c.At})
	if err != nil {
		return nil, err
	}
	return append(append(inner[:len(inner)-1], ','), rest[1:]...), nil
}

// CompareSources lists what a new version of a source changes, an edit of an alias as a change of each member (rule
// R17), and applies the rules about steps (R52) and overrides (R54). Findings are sorted by place.
func CompareSources(before, after *Source) ([]SourceChange, []Finding) {
	var findings []Finding
	report := func(code string, at Position, domain, format string, args ...any) {
		findings = append(findings, NewFinding(code, at, domain, fmt.Sprintf(format, args...)))
	}
	old := before.Compile()
	changes := Diff(old, after.Compile())
	out := make([]SourceChange, 0, len(changes))
	for _, c := range changes {
		sc := SourceChange{Change: c}
		was, _ := before.Lookup(c.Domain)
		now, listed := after.Lookup(c.Domain)
		if listed {
			sc.At = now.Position()
		}
		if now.Alias != "" && now.Alias == was.Alias {
			sc.Alias = now.Alias
			report("change.alias", sc.At, c.Domain.name, "the edit of the alias %q changes %s: %s", sc.Alias, c.Domain, c.Class)
		}
		if c.Class.ModeAndMXs() {
			report("change.mode-and-mxs", sc.At, c.Domain.name, "%s is %s in one step", c.Domain, c.Class)
		}
		out = append(out, sc)
	}
	for _, x := range Count(len(old), changes).Over() {
		report("change.budget", Position{}, "", "%d domains are %s; a release carries %d of %d by itself", x.Count, x.Kind, x.Allowed, len(old))
	}
	for _, was := range before.Entries() {
		if was.Override == "" {
			continue
		}
		now, listed := after.Lookup(was.Domain)
		if listed && now.Override == was.Override {
			continue
		}
		var at Position
		if listed {
			at = now.Position()
		}
		report("change.override", at, was.Domain.name, "the override of %s (%q) is not kept", was.Domain, was.Override)
	}
	slices.SortFunc(findings, Finding.Compare)
	return out, findings
}

// Introduced returns the findings of after that a change is to blame for: those about a domain that changed, and those
// that were not there before. A finding that merely moved to another line was there before.
func Introduced(before, after []Finding, changes []SourceChange) []Finding {
	places := regexp.MustCompile(`(line |:)[0-9]+`)
	key := func(f Finding) string {
		return f.Code + "\x00" + f.Domain + "\x00" + places.ReplaceAllString(f.Summary, "$1")
	}
	had := make(map[string]int, len(before))
	for _, f := range before {
		had[key(f)]++
	}
	changed := make(map[string]bool, len(changes))
	for _, c := range changes {
		changed[c.Domain.name] = true
	}
	var out []Finding
	for _, f := range after {
		k := key(f)
		if had[k] > 0 && !changed[f.Domain] {
			had[k]--
			continue
		}
		out = append(out, f)
	}
	return out
}
