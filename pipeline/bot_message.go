package pipeline

import (
	"fmt"
	"strings"

	"github.com/starttls-everywhere/policylist/policy"
)

// maxTold is how many domains a message lists; a bulk edit of a provider's would drown everything else.
const maxTold = 200

// Message is what the run does in the words of a commit: a subject of at most 72 characters, an empty line, a line a
// domain. "" when there is nothing to do. It says what was decided and when things were seen, but not when it ran, so that
// the same run has the same message.
func (r *BotRun) Message() string {
	if len(r.Changes) == 0 {
		return ""
	}
	var b strings.Builder
	fmt.Fprintf(&b, "%s\n\n", r.subject())
	for i, c := range r.Changes {
		if i == maxTold {
			fmt.Fprintf(&b, "- and %d more\n", len(r.Changes)-maxTold)
			break
		}
		fmt.Fprintf(&b, "- %s: %s (%s): %s\n", c.Domain, c.transition(), c.Reason, c.Why)
	}
	return b.String()
}

func (r *BotRun) subject() string {
	domains := "1 domain"
	if n := len(r.Changes); n != 1 {
		domains = fmt.Sprintf("%d domains", n)
	}
	switch r.Bot {
	case "promote":
		return "Promote " + domains + " to enforce"
	case "demote":
		return "Demote or remove " + domains
	}
	return "Follow MTA-STS for " + domains
}

// transition is "testing to enforce", "mxs mx.a.example to mx.b.example", "removed".
func (c BotChange) transition() string {
	if c.New == nil {
		return "removed"
	}
	var parts []string
	if c.Old.Mode != c.New.Mode {
		parts = append(parts, c.Old.Mode.String()+" to "+c.New.Mode.String())
	}
	if c.Class.Has(policy.MXsNarrowed | policy.MXsWidened | policy.MXsReplaced) {
		parts = append(parts, "mxs "+patternsText(c.Old.MXs)+" to "+patternsText(c.New.MXs))
	}
	if c.Alias != "" {
		parts = append(parts, "by the alias "+c.Alias)
	}
	return strings.Join(parts, ", ")
}

func patternsText(mxs []policy.MXPattern) string {
	words := make([]string, len(mxs))
	for i, m := range mxs {
		words[i] = m.String()
	}
	return strings.Join(words, " ")
}
