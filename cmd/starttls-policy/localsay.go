package main

import (
	"slices"
	"strings"
	"time"

	"github.com/starttls-everywhere/policylist/mirror/leaveout"
	"github.com/starttls-everywhere/policylist/mirror/socketmap"
	"github.com/starttls-everywhere/policylist/policy"
	"github.com/starttls-everywhere/policylist/policy/mta"
)

// localSay is what this machine's administrator has to say about domains.
type localSay struct {
	overrides socketmap.Overrides
	adopt     adopted
	now       time.Time
	own       *ownWord         // nil: what domains say about themselves does not count
	sources   leaveout.Sources // of it
}

// localSay is what the configuration says.
func (a *app) localSay(c config) localSay {
	l := localSay{overrides: c.Overrides, adopt: c.Adopt, now: a.now(), own: a.ownWord(c)}
	if l.own != nil {
		l.sources = c.LeaveOut.Sources
	}
	return l
}

// apply puts the administrator's word above the lists', and the domains' own between the two.
func (l localSay) apply(list policy.List) (policy.List, []leftOut, error) {
	if len(l.overrides) == 0 && len(l.adopt) == 0 && l.own == nil {
		return list, nil, nil
	}
	var edits []policy.Edit // the list stays what it is but for these
	var left []leftOut
	for d, p := range list.All() {
		if _, ok := l.overrides.Find(d, l.now); ok {
			continue
		}
		adopted := p.Mode == policy.Testing && l.adopt.has(d)
		if adopted {
			p.Mode = policy.Enforce
		}
		if why, out := l.leaves(d, p); out {
			left = append(left, why)
			edits = append(edits, policy.Edit{Domain: d})
		} else if adopted {
			edits = append(edits, policy.Edit{Domain: d, Policy: &p})
		}
	}
	for d := range l.overrides {
		o, ok := l.overrides.Find(d, l.now)
		listed, is := list.Lookup(d)
		switch {
		case !ok:
		case len(o.Policy.MXs) == 0 && is:
			edits = append(edits, policy.Edit{Domain: d})
		case len(o.Policy.MXs) > 0 && !(is && listed.Equal(o.Policy)):
			edits = append(edits, policy.Edit{Domain: d, Policy: &o.Policy})
		}
	}
	slices.SortFunc(edits, func(x, y policy.Edit) int { return strings.Compare(x.Domain.String(), y.Domain.String()) })
	list, err := list.Apply(edits)
	return list, left, err
}

// entries are the overrides that hold now and ask for something.
func (l localSay) entries() (out []policy.Entry) {
	for d := range l.overrides {
		if o, ok := l.overrides.Find(d, l.now); ok && len(o.Policy.MXs) > 0 {
			out = append(out, policy.Entry{Domain: d, Policy: o.Policy})
		}
	}
	return out
}

// alone is what the administrator says where no list is in force: no list gave it, so no list's end takes it away.
func (l localSay) alone() (policy.List, error) { return policy.NewList(l.entries()) }

// header is of a file that has nothing but overrides: it ends with the first of them.
func (l localSay) header() mta.Header {
	h := mta.Header{Origin: "none", Expires: time.Date(9999, 12, 31, 23, 59, 59, 0, time.UTC)}
	for d := range l.overrides {
		if o, ok := l.overrides.Find(d, l.now); ok && !o.Until.IsZero() && o.Until.Before(h.Expires) {
			h.Expires = o.Until
		}
	}
	return h
}
