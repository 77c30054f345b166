package live

import (
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strings"

	"github.com/starttls-everywhere/policylist/mirror/visitors"
)

// maxForwarded bounds what proxies say about a request.
const maxForwarded = 32

// sourceOf names the network that a request comes from. Only a trusted proxy is believed about another; of what it passes on,
// only the last address that is not a trusted proxy's is not the client's own invention. A proxy that says nothing sensible is
// taken for the client: all behind it share one limit.
func sourceOf(r *http.Request, trusted []netip.Prefix) string {
	at, ok := address(r.RemoteAddr)
	if !ok || !isTrusted(at, trusted) {
		return visitors.Source(r.RemoteAddr)
	}
	hops := strings.Split(strings.Join(r.Header.Values("X-Forwarded-For"), ","), ",")
	hops = hops[max(0, len(hops)-maxForwarded):]
	for _, hop := range slices.Backward(hops) {
		addr, ok := address(strings.TrimSpace(hop))
		if !ok {
			break
		}
		if !isTrusted(addr, trusted) {
			return visitors.Source(addr.String())
		}
	}
	return visitors.Source(r.RemoteAddr)
}

func isTrusted(a netip.Addr, trusted []netip.Prefix) bool {
	return slices.ContainsFunc(trusted, func(p netip.Prefix) bool { return p.Contains(a) })
}

// address reads an address with or without a port.
func address(text string) (netip.Addr, bool) {
	if host, _, err := net.SplitHostPort(text); err == nil {
		text = host
	}
	a, err := netip.ParseAddr(text)
	return a.Unmap().WithZone(""), err == nil
}
