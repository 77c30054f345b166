package main

import (
	"fmt"
	"strings"

	"github.com/starttls-everywhere/policylist/policy"
)

// answerOf is what the first list that names d says.
func answerOf(d policy.Domain, l standing, p policy.Policy) answer {
	return answer{
		Domain: d.String(), Listed: true, List: l.name, Mode: p.Mode.String(), MXs: patterns(p),
		Release: l.Release.Release, Freshness: l.Freshness,
	}
}

// pinWords tell that the list is an earlier one.
func pinWords(l standing) []string {
	if l.Pin == nil {
		return nil
	}
	return []string{fmt.Sprintf("list %s was put back to release %d until %s (starttls-policy rollback): %s", l.name, l.Pin.Release, stamp(l.Pin.Until), l.Pin.Reason)}
}

// localWords are what this machine has to say besides the lists, a line each: then they are not the last word. p is the
// listed policy, the zero one if there is none.
func (a *app) localWords(c config, d policy.Domain, p policy.Policy) []string {
	var out []string
	if off := readSwitch(c.State); off != nil {
		out = append(out, "all policies are off on this machine, until \"starttls-policy enable\": "+off.Reason)
	}
	if o, ok := c.Overrides.Find(d, a.now()); ok {
		says := "no policy"
		if len(o.Policy.MXs) > 0 {
			says = o.Policy.Mode.String() + " " + strings.Join(patterns(o.Policy), " ")
		}
		out = append(out, fmt.Sprintf("an override of this machine says %s: %s", says, o.Reason))
	} else if p.Mode == policy.Testing && c.Adopt.has(d) {
		out = append(out, "this machine enforces it (early-adopter)")
	}
	return out
}
