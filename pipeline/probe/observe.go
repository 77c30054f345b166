package probe

import (
	"context"
	"net/netip"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/starttls-everywhere/policylist/policy"
	"github.com/starttls-everywhere/policylist/policy/discovery"
)

// observe collects the facts of one domain; the error is ctx's.
func (p *Prober) observe(ctx context.Context, domain policy.Domain) (Observation, error) {
	route := discovery.FindMX(ctx, p.dns, domain)
	o := Observation{
		Route: string(route.Kind), Omitted: uint(route.Omitted),
		Lookups: lookups(append([]discovery.Answer{route.Answer}, route.Address...)...),
	}
	group, inner := errgroup.WithContext(ctx)
	err := p.visitHosts(inner, group, route, &o)
	if route.Answer.Status != discovery.NXDomain { // below a name that does not exist there is nothing (RFC 8020 section 2)
		p.readRecords(inner, group, domain, &o)
	}
	if failed := group.Wait(); err == nil {
		err = failed
	}
	if err == nil {
		err = ctx.Err()
	}
	if err != nil {
		return Observation{}, err
	}
	for i := range o.Hosts {
		o.Hosts[i].compareKeys()
	}
	return o, nil
}

// visitHosts looks up the hosts' addresses and leaves the visits to group. The error is ctx's.
func (p *Prober) visitHosts(ctx context.Context, group *errgroup.Group, route discovery.Route, o *Observation) error {
	o.Hosts = make([]Host, len(route.Hosts))
	budget := maxSessions
	for i, h := range route.Hosts {
		host := &o.Hosts[i]
		*host = Host{Flaw: string(h.Flaw), Name: escape(h.Name, 255), Preference: h.Preference}
		if h.Flaw != "" {
			continue
		}
		answers, err := p.addresses(ctx, h.Domain)
		if err != nil {
			return err
		}
		host.Lookups = lookups(answers[:]...)
		addrs := addresses(answers[:]...)
		if len(addrs) > budget {
			o.Omitted += uint(len(addrs) - budget)
			addrs = addrs[:budget]
		}
		budget -= len(addrs)
		if p.opts.OptOut.hasAlias(answers[:]...) {
			for _, addr := range addrs {
				host.Sessions = append(host.Sessions, optedOut(addr))
			}
			continue
		}
		p.visitHost(ctx, group, h.Domain, addrs, host)
		group.Go(func() (err error) {
			host.DANE, err = p.findDANE(ctx, route, h.Domain, answers[:], addrs)
			return err
		})
	}
	return nil
}

func (p *Prober) visitHost(ctx context.Context, group *errgroup.Group, name policy.Domain, addrs []netip.Addr, host *Host) {
	host.Sessions = make([]Session, len(addrs))
	for k, addr := range addrs {
		group.Go(func() (err error) {
			host.Sessions[k], err = p.session(ctx, addr, name)
			return err
		})
	}
}

// readRecords leaves to group what the domain publishes about itself: a TXT lookup each, and a policy over HTTPS where
// there is a record.
func (p *Prober) readRecords(ctx context.Context, group *errgroup.Group, domain policy.Domain, o *Observation) {
	group.Go(func() error {
		o.STS = p.findSTS(ctx, domain)
		return ctx.Err()
	})
	group.Go(func() error {
		o.TLSRPT = tlsrptOf(discovery.FindTLSRPT(ctx, p.dns, domain))
		return ctx.Err()
	})
	group.Go(func() error {
		o.Proof = proofOf(discovery.FindProof(ctx, p.dns, domain, p.opts.Clock.Now()))
		return ctx.Err()
	})
}

func (p *Prober) addresses(ctx context.Context, host policy.Domain) ([2]discovery.Answer, error) {
	return p.hosts.do(ctx, host, func() [2]discovery.Answer {
		return [2]discovery.Answer{p.dns.LookupA(ctx, host.String()), p.dns.LookupAAAA(ctx, host.String())}
	})
}

// maxFetch is the longest that a policy may take (RFC 8461 section 3.3 suggests a minute).
const maxFetch = time.Minute

// webLimit keeps the manners with policy hosts. A policy is a page of a web server, and one provider's server has those of
// many domains, each under a name and certificate of its own: two a minute, as with mail servers, would take days.
type webLimit struct{ public, loopback *limiter }

// enterWeb waits for a turn at a policy host's address and for a free connection.
func (p *Prober) enterWeb(ctx context.Context, addr netip.Addr) (leave func(), err error) {
	limit := p.web.public
	if addr.IsLoopback() {
		limit = p.web.loopback
	}
	out, err := limit.enter(ctx, addr)
	if err != nil {
		return nil, err
	}
	select {
	case p.slots <- struct{}{}:
		return func() { <-p.slots; out() }, nil
	case <-ctx.Done():
		out()
		return nil, ctx.Err()
	}
}
