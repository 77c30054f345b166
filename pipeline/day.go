package pipeline

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	"github.com/starttls-everywhere/policylist/policy"
	"github.com/starttls-everywhere/policylist/policy/gate"
)

// codeStartles is of a release that goes out all the same, and that clients keep back.
const codeStartles = "release.startles"

// day is what the releases of the last 24 hours made, by the log: from the tracks, which have it for every domain, listed or
// not, and which are read from the outbox again when they are lost.
func (d *decider) day(before policy.List) (gate.Day, error) {
	type made struct {
		at time.Time
		policy.Change
	}
	var all []made
	for _, name := range d.out.tracks.domains() {
		domain, err := policy.ParseDomain(name)
		if err != nil {
			return gate.Day{}, err
		}
		t, err := d.out.tracks.of(domain)
		if err != nil {
			return gate.Day{}, err
		}
		log, err := t.logged(d.Now().Add(-gate.BudgetWindow))
		if err != nil {
			return gate.Day{}, err
		}
		for _, l := range log {
			c := gate.ChangeOf(domain, l.Before, l.After)
			if l.Before == nil && l.After == nil { // what it left is older than what the outbox keeps
				c.Old, c.Class = &policy.Policy{}, policy.Removed
			}
			all = append(all, made{l.At, c})
		}
	}
	slices.SortFunc(all, func(a, b made) int {
		return cmp.Or(a.at.Compare(b.at), cmp.Compare(a.Domain.String(), b.Domain.String()))
	})
	day := gate.Day{Listed: before.Len()}
	size := before.Len()
	for i, m := range slices.Backward(all) {
		switch {
		case m.Old == nil:
			size--
		case m.New == nil:
			size++
		}
		between := i > 0 && all[i-1].at.Equal(m.at) // of one release, in the middle of which nobody holds a list
		if !between && size > 0 && (day.Listed == 0 || size < day.Listed) {
			day.Listed = size
		}
	}
	for _, m := range all {
		day.Made = append(day.Made, m.Change)
	}
	return day, nil
}

// startles tells when clients with the list before will keep the next one back, where no gate holds it for that reason.
func (p *Probed) startles(before policy.List, last *Published) {
	if t := policy.Count(before.Len(), before.Diff(p.list)); t.Startles() {
		p.findings = append(p.findings, startling(last, t.Touched, t.Listed))
	}
}

// startling tells that clients will keep the release after last back.
func startling(last *Published, touched, listed int) policy.Finding {
	next := int64(1)
	if last != nil {
		next = last.leaf.Release + 1
	}
	return evidenceFinding(codeStartles, "", fmt.Sprintf("release %d touches %d entries of a list of %d, counting those of the 24 hours before: ", next, touched, listed))
}
