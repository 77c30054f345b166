package trial

import (
	"cmp"
	"context"
	"crypto/x509"
	"net/netip"
	"slices"
	"sync"
	"time"

	"github.com/starttls-everywhere/policylist/policy"
	"github.com/starttls-everywhere/policylist/policy/discovery"
)

const (
	// Pace is how far two sessions are apart at least: two in a minute, over all hosts, and so for each.
	Pace = 30 * time.Second
	// repeat is how long a domain's and a host's result counts.
	repeat = 24 * time.Hour
	// forget is how long a domain is looked at after somebody wrote to it.
	forget = 30 * 24 * time.Hour
	// maxDomains, maxHosts and maxKnown cap what is remembered: domains, hosts of one, hosts of all.
	maxDomains = 5000
	maxHosts   = 8
	maxKnown   = 10_000
	// maxIdle is how many domains one step may finish without a session.
	maxIdle = 16
)

// HostVisit is what one MX host showed.
type HostVisit struct {
	Host   string    `json:"host"`
	At     time.Time `json:"at"`
	Code   Code      `json:"code,omitempty"`
	Detail string    `json:"detail,omitempty"` // printable ASCII
}

// Visit is the last round over a domain's MX hosts, and when somebody wrote to the domain.
type Visit struct {
	Domain string      `json:"domain"`
	Asked  time.Time   `json:"asked"`
	At     time.Time   `json:"at"` // zero: not yet
	Hosts  []HostVisit `json:"hosts,omitempty"`
	Detail string      `json:"detail,omitempty"` // why there are no hosts
}

// Prober looks at the MX hosts of listed testing domains, those alone to which this machine writes: a thousand machines
// that look at all would be a burden to servers that they have nothing to do with. Its exported fields are set once.
type Prober struct {
	DNS *discovery.Client
	// Listed returns the policy of a domain; ok is false when none is to be tried.
	Listed func(policy.Domain) (p policy.Policy, ok bool)
	Allow  func(netip.Addr) bool // addresses that may be called
	Roots  *x509.CertPool        // nil: this machine's
	EHLO   string
	Port   int // 0 stands for 25
	Now    func() time.Time

	mu      sync.Mutex
	domains map[policy.Domain]*Visit
	// Those of the goroutine that steps; it alone has them.
	known map[policy.Domain]HostVisit
	round *round
}

// round is a visit under way.
type round struct {
	domain  policy.Domain
	visit   Visit
	pending []policy.Domain
}

// Want asks for d to be looked at, because mail goes there. It costs a look into a map. Safe for concurrent use.
func (p *Prober) Want(d policy.Domain) {
	now := p.Now().UTC().Truncate(time.Second)
	p.mu.Lock()
	defer p.mu.Unlock()
	if v, ok := p.domains[d]; ok {
		v.Asked = now
		return
	}
	if len(p.domains) >= maxDomains {
		return // those known stay: each gets its turn, and those forgotten make room
	}
	if p.domains == nil {
		p.domains = make(map[policy.Domain]*Visit)
	}
	p.domains[d] = &Visit{Domain: d.String(), Asked: now}
}

// Step holds at most one session, with the next host whose turn it is, and reports whether it did. Call it every Pace,
// from one goroutine.
func (p *Prober) Step(ctx context.Context) bool {
	for range maxIdle {
		if p.round == nil && !p.begin(ctx) {
			return false
		}
		for len(p.round.pending) > 0 {
			host := p.round.pending[0]
			p.round.pending = p.round.pending[1:]
			v, fresh := p.known[host]
			if fresh = fresh && p.Now().Sub(v.At).Abs() < repeat; !fresh {
				v = p.look(ctx, host)
				if ctx.Err() != nil {
					p.round = nil // cut short: its turn comes again
					return true
				}
				p.remember(host, v)
			}
			p.round.visit.Hosts = append(p.round.visit.Hosts, v)
			if !fresh {
				p.endIfDone()
				return true
			}
		}
		p.endIfDone()
	}
	return false
}

