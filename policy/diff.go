package policy

import (
	"encoding/json"
	"iter"
	"slices"
	"strings"
)

// Class says how a change alters what a domain asks of senders. It is a set: a change of mode and of mxs in one step
// has one flag of each kind, and rule R52 refuses it.
type Class uint8

const (
	Added        Class = 1 << iota // was not listed
	Removed                        // is not listed any more
	Strengthened                   // testing to enforce
	Weakened                       // enforce to testing
	MXsNarrowed                    // every host that is allowed now was allowed before
	MXsWidened                     // every host that was allowed before still is
	MXsReplaced                    // neither
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
	return diff(func(yield func(Domain, Policy) bool) {
		for _, e := range before {
			if !yield(e.Domain, e.Policy) {
				return
			}
		}
	}, after)
}

// DiffEntries is Diff from the list to entries.
func (l List) DiffEntries(after []Entry) []Change { return diff(l.All(), after) }

func diff(before iter.Seq2[Domain, Policy], after []Entry) (changes []Change) {
	add := func() {
		changes = append(changes, Change{after[0].Domain, nil, &after[0].Policy, Added})
		after = after[1:]
	}
	for d, p := range before {
		for len(after) > 0 && after[0].Domain.name < d.name {
			add()
		}
		switch {
		case len(after) == 0 || after[0].Domain != d:
			changes = append(changes, removed(d, p))
			continue
		case !p.Equal(after[0].Policy):
			changes = append(changes, changed(d, p, after[0].Policy))
		}
		after = after[1:]
	}
	for len(after) > 0 {
		add()
	}
	return changes
}

// Diff is Diff from the list to another. What the two share costs nothing.
func (l List) Diff(after List) (changes []Change) {
	a, b := cursor{blocks: l.blocks}, cursor{blocks: after.blocks}
	for {
		a.skipShared(&b)
		x, okX := a.peek()
		y, okY := b.peek()
		switch {
		case !okX && !okY:
			return changes
		case !okY || okX && x.name < y.name:
			changes = append(changes, removed(Domain{x.name}, decodePolicy(x.policy)))
			a.take(x)
		case !okX || y.name < x.name:
			p := decodePolicy(y.policy)
			changes = append(changes, Change{Domain{y.name}, nil, &p, Added})
			b.take(y)
		default:
			if x.policy != y.policy {
				changes = append(changes, changed(Domain{x.name}, decodePolicy(x.policy), decodePolicy(y.policy)))
			}
			a.take(x)
			b.take(y)
		}
	}
}

// removed and changed have copies of policies, so that a comparison that finds nothing allocates nothing.
func removed(d Domain, old Policy) Change { return Change{d, &old, nil, Removed} }

func changed(d Domain, old, new Policy) Change {
	return Change{d, &old, &new, classify(&old, &new)}
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
