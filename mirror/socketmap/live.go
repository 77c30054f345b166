package socketmap

import (
	"cmp"
	"context"
	"slices"
	"sync"
	"time"

	"golang.org/x/sync/singleflight"

	"github.com/starttls-everywhere/policylist/policy"
	"github.com/starttls-everywhere/policylist/policy/discovery"
)

const (
	// livePatience bounds the looking-up for one answer; Postfix waits 100 s for it.
	livePatience = 20 * time.Second
	// routeHolds is how long a domain's MX hosts and their TLSA records are remembered. Their TTLs are mostly longer, and
	// what a queue runner asks in a burst is asked once.
	routeHolds = time.Minute
	// maxRoutes, maxPolicies and maxAbsent cap what is remembered, in domains, and maxPolicyText the texts of policies, in
	// bytes. Domains without a policy are apart from those with one: whoever sends mail can make us ask about any number of
	// domains, and must not crowd out a policy by it, for the next contact would be a first one.
	maxRoutes     = 20_000
	maxPolicies   = 100_000
	maxPolicyText = 64 << 20
	maxAbsent     = 50_000
)

// Live looks at what domains publish about themselves at the moment of delivery. Its exported fields are set once.
type Live struct {
	DNS *discovery.Client
	// Fetcher fetches MTA-STS policies; nil: MTA-STS is not looked at.
	Fetcher *discovery.Fetcher
	// DANE says that DNS validates DNSSEC and that the mail server does DANE (smtp_dns_support_level = dnssec).
	DANE bool
	// SMTPPort is where TLSA records are looked for, 0 stands for 25.
	SMTPPort int
	// Silent asks nobody: a policy that is cached and valid counts, and nothing else.
	Silent   bool
	Now      func() time.Time
	Patience time.Duration // 0 stands for 20 s

	routes     cache[route]
	policies   cache[stsPolicy] // found once; not all are valid, see remember
	absent     cache[stsPolicy] // domains that have none, or whose search failed
	flights    singleflight.Group
	confirming underWay
	behind     sync.WaitGroup // confirmations that nobody waits for
}

// route is how mail reaches a domain, and what DANE says about each of its hosts.
type route struct {
	discovery.Route
	dane []discovery.DANE // by host; nil without DANE
	at   time.Time
}

// decide fills in c and returns true when DANE or MTA-STS decides.
func (l *Live) decide(ctx context.Context, d policy.Domain, c *Decision) bool {
	ctx, cancel := context.WithTimeout(ctx, cmp.Or(l.Patience, livePatience))
	defer cancel()
	return l.DANE && !l.Silent && l.byDANE(ctx, d, c) || (l.Fetcher != nil || l.Silent) && l.bySTS(ctx, d, c)
}

// byDANE decides when every host has usable records: Postfix's "dane-only" refuses a host without. A domain of which only
// some hosts have them is left to the certificates that its MTA-STS policy or a list demands of all.
func (l *Live) byDANE(ctx context.Context, d policy.Domain, c *Decision) bool {
	r := l.route(ctx, d)
	count := make(map[discovery.DANEKind]int)
	for _, h := range r.dane {
		count[h.Kind]++
	}
	usable, failed, all := count[discovery.DANEUsable], count[discovery.DANEFailed], len(r.dane)
	switch {
	case all > 0 && usable == all:
		c.Source = SourceDANE
		c.because("DANE: all of the domain's %d MX hosts have usable TLSA records", all)
		return true
	case failed > 0 && usable+failed == all:
		c.Source, c.Temp = SourceDANE, "TLSA lookup failed"
		c.because("DANE: the TLSA records of %d of %d MX hosts cannot be looked up, and to deliver over that would undo DANE", failed, all)
		return true
	case usable > 0:
		c.because("DANE: only %d of %d MX hosts have usable TLSA records", usable, all)
	case !r.Answer.Status.Known():
		c.because("DANE: the MX lookup ended with %s", r.Answer.Status)
	default:
		c.because("DANE: no usable TLSA records")
	}
	return false
}

