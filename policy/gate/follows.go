package gate

import (
	"time"

	"github.com/starttls-everywhere/policylist/policy"
	"github.com/starttls-everywhere/policylist/policy/mtasts"
)

// followsSTS is the column of entries that follow the domain's MTA-STS policy.
func (r *row) followsSTS() {
	new := *r.change.New
	switch class := r.change.Class; {
	case class.Has(policy.Strengthened) || class.Has(policy.Added) && new.Mode == policy.Enforce:
		since, ok := r.says(promoteSTSDays*day, saysMode(mtasts.Enforce), codeSTSMode)
		r.sameHosts(new)
		r.admissible(new)
		r.arrives(new)
		if ok {
			r.passed(new, promoteSTSPasses, since)
		}
	case class.Has(policy.Added):
		r.says(0, binding, codeSTSMode)
		r.sameHosts(new)
		r.admissible(new)
		r.arrives(new)
	case class.Has(policy.Weakened):
		r.says(demoteSTSDelay, saysMode(mtasts.Testing), codeSTSMode)
	default:
		if r.Override != "" && r.Approval == nil {
			// The value stays the maintainers' until they drop the reason, but a new value is a new decision.
			r.lacks(codeMaintainers, "the override of %s (%q) is for another value", r.Domain, r.Override)
		}
		if r.Override == "" {
			r.says(mxsDelay, allowsSame(new), codeSTSDiffers)
		}
		if class.Has(policy.MXsNarrowed) {
			r.covers(new)
		} else {
			r.arrives(new)
		}
	}
}

// says asks for an MTA-STS policy that match takes, for d; code is for one that it does not take.
func (r *row) says(d time.Duration, match func(STS) bool, code string) (since time.Time, ok bool) {
	s := r.word(func(l Look) signal { return l.sts(r.need(), match) })
	if s.stands(r.Now) {
		r.began(s, d, "the MTA-STS policy has said so")
		return s.first, true
	}
	r.silent(s, match, code)
	return time.Time{}, false
}

// silent tells why MTA-STS does not speak for the change.
func (r *row) silent(s stretch, match func(STS) bool, code string) {
	l := r.newest()
	if l == nil {
		r.lacks(codeStale, "%s", r.Domain)
		return
	}
	var other STS
	told := 0
	for _, v := range l.STS {
		if !match(v.STS) && v.Vantages > told {
			other, told = v.STS, v.Vantages
		}
	}
	switch saw := r.sawSTS(match); {
	case saw > 0:
		r.lacks(codeDisagree, "%d of %s see an MTA-STS policy that says so", saw, plural(l.Voters, "vantage"))
	case other.Mode != "":
		r.lacks(code, "it says %s", other)
	case !s.last.IsZero() && !s.broken:
		r.lacks(codeStale, "MTA-STS said so last at %s", s.last.UTC().Format(policy.TimeFormat))
	default:
		r.lacks(codeNeedsSTS, "%s", r.Domain)
	}
}

// sameHosts asks that MTA-STS allows now what the entry allows, but for an override.
func (r *row) sameHosts(p policy.Policy) {
	if r.Override != "" {
		if r.change.Class.Has(policy.Added) && r.Approval == nil {
			r.lacks(codeMaintainers, "%s is added with an override", r.Domain)
		}
		return
	}
	l := r.newest()
	if l == nil {
		return // says has told
	}
	for _, v := range l.STS {
		if binding(v.STS) && !policy.SameHosts(v.MXs, p.MXs) {
			r.lacks(codeSTSDiffers, "it says %s", v.STS)
			return
		}
	}
}

// admissible asks that the policy lives long enough to be the owner's word (rule R31); one of the middle track takes
// the proof besides.
func (r *row) admissible(p policy.Policy) {
	l := r.newest()
	if l == nil {
		return
	}
	for _, v := range l.STS {
		if !binding(v.STS) || v.Track == mtasts.TrackService {
			continue
		}
		if v.Track == mtasts.TrackProof && r.proofStretch(asks(p)).stands(r.Now) {
			continue
		}
		r.lacks(codeSTSShort, "%s", r.Domain)
		return
	}
}
