package pipeline

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/starttls-everywhere/policylist/pipeline/probe"
	"github.com/starttls-everywhere/policylist/policy"
	"github.com/starttls-everywhere/policylist/policy/gate"
)

// unseen is the answer to a scan of the releasing host that failed: the list is renewed all the same, an alarm tells, and
// nothing new goes in. A resolver that is down must not let every client's list expire.
func (p *Publisher) unseen(ctx context.Context, targets []probe.Target, why error, out *Probed) (map[policy.Domain]probe.Result, error) {
	if ctx.Err() != nil {
		return nil, ctx.Err()
	}
	out.findings = append(out.findings, evidenceFinding(codeScanFailed, "", why.Error()+": "))
	out.evidence, out.incomplete = nil, true
	clear(out.looks)
	return fill(nil, targets, codeScanFailed), nil
}

// leftOut is how many of so many listed domains a scan may leave out and still be one of the whole list: one in a
// hundred, and one of ten or more. A missing vantage or shard costs more than that; a single domain must not keep all
// others from joining, and is held by itself.
func leftOut(due int) int { return max(due/100, min(1, due/10)) }

// whole reports whether the scan was of the whole list: all that is listed was looked at but for a few, by a quorum.
// What was left out says nothing about those domains; but a release lets in what is new on the word that the rest of the
// list was looked after, too. The alarm is among the findings; one that there is already says more.
func (p *Publisher) whole(before policy.List, wanted []policy.Entry, targets []probe.Target, results map[policy.Domain]probe.Result, out *Probed) {
	if p.blind() || out.incomplete {
		return
	}
	stays := make(map[policy.Domain]bool, len(wanted))
	for _, e := range wanted {
		stays[e.Domain] = true
	}
	due, left, dropped := 0, []string{}, 0
	for _, t := range targets {
		if _, listed := before.Lookup(t.Domain); !listed {
			continue
		}
		due++
		if codes := results[t.Domain].Codes; slices.Contains(codes, codeEvidenceAbsent) || slices.Contains(codes, codeWithdrawn) {
			left = append(left, t.Domain.String())
			if !stays[t.Domain] {
				dropped++
			}
		}
	}
	why := fmt.Sprintf("%d of %d listed domains were left out", len(left), due)
	if dropped > 0 {
		why += fmt.Sprintf(", of which the source has dropped %d (probe --published looks after those)", dropped)
	}
	switch {
	case len(left) > leftOut(due):
		out.partial(why + ": ")
	case due > 0 && out.voters < out.quorum:
		out.partial(fmt.Sprintf("%d of the vantages looked, and it takes %d: ", out.voters, out.quorum))
	case len(left) > 0:
		out.findings = append(out.findings, evidenceFinding(codeScanLeftOut, "", why+" ("+strings.Join(left[:min(len(left), maxNamed)], " ")+"): "))
	}
}

// maxNamed is how many domains that a scan left out are named.
const maxNamed = 10

func (p *Probed) partial(why string) {
	p.findings = append(p.findings, evidenceFinding(codeScanPartial, "", why))
	p.incomplete = true
}

// lookers counts the vantages that looked at a domain, whatever they saw.
func lookers(m probe.Merged) (n int) {
	for _, v := range m.Votes {
		if v.Void != codeWithdrawn {
			n++
		}
	}
	return n
}

// asksMore reports whether a change lets in what is new, or asks senders for more.
func asksMore(c policy.Change) bool { return c.Class.Has(policy.Added | policy.Strengthened) }

// heldBack holds a change that a scan of the whole list has to stand behind.
func heldBack(c policy.Change) Held {
	return Held{Change: c, Verdict: probe.Inconclusive, Codes: []string{codeScanPartial},
		Found: []policy.Finding{evidenceFinding(codeScanPartial, c.Domain.String(), "")}}
}

// standBehind takes the steps away that a scan of the whole list has to stand behind, where it was not one. Other MX hosts
// rest on mail arriving at them: what an earlier scan saw of that is not enough where this one saw nothing of the domain,
// be it that nobody looked at it or that what they say cannot be used. What takes away goes on, by what was seen before.
func (p *Probed) standBehind(steps []gate.Step) []gate.Step {
	if !p.incomplete {
		return steps
	}
	var out []gate.Step
	for _, s := range steps {
		moves := s.Change.Class.Has(policy.MXsNarrowed|policy.MXsWidened|policy.MXsReplaced) && p.looks[s.Change.Domain].Voters == 0
		if !moves && !asksMore(s.Change) {
			out = append(out, s)
			continue
		}
		h := heldBack(s.Change)
		h.Since = s.Since
		p.held = append(p.held, h)
	}
	return out
}
