package probe

import (
	"net/netip"
	"sync/atomic"
	"time"

	"github.com/starttls-everywhere/policylist/policy"
	"github.com/starttls-everywhere/policylist/policy/discovery"
)

// memory is what a Prober has seen and uses again for other domains.
type memory struct {
	hosts    flight[policy.Domain, [2]discovery.Answer]
	tlsa     flight[policy.Domain, tlsaAnswers]
	sessions flight[sessionKey, Session]
	bare     flight[netip.Addr, nameless]
	deaf     atomic.Int32 // zones in a row of which not one name server answered us
}

// sessionKey is what makes two sessions the same: the server, and the name that it is asked to prove.
type sessionKey struct {
	addr netip.Addr
	name policy.Domain
}

// newMemory forgets what is older than maxAge.
func newMemory(maxAge time.Duration, now func() time.Time) *memory {
	m := new(memory)
	m.hosts.maxAge, m.hosts.now = maxAge, now
	m.tlsa.maxAge, m.tlsa.now = maxAge, now
	m.sessions.maxAge, m.sessions.now = maxAge, now
	m.bare.maxAge, m.bare.now = maxAge, now
	return m
}

// afresh is a Prober with the same manners that has seen nothing yet.
func (p *Prober) afresh() *Prober {
	return &Prober{
		opts: p.opts, dns: p.dns, visitor: p.visitor, guard: p.guard, limit: p.limit, loopback: p.loopback, web: p.web,
		fetcher: p.fetcher, slots: p.slots, memory: newMemory(p.opts.MaxAge, p.opts.Clock.Now),
	}
}

// Forget drops what is not used again: for a Prober that lives long, and whose targets strangers choose, so that it grows only
// by what it looks at within Options.MaxAge. It keeps all that the manners rest on. It is safe at any time.
func (p *Prober) Forget() {
	p.hosts.clear()
	p.tlsa.clear()
	p.sessions.clear()
	p.bare.clear()
	for _, l := range []*limiter{p.limit, p.loopback, p.web.public, p.web.loopback} {
		l.forget()
	}
	p.deaf.Store(0) // else a stranger's three zones of silent name servers would end all surveys
}
