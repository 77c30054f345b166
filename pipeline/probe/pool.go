package probe

import (
	"fmt"
	"slices"
)

// server judges one address by all sessions with it. Machines behind one address must be in order each by itself: a
// sender cannot choose which one answers.
func (j *judge) server(h Host, s Session) hostState {
	before := len(j.codes)
	state := j.session(h, s)
	own := failing(j.codes[before:])
	odd, byName := false, false
	for _, sample := range s.Samples {
		other := &judge{domain: j.domain, policy: j.policy, now: j.now, expiry: j.expiry, verdict: Pass}
		seen := other.session(h, sample.session(s.Address))
		faults := failing(other.codes)
		switch {
		case seen != hostGood && seen != hostBad: // turned away, or out of reach: that says nothing
		case sample.Kind == sampleBare && tlsMatter(sample.Stage):
			byName = byName || seen == hostBad
		case state != hostGood && state != hostBad, slices.Equal(own, faults):
		default:
			odd = true
			j.absorb(other)
		}
	}
	at := fmt.Sprintf("%s [%s]", h.Name, s.Address)
	switch {
	case odd:
		j.add("pool.inconsistent", "%s", at)
		return hostBad
	case byName && state == hostGood:
		j.add("tls.sni-required", "%s", at)
	}
	return state
}

// absorb takes over what speaks against the domain in another's judgement.
func (j *judge) absorb(other *judge) {
	for _, f := range other.findings {
		if e := effectOf(f.Code); e.verdict == Fail {
			j.findings = append(j.findings, f)
			j.codes = append(j.codes, f.Code)
			j.verdict = Worse(j.verdict, Fail)
		}
	}
}

// failing are the codes that fail a domain, sorted, each once.
func failing(codes []string) []string {
	var out []string
	for _, id := range codes {
		if effectOf(id).verdict == Fail {
			out = append(out, id)
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}
