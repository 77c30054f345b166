package visitors

import (
	"net"
	"net/netip"
)

// Source names whom a request comes from: an IPv4 address, or the /64 that one subscriber has of IPv6. It takes an address with
// or without a port; "" for what is none.
func Source(text string) string {
	if host, _, err := net.SplitHostPort(text); err == nil {
		text = host
	}
	addr, err := netip.ParseAddr(text)
	if err != nil {
		return "" // a unix socket, or a proxy that does not say
	}
	addr = addr.Unmap().WithZone("")
	if addr.Is6() {
		prefix, _ := addr.Prefix(64)
		return prefix.String()
	}
	return addr.String()
}
