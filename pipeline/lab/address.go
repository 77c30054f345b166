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

// takeAddress hands out the next free address. The caller holds l.mu.
func (l *Lab) takeAddress() netip.Addr {
	a := l.next
	l.next = l.next.Next()
	if b := l.next.As4(); b[3] == 255 {
		l.next = l.next.Next().Next()
	}
	return a
}
