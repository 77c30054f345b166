// Package lab is a small internet on loopback: a DNS resolver, mail servers with STARTTLS, web servers for MTA-STS
// policies and a certificate authority that they all share. Tests and "starttls-list demo" run against it; it needs no
// root and no network.
//
//	l, err := lab.Start(ctx, lab.Options{})
//	defer l.Close()
//	l.AddHost(lab.Host{Name: "mx.good.example"})
//	l.AddDomain(lab.Domain{Name: "good.example", MX: []string{"mx.good.example"}})
//	// ask l.Resolver(), connect to port l.SMTPPort(), trust l.Roots()
//	l.SetBehaviour("mx.good.example", lab.Expired) // break it
//
// Every host has an address of its own in 127.0.0.0/8 and all mail servers share one free high port, as real ones
// share port 25; another lab in the same or another process takes other addresses.
package lab

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"sync"
	"time"
)

// ErrUnknown is returned for a host or domain that was never added.
var ErrUnknown = errors.New("the lab does not know this name")

// Options configure a Lab. The zero value is good.
type Options struct {
	// Now is the time that certificates are made for; nil means time.Now. Set it where a test injects its clock.
	Now func() time.Time
	// Base is the first of the lab's addresses; the zero Addr is a random place on loopback. Give one that stands on an
	// interface of a network namespace of the test's own, where it may look like one of the Internet.
	Base netip.Addr
	// WellKnown has the servers at ports 53, 443 and 25, for programs that cannot be told others. It takes root.
	WellKnown bool
}

// ports are those that the servers shall have, 0 for any.
func (o Options) ports() (dns, web, mail uint16) {
	if o.WellKnown {
		return 53, 443, 25
	}
	return 0, 0, 0
}

// Lab is a running lab. Its methods are safe for concurrent use.
type Lab struct {
	now   func() time.Time
	ca    *authority
	names *nameServer
	web   *webServer
	port  uint16 // of every mail server

	mu    sync.Mutex // guards what follows
	next  netip.Addr // the address that the next host gets
	hosts map[string]*host
	done  chan struct{} // closed by Close: hanging servers wait on it

	closing sync.Once
	serving sync.WaitGroup // every goroutine that the lab started
}

// Start brings up DNS, web and CA; hosts follow with AddHost. Cancelling ctx closes the lab, but only Close waits.
func Start(ctx context.Context, opts Options) (*Lab, error) {
	if opts.Now == nil {
		opts.Now = time.Now
	}
	ca, err := newAuthority(opts.Now)
	if err != nil {
		return nil, err
	}
	l := &Lab{now: opts.Now, ca: ca, hosts: make(map[string]*host), done: make(chan struct{})}
	if err := l.listen(opts); err != nil {
		return nil, fmt.Errorf("start the lab: %w", err)
	}
	stop := context.AfterFunc(ctx, l.shut)
	l.serving.Add(1)
	go func() {
		defer l.serving.Done()
		<-l.done
		stop()
	}()
	return l, nil
}

// listen finds a corner of 127.0.0.0/8, unless it is told another, with a free port for DNS, web and mail.
func (l *Lab) listen(opts Options) error {
	dns, web, mail := opts.ports()
	var last error
	for attempt := range 20 {
		base := opts.Base
		if !base.IsValid() {
			base = randomBase()
		}
		// The mail port is only reserved by being free now at the first address: hosts bind to it later, each on an
		// address that nobody else uses.
		probe, err := net.Listen("tcp", netip.AddrPortFrom(base, mail).String())
		if err != nil {
			last = fmt.Errorf("attempt %d: %w", attempt+1, err)
			continue
		}
		l.port = probe.Addr().(*net.TCPAddr).AddrPort().Port()
		probe.Close()
		if l.names, last = newNameServer(netip.AddrPortFrom(base, dns)); last != nil {
			continue
		}
		if l.web, last = newWebServer(netip.AddrPortFrom(base, web), l.ca); last != nil {
			l.names.close()
			continue
		}
		l.next = base.Next()
		return nil
	}
	return last
}

// Close stops every server, ends open sessions and returns when all goroutines of the lab are gone.
func (l *Lab) Close() {
	l.shut()
	l.serving.Wait()
}

func (l *Lab) shut() {
	l.closing.Do(func() {
		close(l.done)
		l.names.close()
		l.web.close()
		l.mu.Lock()
		defer l.mu.Unlock()
		for _, h := range l.hosts {
			h.close()
		}
	})
}

// Resolver is the address of the DNS server, UDP and TCP; it answers recursively and knows only the lab.
func (l *Lab) Resolver() netip.AddrPort { return l.names.addr }

// SMTPPort is the port of every mail server.
func (l *Lab) SMTPPort() int { return int(l.port) }

// HTTPSPort is the port of the web server that holds the MTA-STS policies.
func (l *Lab) HTTPSPort() int { return int(l.web.addr.Port()) }

// Roots is a fresh pool with the lab's root certificate.
func (l *Lab) Roots() *x509.CertPool {
	pool := x509.NewCertPool()
	pool.AddCert(l.ca.root.cert)
	return pool
}

// RootsPEM is the root certificate for tools that read files.
func (l *Lab) RootsPEM() []byte { return l.ca.rootPEM() }
