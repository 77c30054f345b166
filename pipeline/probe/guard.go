package probe

import (
	"net/netip"

	"github.com/starttls-everywhere/policylist/policy/discovery"
)

// guard decides which addresses may be contacted: what the DNS says is an attacker's to choose.
type guard struct {
	loopback     bool // loopback may be contacted
	loopbackOnly bool // and nothing else
}

// why names the reason for which addr is not allowed.
func (g *guard) why(addr netip.Addr) Failure {
	if g.loopbackOnly && discovery.Public(addr) {
		return FailNoName
	}
	return FailForbidden
}

func (g *guard) allows(addr netip.Addr) bool {
	if addr.Unmap().IsLoopback() {
		return g.loopback
	}
	return !g.loopbackOnly && discovery.Public(addr)
}
