package visitors

import (
	"net"
	"net/netip"
	"sync"
)

// perSourceConnections is how many connections one IPv4 address or IPv6 /64 has at once: a sender needs one.
const perSourceConnections = 16

type fairListener struct {
	net.Listener
	mu   sync.Mutex
	open map[string]int // by source, while they are open
}

// FairListener closes connections of a source that has its share of l's, so that nobody holds all that there are by waiting.
// Those from this machine are a proxy's, or the operator's, and not counted.
func FairListener(l net.Listener) net.Listener {
	return &fairListener{Listener: l, open: map[string]int{}}
}

// Accept returns the next connection whose source has not its share.
func (l *fairListener) Accept() (net.Conn, error) {
	for {
		c, err := l.Listener.Accept()
		if err != nil {
			return nil, err
		}
		from := Source(c.RemoteAddr().String())
		if from == "" || isLocal(c.RemoteAddr()) {
			return c, nil
		}
		if l.enter(from) {
			return &fairConn{Conn: c, leave: sync.OnceFunc(func() { l.leave(from) })}, nil
		}
		c.Close()
	}
}

func isLocal(a net.Addr) bool {
	addr, err := netip.ParseAddrPort(a.String())
	return err == nil && addr.Addr().Unmap().IsLoopback()
}

func (l *fairListener) enter(from string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.open[from] >= perSourceConnections {
		return false
	}
	l.open[from]++
	return true
}

func (l *fairListener) leave(from string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.open[from]--; l.open[from] == 0 {
		delete(l.open, from)
	}
}

type fairConn struct {
	net.Conn
	leave func()
}

// Close gives the place back.
func (c *fairConn) Close() error {
	c.leave()
	return c.Conn.Close()
}
