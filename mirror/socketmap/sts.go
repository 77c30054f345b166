package socketmap

import (
	"context"
	"fmt"
	"time"

	"github.com/starttls-everywhere/policylist/policy"
	"github.com/starttls-everywhere/policylist/policy/discovery"
	"github.com/starttls-everywhere/policylist/policy/mtasts"
)

const (
	// stsRecheck is how often the record of a domain in use is looked at (RFC 8461 section 3.3 asks for a check now and
	// then, so that a new id is seen).
	stsRecheck = time.Hour
	// stsAbsent is how long it is remembered that a domain has no MTA-STS.
	stsAbsent = time.Hour
	// stsFailed is how long a failed search is not repeated (RFC 8461 section 3.3: at most every five minutes).
	stsFailed = 5 * time.Minute
)

// stsPolicy is what is known of a domain's MTA-STS.
type stsPolicy struct {
	id      string
	policy  mtasts.Policy // with fetched
	body    []byte        // its text, for the file that outlives a restart
	fetched time.Time     // zero: there is no policy
	checked time.Time     // when the domain was asked last
	trouble string        // what went wrong in that search
	dead    int           // how often in a row it was not valid when it was to be saved
}

// valid reports whether the policy may be applied (RFC 8461 section 3.2, max_age).
func (p stsPolicy) valid(now time.Time) bool {
	return !p.fetched.IsZero() && now.Before(p.fetched.Add(p.policy.MaxAge)) && !now.Before(p.fetched.Add(-maxAhead))
}

// due reports whether it is time to ask again.
func (p stsPolicy) due(now time.Time) bool {
	wait := stsRecheck
	switch {
	case p.trouble != "":
		wait = stsFailed
	case p.fetched.IsZero():
		wait = stsAbsent
	case !p.valid(now):
		return true // it has run out: max_age may be less than an hour
	}
	return now.Sub(p.checked).Abs() >= wait
}

// bySTS decides when the domain has a valid policy. A mode other than enforce decides as well: no policy is applied.
func (l *Live) bySTS(ctx context.Context, d policy.Domain, c *Decision) bool {
	p := l.sts(ctx, d)
	if l.Silent && !p.valid(l.Now()) {
		c.because("MTA-STS: nobody was asked, and no policy is cached")
		return false
	}
	if p.trouble != "" {
		c.because("MTA-STS: %s", p.trouble)
	}
	if !p.valid(l.Now()) {
		if p.trouble == "" {
			c.because("MTA-STS: the domain has none")
		}
		c.trouble = p.trouble
		return false
	}
	c.Source = SourceSTS
	c.because("MTA-STS: the domain's own policy says %s", p.policy.Mode)
	if p.trouble != "" {
		c.Downgrade = "a policy that is still valid can no longer be confirmed: " + p.trouble
	}
	if p.policy.Mode == mtasts.Enforce {
		c.Policy = policy.Policy{Mode: policy.Enforce, MXs: p.policy.MXs}
		l.narrow(ctx, c)
	}
	return true
}

// sts returns what is known, and asks where nothing is. A policy that is valid is confirmed without anybody waiting.
func (l *Live) sts(ctx context.Context, d policy.Domain) stsPolicy {
	now := l.Now()
	p, known := l.known(d)
	switch {
	case l.Silent, known && !p.due(now):
		return p
	case p.valid(now):
		l.confirm(ctx, d)
		return p
	}
	return l.search(ctx, d)
}

// known is what was found out about d: a valid policy, else that there was none.
func (l *Live) known(d policy.Domain) (stsPolicy, bool) {
	p, ok := l.policies.get(d)
	if ok && p.valid(l.Now()) {
		return p, true
	}
	if none, ok := l.absent.get(d); ok {
		return none, true
	}
	return p, ok
}

// remember keeps what was found out. A policy that is not valid is left where it is: it may be our clock that is wrong, and
// when that is put right, the policy counts again.
func (l *Live) remember(d policy.Domain, p stsPolicy) {
	if !p.valid(l.Now()) {
		l.absent.put(d, stsPolicy{checked: p.checked, trouble: p.trouble}, limit[stsPolicy]{entries: maxAbsent})
		return
	}
	l.absent.remove(d)
	l.policies.put(d, p, l.policyLimit())
}

// policyLimit lets those go first that are not valid.
func (l *Live) policyLimit() limit[stsPolicy] {
	now := l.Now()
	return limit[stsPolicy]{
		entries: maxPolicies, bytes: maxPolicyText,
		size: func(p stsPolicy) int { return len(p.body) },
		keep: func(p stsPolicy) bool { return p.valid(now) },
	}
}

// search asks the domain, once for all who want to know.
func (l *Live) search(ctx context.Context, d policy.Domain) stsPolicy {
	found, _, _ := l.flights.Do("sts "+d.String(), func() (any, error) {
		before, _ := l.known(d)
		next := before
		if !l.unchanged(ctx, d, before) {
			next = before.learn(discovery.FindSTS(ctx, l.DNS, l.Fetcher, d), l.Now())
		}
		next.checked = l.Now()
		if !cutShort(ctx) { // a search that was cut short has found out nothing
			l.remember(d, next)
		}
		return next, nil
	})
	return found.(stsPolicy)
}

// unchanged reports that the record still has the known id while half of the policy's time or more is left: then there is
// nothing to fetch (RFC 8461 section 3.1).
func (l *Live) unchanged(ctx context.Context, d policy.Domain, p stsPolicy) bool {
	now := l.Now()
	if !p.valid(now) || p.trouble != "" || now.Sub(p.fetched) > p.policy.MaxAge/2 {
		return false
	}
	record, err := mtasts.ParseRecord(l.DNS.LookupTXT(ctx, "_mta-sts."+d.String()).TXT)
	return err == nil && record.ID == p.id
}

// learn is what is known after a search at now. What a search does not find never makes a valid policy go (RFC 8461
// section 5.1): only another one, or its age.
func (p stsPolicy) learn(s discovery.STS, now time.Time) stsPolicy {
	switch s.Status {
	case discovery.STSOK:
		return stsPolicy{id: s.ID, policy: s.Policy, body: s.Body, fetched: now}
	case discovery.STSNone, discovery.STSRecordMany, discovery.STSRecordInvalid:
		if !p.valid(now) {
			return stsPolicy{}
		}
		p.trouble = fmt.Sprintf("the record has gone (%s)", s.Status)
		return p
	}
	p.trouble = fmt.Sprintf("the search ended with %s", s.Status)
	if s.Detail != "" {
		p.trouble += " (" + s.Detail + ")"
	}
	return p
}
