//go:build linux

package loadtest

import (
	"fmt"
	"net/netip"
	"syscall"
)

// dial connects a blocking socket: what is written is small, and is read only when there is something.
func dial(network, address string) (int, error) {
	family, to := syscall.AF_UNIX, syscall.Sockaddr(&syscall.SockaddrUnix{Name: address})
	if network != "unix" {
		at, err := netip.ParseAddrPort(address)
		if err != nil || !at.Addr().Is4() {
			return -1, fmt.Errorf("%q is no IPv4 address with a port", address)
		}
		family, to = syscall.AF_INET, &syscall.SockaddrInet4{Port: int(at.Port()), Addr: at.Addr().As4()}
	}
	fd, err := syscall.Socket(family, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		return -1, err
	}
	if err := syscall.Connect(fd, to); err != nil {
		syscall.Close(fd)
		return -1, fmt.Errorf("%s: %w", address, err)
	}
	if network != "unix" {
		err = syscall.SetsockoptInt(fd, syscall.IPPROTO_TCP, syscall.TCP_NODELAY, 1)
	}
	return fd, err
}
