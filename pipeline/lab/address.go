package lab

import (
	"math/rand/v2"
	"net/netip"
)

// randomBase picks 127.x.y.1 away from the addresses that other software listens on (127.0.0.1, 127.0.1.1,
// 127.0.0.53), so that two labs meet with probability 1/63,000, and then the second one tries again.
func randomBase() netip.Addr {
	return netip.AddrFrom4([4]byte{127, byte(1 + rand.IntN(250)), byte(rand.IntN(255)), 1})
}

// addresses are those that a new host gets. The caller holds l.mu.
func (l *Lab) addresses(spec Host) []netip.Addr {
	if len(spec.Addresses) > 0 {
		return spec.Addresses
	}
	var out []netip.Addr
	for range max(spec.IPv4, 1) {
		out = append(out, l.takeAddress())
	}
	if spec.IPv6 {
		out = append(out, netip.IPv6Loopback())
	}
	return out
}

// takeAddress hands out the next free address. The caller holds l.mu.
func (l *Lab) takeAddress() netip.Addr {
	a := l.next
	l.next = l.next.Next()
	if b := l.next.As4(); b[3] == 255 {
		l.next = l.next.Next().Next()
	}
	return a
}
