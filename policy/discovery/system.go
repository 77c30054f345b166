package discovery

import (
	"fmt"
	"net/netip"
	"strconv"

	"github.com/miekg/dns"
)

// SystemResolver returns the first name server of a resolv.conf file, normally /etc/resolv.conf.
func SystemResolver(path string) (netip.AddrPort, error) {
	conf, err := dns.ClientConfigFromFile(path)
	if err != nil {
		return netip.AddrPort{}, fmt.Errorf("%w: %w", ErrResolver, err)
	}
	port, err := strconv.ParseUint(conf.Port, 10, 16)
	if err != nil || len(conf.Servers) == 0 {
		return netip.AddrPort{}, fmt.Errorf("%w: %s names none", ErrResolver, path)
	}
	addr, err := netip.ParseAddr(conf.Servers[0])
	if err != nil {
		return netip.AddrPort{}, fmt.Errorf("%w: %s: %w", ErrResolver, path, err)
	}
	return netip.AddrPortFrom(addr, uint16(port)), nil
}
