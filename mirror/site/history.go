package site

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	"github.com/starttls-everywhere/policylist/mirror"
	"github.com/starttls-everywhere/policylist/policy"
)

// Domain is one domain with what the log says of it.
type Domain struct {
	Name   policy.Domain
	Events []Event // oldest first, at least one
}

// Event is one change of a domain's policy, by a valid release.
type Event struct {
	Domain  policy.Domain
	Before  *policy.Policy // nil: was not listed
	After   *policy.Policy // nil: is not listed any more
	Reason  string         // a code of policy/RULES.md
	Release int64
	Time    time.Time // of the release
	Index   int64     // of the change leaf
	Source  string    // of the release: "git:<commit>", "import:<sha256>" or "renew"
}

// Op is "set" or "del", as the leaf says it.
func (e Event) Op() string {
	if e.After == nil {
		return "del"
	}
	return "set"
}

// Class says what the change means for senders.
func (e Event) Class() policy.Class {
	one := func(p *policy.Policy) []policy.Entry {
		if p == nil {
			return nil
		}
		return []policy.Entry{{Domain: e.Domain, Policy: *p}}
	}
	var class policy.Class
	for _, c := range policy.Diff(one(e.Before), one(e.After)) {
		class |= c.Class
	}
	return class
}

// Last is the newest event.
func (d Domain) Last() Event { return d.Events[len(d.Events)-1] }

// Policy is what the list says now, nil for a domain that is not on it any more.
func (d Domain) Policy() *policy.Policy { return d.Last().After }

// Added is the event by which the domain came on the list, the last time that it did.
func (d Domain) Added() Event { return d.since(func(e Event) bool { return e.Before == nil }) }

// ModeSince is the event by which the present mode was set.
func (d Domain) ModeSince() Event {
	return d.since(func(e Event) bool { return e.Before == nil || e.After == nil || e.Before.Mode != e.After.Mode })
}

// since is the newest event that f accepts. The first event of a log is an addition, so there is one.
func (d Domain) since(f func(Event) bool) Event {
	for _, e := range slices.Backward(d.Events) {
		if f(e) {
			return e
		}
	}
	return d.Events[0]
}

// history folds the valid releases of a log, one after the other.
type history struct {
	releases []Release
	events   map[policy.Domain][]Event
}

// add takes the release at an index of the log, which mirror.Replay found to be valid.
func (h *history) add(leaves []mirror.Leaf, index int64) error {
	leaf := leaves[index].Release
	if leaf == nil || leaf.From < 0 || leaf.From > leaf.To || leaf.To > index {
		return fmt.Errorf("entry %d is no release", index)
	}
	for i := leaf.From; i < leaf.To; i++ {
		c := leaves[i].Change
		if c == nil {
			return fmt.Errorf("entry %d is no change", i)
		}
		var before *policy.Policy
		if past := h.events[c.Domain]; len(past) > 0 {
			before = past[len(past)-1].After
		}
		h.events[c.Domain] = append(h.events[c.Domain], Event{c.Domain, before, c.Policy, c.Reason, leaf.Release, leaf.Timestamp, i, leaf.Source})
	}
	h.releases = append(h.releases, Release{leaf, index})
	return nil
}

// domains returns the histories, sorted.
func (h *history) domains() []Domain {
	out := make([]Domain, 0, len(h.events))
	for name, events := range h.events {
		out = append(out, Domain{name, events})
	}
	slices.SortFunc(out, func(a, b Domain) int { return cmp.Compare(a.Name.String(), b.Name.String()) })
	return out
}

// list is the list after the last release.
func (h *history) list(domains []Domain) (policy.List, error) {
	var entries []policy.Entry
	for _, d := range domains {
		if p := d.Policy(); p != nil {
			entries = append(entries, policy.Entry{Domain: d.Name, Policy: *p})
		}
	}
	return policy.NewList(entries)
}
