package pipeline

import (
	"slices"
	"strings"

	"github.com/starttls-everywhere/policylist/policy"
	"github.com/starttls-everywhere/policylist/policy/discovery"
)

// Strangers finds MX patterns that a change adds and that are nobody's here: no MX record uses them, and they lie neither
// under the domain nor with a known provider (rule R53). Hosts of one network once stood in the entry of quite another. Such
// a change needs a person, who agrees by naming the host in the entry's note or override.
type Strangers struct {
	checked Checked
	used    map[policy.MXPattern]bool // by an MX record of a domain that was looked at
}

// NewStrangers looks for those of a checked change.
func NewStrangers(c Checked) *Strangers { return &Strangers{c, map[policy.MXPattern]bool{}} }

// Seen finds those of a domain whose MX records were looked up. A lookup that failed shows no MX record at all: a name server
// that is silent at the right moment must not let a stranger in.
func (s *Strangers) Seen(ch policy.SourceChange, r discovery.Route) []policy.Finding {
	var live []policy.Domain
	for _, h := range r.Hosts {
		if h.Flaw == "" {
			live = append(live, h.Domain)
		}
	}
	if ch.New != nil {
		for _, m := range ch.New.MXs {
			s.used[m] = s.used[m] || slices.ContainsFunc(live, m.Matches)
		}
	}
	found := s.strange(ch, live, nil)
	for i := range found {
		if r.Kind == discovery.RouteUnknown {
			found[i].Summary = "as far as could be looked up, " + found[i].Summary
		}
	}
	return found
}

// Unseen finds those of a domain that nobody looked up, among many: a pattern that an MX record of another of them uses is
// not a stranger's.
func (s *Strangers) Unseen(ch policy.SourceChange) []policy.Finding {
	return s.strange(ch, nil, s.used)
}

func (s *Strangers) strange(ch policy.SourceChange, live []policy.Domain, used map[policy.MXPattern]bool) []policy.Finding {
	if ch.New == nil {
		return nil
	}
	agreed := s.agreed(ch.Domain)
	var added []policy.MXPattern
	for _, m := range ch.New.MXs {
		old := ch.Old != nil && slices.ContainsFunc(ch.Old.MXs, func(o policy.MXPattern) bool { return o.Covers(m) })
		if !old && !used[m] && !slices.Contains(agreed, m) {
			added = append(added, m)
		}
	}
	return policy.ForeignUnused(ch.Domain, policy.Policy{MXs: added}, live, ch.At)
}

// agreed are the patterns that the note or the override of an entry names, as they stand in mxs or as MTA-STS has them.
func (s *Strangers) agreed(d policy.Domain) (named []policy.MXPattern) {
	e, listed := s.checked.Source().Lookup(d)
	if !listed {
		return nil
	}
	words := strings.FieldsFunc(e.Note+" "+e.Override, func(r rune) bool { return strings.ContainsRune(" \t\n,;:!?()[]\"'`", r) })
	for _, w := range words {
		if m, err := policy.NormalizeMXPattern(strings.TrimRight(w, ".")); err == nil {
			named = append(named, m)
		}
	}
	return named
}
