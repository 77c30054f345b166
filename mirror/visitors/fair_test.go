package visitors

import (
	"errors"
	"io"
	"net"
	"net/netip"
	"testing"
)

// comers is a listener to which addresses connect, in their order.
type comers struct {
	from   []string
	closed map[string]int
}

type comer struct {
	net.Conn
	of *comers
	at string
}

func (c comer) RemoteAddr() net.Addr { return net.TCPAddrFromAddrPort(netip.MustParseAddrPort(c.at)) }

func (c comer) Close() error {
	c.of.closed[c.at]++
	return nil
}

func (l *comers) Accept() (net.Conn, error) {
	if len(l.from) == 0 {
		return nil, io.EOF
	}
	at := l.from[0]
	l.from = l.from[1:]
	return comer{of: l, at: at}, nil
}

func (l *comers) Close() error   { return nil }
func (l *comers) Addr() net.Addr { return &net.TCPAddr{} }

// One source, which is an IPv4 address or an IPv6 /64, holds no more than its share of connections; what it closes it has again.
func TestFairListener(t *testing.T) {
	for _, c := range []struct {
		crowd, other string
		taken        int // of 40 by the crowd
	}{
		{"192.0.2.1:1", "192.0.2.2:1", perSourceConnections},
		{"[::ffff:192.0.2.1]:1", "192.0.2.2:1", perSourceConnections},
		{"[2001:db8::1]:1", "[2001:db8:0:1::1]:1", perSourceConnections},
		{"127.0.0.1:1", "127.0.0.1:2", 40},
		{"[::1]:1", "[::1]:2", 40},
	} {
		l := &comers{closed: map[string]int{}}
		for range 40 {
			l.from = append(l.from, c.crowd)
		}
		l.from = append(l.from, c.other)
		fair := FairListener(l)
		var open []net.Conn
		for {
			conn, err := fair.Accept()
			if errors.Is(err, io.EOF) {
				break
			}
			open = append(open, conn)
		}
		if len(open) != c.taken+1 || open[c.taken].RemoteAddr().String() != c.other || l.closed[c.crowd] != 40-c.taken {
			t.Errorf("%s: %d connections, %d closed", c.crowd, len(open), l.closed[c.crowd])
			continue
		}
		open[0].Close()
		open[0].Close() // as net/http does
		l.from = []string{c.crowd, c.crowd}
		if conn, err := fair.Accept(); err != nil || conn.RemoteAddr().String() != net.Addr(open[0].RemoteAddr()).String() {
			t.Errorf("%s: a place that was given back is not taken: %v", c.crowd, err)
		}
		if _, err := fair.Accept(); c.taken < 40 && !errors.Is(err, io.EOF) {
			t.Errorf("%s: a place was given back twice: %v", c.crowd, err)
		}
	}
}
