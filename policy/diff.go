package policy

import (
	"cmp"
	"encoding/json"
	"slices"
	"strings"
)

// Class says how a change alters what a domain asks of senders. It is a set: a change of mode and of mxs in one step
// has one flag of each kind, and rule R52 refuses it.
type Class uint8

const (
	Added Class = 1 << iota
	Removed
	Strengthened // testing to enforce
	Weakened     // enforce to testing
	MXsNarrowed  // every host that is allowed now was allowed before
	MXsWidened   // every host that was allowed before still is
	MXsReplaced  // neither
)

// mxsClasses are the flags of which a change has at most one.
const mxsClasses = MXsNarrowed | MXsWidened | MXsReplaced

// Has reports whether any flag of q is set.
func (c Class) Has(q Class) bool { return c&q != 0 }

// ModeAndMXs reports whether mode and mxs change in one step.
func (c Class) ModeAndMXs() bool { return c.Has(Strengthened|Weakened) && c.Has(mxsClasses) }

// String joins the flags' names with plus signs: "strengthened+mxs-replaced".
func (c Class) String() string {
	var names []string
	for i, name := range []string{"added", "removed", "strengthened", "weakened", "mxs-narrowed", "mxs-widened", "mxs-replaced"} {
		if c.Has(1 << i) {
			names = append(names, name)
		}
	}
	return strings.Join(names, "+")
}

// Change is one domain's difference between two lists.
type Change struct {
	Domain Domain
	Old    *Policy // nil: was not listed
	New    *Policy // nil: is not listed any more
	Class  Class
}

// MarshalJSON writes {"domain":…,"class":…,"old":…,"new":…} without the policy that does not exist.
func (c Change) MarshalJSON() ([]byte, error) {
	raw := func(p *Policy) json.RawMessage {
		if p == nil {
			return nil
		}
		return p.AppendJSON(nil)
	}
	return json.Marshal(struct {
		Domain string          `json:"domain"`
		Class  string          `json:"class"`
		Old    json.RawMessage `json:"old,omitempty"`
		New    json.RawMessage `json:"new,omitempty"`
	}{c.Domain.name, c.Class.String(), raw(c.Old), raw(c.New)})
}

// Diff compares two lists, each sorted by domain and unique, and returns the changes in the same order.
func Diff(before, after []Entry) []Change {
	var changes []Change
	for len(before) > 0 || len(after) > 0 {
		order := 0
		switch {
		case len(after) == 0:
			order = -1
		case len(before) == 0:
			order = 1
		default:
			order = cmp.Compare(before[0].Domain.name, after[0].Domain.name)
		}
		switch {
		case order < 0:
			changes = append(changes, Change{before[0].Domain, &before[0].Policy, nil, Removed})
			before = before[1:]
		case order > 0:
			changes = append(changes, Change{after[0].Domain, nil, &after[0].Policy, Added})
			after = after[1:]
		default:
			if old, new := &before[0].Policy, &after[0].Policy; !old.Equal(*new) {
				changes = append(changes, Change{after[0].Domain, old, new, classify(old, new)})
			}
			before, after = before[1:], after[1:]
		}
	}
	return changes
}

func classify(old, new *Policy) Class {
	var c Class
	switch {
	case old.Mode < new.Mode:
		c = Strengthened
	case old.Mode > new.Mode:
		c = Weakened
	}
	switch {
	case slices.Equal(old.MXs, new.MXs):
	case covers(old.MXs, new.MXs): // also when only patterns that others cover come or go
		c |= MXsNarrowed
	case covers(new.MXs, old.MXs):
		c |= MXsWidened
	default:
		c |= MXsReplaced
	}
	return c
}

// covers reports whether every host that narrow allows is allowed by wide.
func covers(wide, narrow []MXPattern) bool {
	return !slices.ContainsFunc(narrow, func(n MXPattern) bool {
		return !slices.ContainsFunc(wide, func(w MXPattern) bool { return w.Covers(n) })
	})
}

// SameHosts reports whether two sets of patterns allow the same hosts, however they spell it.
func SameHosts(a, b []MXPattern) bool { return covers(a, b) && covers(b, a) }