// narrow finds the MX hosts of the moment that the policy's suffix patterns allow. Without an answer the patterns stay:
// a Postfix that takes them for any depth still refuses everybody else.
func (l *Live) narrow(ctx context.Context, c *Decision) {
	if l.Silent || c.Policy.Mode != policy.Enforce || !slices.ContainsFunc(c.Policy.MXs, policy.MXPattern.IsSuffix) {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, cmp.Or(l.Patience, livePatience))
	defer cancel()
	r := l.route(ctx, c.Domain)
	if !r.Answer.Status.Known() || r.Kind == discovery.RouteUnknown || len(r.Hosts) == 0 || r.Omitted > 0 {
		return // else the hosts behind the patterns would be left out, and their mail would wait
	}
	for _, mx := range c.Policy.MXs {
		if !mx.IsSuffix() {
			c.Exact = append(c.Exact, mx)
		}
	}
	for _, h := range r.Hosts {
		if p, err := policy.ParseMXPattern(h.Domain.String()); err == nil && c.Policy.Allows(h.Domain) {
			c.Exact = append(c.Exact, p)
		}
	}
	slices.SortFunc(c.Exact, func(a, b policy.MXPattern) int { return cmp.Compare(a.String(), b.String()) })
	switch c.Exact = slices.Compact(c.Exact); {
	case len(c.Exact) > policy.MaxMXs:
		c.Exact = nil
	case len(c.Exact) == 0:
		// The patterns would let in a host with one label too many, so mail waits for a host that the policy names.
		if p, err := policy.ParseMXPattern(nobody); err == nil {
			c.Exact = []policy.MXPattern{p}
		}
		c.because("the policy names none of the domain's %d MX hosts of the moment", len(r.Hosts))
	}
}

// nobody is a name that no certificate of a CA can have (RFC 6761 section 6.4).
const nobody = "no-mx-host-of-the-policy.invalid"

// route looks the domain's MX hosts up, and with DANE their records.
func (l *Live) route(ctx context.Context, d policy.Domain) route {
	if r, ok := l.routes.get(d); ok && l.Now().Sub(r.at).Abs() < routeHolds {
		return r
	}
	found, _, _ := l.flights.Do("route "+d.String(), func() (any, error) {
		r := route{Route: discovery.FindMX(ctx, l.DNS, d), at: l.Now()}
		if l.DANE {
			r.dane = l.tlsa(ctx, r.Route)
		}
		if !cutShort(ctx) {
			l.routes.put(d, r, limit[route]{entries: maxRoutes})
		}
		return r, nil
	})
	return found.(route)
}

// cutShort reports whether ctx may have ended a lookup. A socket's deadline is a moment earlier than that of the context
// from which it was set.
func cutShort(ctx context.Context) bool {
	end, ok := ctx.Deadline()
	return ctx.Err() != nil || ok && !time.Now().Before(end)
}

// tlsa looks at the hosts side by side. A host whose name is none has no records.
func (l *Live) tlsa(ctx context.Context, r discovery.Route) []discovery.DANE {
	out := make([]discovery.DANE, len(r.Hosts))
	var all sync.WaitGroup
	for i, h := range r.Hosts {
		if h.Flaw != "" || !r.Answer.Secure {
			out[i].Kind = discovery.DANEInsecure
			continue
		}
		all.Go(func() {
			name := h.Domain.String()
			out[i] = discovery.FindTLSA(ctx, l.DNS, r.Answer, h.Domain, cmp.Or(l.SMTPPort, 25), l.DNS.LookupA(ctx, name), l.DNS.LookupAAAA(ctx, name))
		})
	}
	all.Wait()
	return out
}

// Recheck asks d anew. A valid policy stays until the domain itself says another.
func (l *Live) Recheck(ctx context.Context, d policy.Domain) {
	ctx, cancel := context.WithTimeout(ctx, cmp.Or(l.Patience, livePatience))
	defer cancel()
	l.routes.remove(d)
	if l.Fetcher != nil {
		l.search(ctx, d)
	}
}

// Close waits for the refreshes under way.
func (l *Live) Close() { l.behind.Wait() }
