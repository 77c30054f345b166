package socketmap

import (
	"cmp"
	"context"

	"github.com/starttls-everywhere/policylist/policy"
	"github.com/starttls-everywhere/policylist/policy/discovery"
	"github.com/starttls-everywhere/policylist/policy/mtasts"
)

// Own is what a domain says about itself, apart from any list.
type Own struct {
	// DANE says that DNSSEC proves usable TLSA records for every MX host; DANEKnown is false when nobody can tell, because a
	// lookup ended without an answer.
	DANE, DANEKnown bool
	// STS is the valid MTA-STS policy, live or cached; nil when there is none. STSKnown is false when the search did not
	// end, or did not confirm a policy that is still valid.
	STS      *mtasts.Policy
	STSKnown bool
}

// Own asks d anew, of what Live looks at. What is cut short by the end of ctx is not known.
func (l *Live) Own(ctx context.Context, d policy.Domain) (o Own) {
	ctx, cancel := context.WithTimeout(ctx, cmp.Or(l.Patience, livePatience))
	defer cancel()
	if l.DANE {
		o.DANE, o.DANEKnown = l.route(ctx, d).usable()
	}
	if l.Fetcher != nil {
		o.STSKnown = l.search(ctx, d).trouble == ""
		o.STS = l.Held(d)
	}
	if cutShort(ctx) {
		o.DANE, o.DANEKnown, o.STSKnown = false, false, false
	}
	return o
}

// Held is the valid MTA-STS policy that is cached for d, nil when there is none. Nobody is asked.
func (l *Live) Held(d policy.Domain) *mtasts.Policy {
	if p, ok := l.policies.get(d); ok && p.valid(l.Now()) {
		return &p.policy
	}
	return nil
}

// usable reports whether every host has usable TLSA records. One host without is enough to say no; else one lookup that
// failed, of the MX records or of a host's, leaves the question open.
func (r route) usable() (usable, known bool) {
	if !r.Answer.Status.Known() || r.Kind == discovery.RouteUnknown {
		return false, false
	}
	usable, known = len(r.dane) > 0, true
	for _, h := range r.dane {
		switch h.Kind {
		case discovery.DANEUsable:
		case discovery.DANEFailed:
			known = false
		default:
			return false, true
		}
	}
	return usable && known, known
}