// begin takes the domain that was not looked at for longest, and finds its hosts. False: nobody's turn has come.
func (p *Prober) begin(ctx context.Context) bool {
	d, want, ok := p.next()
	if !ok {
		return false
	}
	now := p.Now().UTC().Truncate(time.Second)
	r := &round{domain: d, visit: Visit{Domain: d.String(), At: now}}
	route := discovery.FindMX(ctx, p.DNS, d)
	if ctx.Err() != nil {
		return false
	}
	for i, h := range route.Hosts {
		switch {
		case i == maxHosts:
		case h.Flaw != "":
			r.visit.Hosts = append(r.visit.Hosts, HostVisit{clean(h.Name), now, CodeMX, "not a host name"})
		case !want.Allows(h.Domain):
			r.visit.Hosts = append(r.visit.Hosts, HostVisit{h.Domain.String(), now, CodeMX, ""})
		default:
			r.pending = append(r.pending, h.Domain)
		}
	}
	if len(route.Hosts) == 0 {
		r.visit.Detail = "no MX hosts: the lookup ended with " + string(route.Answer.Status)
	}
	p.round = r
	return true
}

// next finds whose turn it is, and forgets those that nobody writes to any more, or that are listed no more.
func (p *Prober) next() (d policy.Domain, want policy.Policy, ok bool) {
	now := p.Now()
	p.mu.Lock()
	defer p.mu.Unlock()
	var first *Visit
	for domain, v := range p.domains {
		policy, listed := p.Listed(domain)
		if !listed || now.Sub(v.Asked) > forget {
			delete(p.domains, domain)
			continue
		}
		if !v.At.IsZero() && now.Sub(v.At).Abs() < repeat {
			continue
		}
		if first == nil || v.At.Before(first.At) || v.At.Equal(first.At) && v.Domain < first.Domain {
			first, d, want = v, domain, policy
		}
	}
	return d, want, first != nil
}

// look resolves the host and calls one of its addresses, IPv4 first: there is where most mail goes.
func (p *Prober) look(ctx context.Context, host policy.Domain) HostVisit {
	v := HostVisit{Host: host.String(), At: p.Now().UTC().Truncate(time.Second), Code: CodeUnknown, Detail: "no address that may be called"}
	for _, a := range []discovery.Answer{p.DNS.LookupA(ctx, host.String()), p.DNS.LookupAAAA(ctx, host.String())} {
		for _, addr := range a.Addrs {
			if !p.Allow(addr) {
				continue
			}
			c := caller{roots: p.Roots, ehlo: cmp.Or(p.EHLO, "localhost.localdomain"), now: p.Now}
			v.Code, v.Detail = c.call(ctx, netip.AddrPortFrom(addr, uint16(cmp.Or(p.Port, 25))), host)
			return v
		}
	}
	return v
}

func (p *Prober) remember(host policy.Domain, v HostVisit) {
	if p.known == nil || len(p.known) >= maxKnown {
		p.known = make(map[policy.Domain]HostVisit)
	}
	p.known[host] = v
}

func (p *Prober) endIfDone() {
	if len(p.round.pending) > 0 {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if v, ok := p.domains[p.round.domain]; ok {
		p.round.visit.Asked = v.Asked
		*v = p.round.visit
	}
	p.round = nil
}

// Visits returns what is known, by domain.
func (p *Prober) Visits() []Visit {
	p.mu.Lock()
	defer p.mu.Unlock()
	var out []Visit
	for _, v := range p.domains {
		out = append(out, *v)
	}
	slices.SortFunc(out, func(a, b Visit) int { return cmp.Compare(a.Domain, b.Domain) })
	return out
}

// Verdict is what a visit comes to: "good", "partial" (some hosts would have taken mail), "fail", "unknown", or "waiting".
func (v Visit) Verdict() string {
	good, fails := 0, 0
	for _, h := range v.Hosts {
		switch {
		case h.Code == CodeGood:
			good++
		case h.Code.Fails():
			fails++
		}
	}
	switch {
	case v.At.IsZero():
		return "waiting"
	case good > 0 && fails > 0:
		return "partial"
	case good > 0:
		return "good"
	case fails == len(v.Hosts) && fails > 0:
		return "fail"
	}
	return "unknown"
}
