package lab

import (
	"fmt"
	"net"
	"net/netip"
	"slices"
	"sync"

	"github.com/emersion/go-smtp"
)

// Host is a mail server.
type Host struct {
	Name      string // lower-case A-labels, without the final dot
	Behaviour Behaviour
	// Pool are machines behind the host's addresses that take the connections in turn, as behind a load balancer;
	// Behaviour is not looked at then. None of them can be Refusing.
	Pool []Behaviour
	IPv4 int // addresses in 127.0.0.0/8; 0 means one
	// IPv6 also gives the host ::1, the only IPv6 address that loopback has: one host of a lab can have it.
	IPv6 bool
	// Addresses are what the host has instead of all these: they must stand on an interface, for example of a network
	// namespace of the test's own.
	Addresses []netip.Addr
}

// Stats is what a mail server saw of its visitors.
type Stats struct {
	Sessions int // connections so far
	Open     int // connections now
	Peak     int // most connections at one time
	Quits    int // times that QUIT was said
}

type host struct {
	Host
	lab   *Lab
	addrs []netip.AddrPort
	good  *smtp.Server // serves the sessions that keep to the protocol
	queue *connQueue   // leads to good

	mu        sync.Mutex // guards what follows
	behaviour Behaviour
	pool      []Behaviour
	listeners []net.Listener
	conns     map[net.Conn]bool
	stats     Stats
	mail      []Message
	heard     []Command
}

// AddHost starts a mail server and publishes its addresses. Adding a name twice is an error.
func (l *Lab) AddHost(spec Host) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.hosts[spec.Name] != nil {
		return fmt.Errorf("lab host %s stands already", spec.Name)
	}
	h := &host{Host: spec, lab: l, behaviour: spec.Behaviour, pool: slices.Clone(spec.Pool), conns: make(map[net.Conn]bool)}
	for _, a := range l.addresses(spec) {
		h.addrs = append(h.addrs, netip.AddrPortFrom(a, l.port))
	}
	h.startGood()
	if err := h.listen(); err != nil {
		h.close()
		return fmt.Errorf("lab host %s: %w", spec.Name, err)
	}
	for _, at := range h.addrs {
		kind := "A"
		if at.Addr().Is6() {
			kind = "AAAA"
		}
		if err := l.names.add(fmt.Sprintf("%s 60 IN %s %s", fqdn(spec.Name), kind, at.Addr())); err != nil {
			h.close()
			return err
		}
	}
	l.hosts[spec.Name] = h
	return nil
}

// SetBehaviour changes what a host does to connections from now on.
func (l *Lab) SetBehaviour(name string, b Behaviour) error {
	h, err := l.host(name)
	if err != nil {
		return err
	}
	h.mu.Lock()
	h.behaviour, h.pool = b, nil
	h.mu.Unlock()
	return h.listen()
}

// Addresses returns where the host listens (or, when refusing, would listen).
func (l *Lab) Addresses(name string) ([]netip.AddrPort, error) {
	h, err := l.host(name)
	if err != nil {
		return nil, err
	}
	return slices.Clone(h.addrs), nil
}

// Stats returns what the host saw so far.
func (l *Lab) Stats(name string) (Stats, error) {
	h, err := l.host(name)
	if err != nil {
		return Stats{}, err
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.stats, nil
}

func (l *Lab) host(name string) (*host, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if h := l.hosts[name]; h != nil {
		return h, nil
	}
	return nil, fmt.Errorf("%w: %s", ErrUnknown, name)
}

// listen opens or closes the doors as the behaviour demands.
func (h *host) listen() error {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.behaviour == Refusing {
		for _, ln := range h.listeners {
			ln.Close()
		}
		h.listeners = nil
		return nil
	}
	if h.listeners != nil {
		return nil
	}
	for _, at := range h.addrs {
		ln, err := net.Listen("tcp", at.String())
		if err != nil {
			return err
		}
		h.listeners = append(h.listeners, ln)
		h.lab.serving.Add(1)
		go h.accept(ln)
	}
	return nil
}

func (h *host) accept(ln net.Listener) {
	defer h.lab.serving.Done()
	for {
		conn, err := ln.Accept()
		if err != nil {
			return
		}
		h.lab.serving.Add(1)
		tracked := &trackedConn{Conn: conn, host: h}
		switch open := h.enter(tracked); {
		case !open:
			tracked.Close()
		case scripted(tracked.behaviour):
			go func() {
				defer tracked.Close()
				h.talk(tracked, tracked.behaviour)
			}()
		default:
			h.queue.put(tracked)
		}
	}
}

// enter notes a new connection and says how it is treated; open is false when the lab is closing.
func (h *host) enter(c *trackedConn) (open bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.conns[c] = true
	c.behaviour = h.behaviour
	if n := len(h.pool); n > 0 {
		c.behaviour = h.pool[h.stats.Sessions%n]
	}
	h.stats.Sessions++
	h.stats.Open++
	h.stats.Peak = max(h.stats.Peak, h.stats.Open)
	select {
	case <-h.lab.done:
		return false
	default:
		return true
	}
}

func (h *host) leave(c net.Conn) {
	h.mu.Lock()
	delete(h.conns, c)
	h.stats.Open--
	h.mu.Unlock()
}

func (h *host) quit() {
	h.mu.Lock()
	h.stats.Quits++
	h.mu.Unlock()
}

func (h *host) close() {
	h.mu.Lock()
	conns := make([]net.Conn, 0, len(h.conns))
	for c := range h.conns {
		conns = append(conns, c)
	}
	for _, ln := range h.listeners {
		ln.Close()
	}
	h.mu.Unlock()
	for _, c := range conns {
		c.Close()
	}
	h.good.Close()
	h.queue.Close()
}

// trackedConn tells its host once when it is closed.
type trackedConn struct {
	net.Conn
	host      *host
	behaviour Behaviour
	once      sync.Once
}

// Close counts before it closes: a visitor who has seen the end is not counted any more.
func (c *trackedConn) Close() error {
	c.once.Do(func() {
		c.host.leave(c)
		c.host.lab.serving.Done()
	})
	return c.Conn.Close()
}
