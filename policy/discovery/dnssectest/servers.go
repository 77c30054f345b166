// Package dnssectest is a small signed DNS for tests: zones that it signs itself, served by a real nsd, asked through a
// real unbound that validates them from our own trust anchor. Both run on a loopback address, on free high ports and in
// private folders, without root. Only tests import it.
//
//	s := dnssectest.Serve(t,
//		dnssectest.Zone{Name: "a.example.", Records: []string{"@ MX 10 mx", "mx A 192.0.2.1", "_25._tcp.mx TLSA 3 1 1 ab…"}},
//		dnssectest.Zone{Name: "plain.example.", Signing: dnssectest.Unsigned, Records: []string{"@ MX 10 mx.a.example."}},
//	)
//	client, err := discovery.NewClient(discovery.Options{Resolver: s.Resolver, TrustAD: true})
//
// The signatures are made for the machine's own clock, for unbound goes by no other.
package dnssectest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/miekg/dns"
	"github.com/starttls-everywhere/policylist/mirror/storetest/tool"
)

// Servers are running name servers. The test that started them ends them.
type Servers struct {
	Resolver  netip.AddrPort // unbound, which validates
	Authority netip.AddrPort // nsd
	Anchor    string         // the root's DS record, which unbound trusts
}

// Serve signs zones and serves them below a signed root zone that delegates to each, or to the nearest zone above it.
// Without nsd or unbound the test is skipped, or fails where CI=true.
func Serve(t testing.TB, zones ...Zone) Servers {
	t.Helper()
	packages := tool.Tree(t, "dns")
	folder := t.TempDir()
	tree, err := grow(zones, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	s := Servers{Anchor: tree.anchor()}
	for i, z := range tree.zones {
		write(t, filepath.Join(folder, zoneFile(i)), z.text())
	}
	s.Authority = start(t, "nsd", func(at netip.AddrPort) *exec.Cmd {
		config := filepath.Join(folder, "nsd.conf")
		write(t, config, nsdConfig(folder, at, tree))
		return tool.Command(context.Background(), t, packages, "usr/sbin/nsd", "-d", "-c", config)
	})
	for _, z := range tree.zones {
		if !z.Down && !answers(s.Authority, z.name) {
			t.Fatalf("nsd does not serve the zone %s: is there an error in its records?", z.name)
		}
	}
	refusing := refuse(t)
	s.Resolver = start(t, "unbound", func(at netip.AddrPort) *exec.Cmd {
		config := filepath.Join(folder, "unbound.conf")
		write(t, config, unboundConfig(folder, at, refusing, s, tree))
		return tool.Command(context.Background(), t, packages, "usr/sbin/unbound", "-d", "-p", "-c", config)
	})
	return s
}

func zoneFile(i int) string { return fmt.Sprintf("%d.zone", i) }

func write(t testing.TB, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// start starts a name server where nobody listens and waits until it answers for the root. Somebody else may take the port
// first, so it takes a few picks at times.
func start(t testing.TB, name string, command func(netip.AddrPort) *exec.Cmd) netip.AddrPort {
	t.Helper()
	said := ""
	for range 5 {
		at, err := free()
		if err != nil {
			continue
		}
		p := tool.Start(t, command(at), syscall.SIGTERM) // nsd has children to end
		if p.Until(func() bool { return answers(at, ".") }) {
			return at
		}
		p.Stop()
		said = p.Said()
	}
	t.Fatalf("%s does not start:\n%s", name, said)
	return netip.AddrPort{}
}

// free is a loopback address and a port that both transports have free.
func free() (netip.AddrPort, error) {
	host := netip.AddrFrom4([4]byte{127, byte(1 + rand.N(254)), byte(rand.N(256)), byte(1 + rand.N(254))})
	streams, err := net.Listen("tcp", netip.AddrPortFrom(host, 0).String())
	if err != nil {
		return netip.AddrPort{}, err
	}
	packets, err := net.ListenPacket("udp", streams.Addr().String())
	if err != nil {
		return netip.AddrPort{}, errors.Join(err, streams.Close())
	}
	at := streams.Addr().(*net.TCPAddr).AddrPort()
	return at, errors.Join(streams.Close(), packets.Close())
}

// refuse starts a name server that refuses.
func refuse(t testing.TB) netip.AddrPort {
	t.Helper()
	packets, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	started := make(chan struct{})
	server := &dns.Server{
		PacketConn: packets, NotifyStartedFunc: func() { close(started) },
		Handler: dns.HandlerFunc(func(w dns.ResponseWriter, q *dns.Msg) {
			w.WriteMsg(new(dns.Msg).SetRcode(q, dns.RcodeRefused))
		}),
	}
	go server.ActivateAndServe()
	<-started
	t.Cleanup(func() { server.Shutdown() })
	return packets.LocalAddr().(*net.UDPAddr).AddrPort()
}

// answers reports whether a name server has the zone.
func answers(at netip.AddrPort, zone string) bool {
	query := new(dns.Msg).SetQuestion(zone, dns.TypeSOA)
	reply, _, err := (&dns.Client{Timeout: time.Second}).Exchange(query, at.String())
	return err == nil && reply.Rcode == dns.RcodeSuccess && len(reply.Answer) > 0
}

func nsdConfig(folder string, at netip.AddrPort, tree *tree) string {
	var b strings.Builder
	fmt.Fprintf(&b, `server:
	ip-address: %s
	port: %d
	server-count: 1
	username: ""
	chroot: ""
	zonesdir: %q
	database: ""
	pidfile: ""
	xfrdfile: %q
	zonelistfile: %q
remote-control:
	control-enable: no
`, at.Addr(), at.Port(), folder, filepath.Join(folder, "xfrd.state"), filepath.Join(folder, "zone.list"))
	for i, z := range tree.zones {
		if z.Down {
			continue
		}
		fmt.Fprintf(&b, "zone:\n\tname: %q\n\tzonefile: %q\n", z.name, zoneFile(i))
	}
	return b.String()
}

// unboundConfig has a stub for every zone: delegations lead to port 53, which is not ours.
func unboundConfig(folder string, at, refusing netip.AddrPort, s Servers, tree *tree) string {
	var b bytes.Buffer
	fmt.Fprintf(&b, `server:
	interface: %s
	port: %d
	access-control: 127.0.0.0/8 allow
	do-ip6: no
	do-not-query-localhost: no
	num-threads: 1
	username: ""
	chroot: ""
	directory: %q
	pidfile: ""
	use-syslog: no
	logfile: ""
	val-log-level: 2
	module-config: "validator iterator"
	trust-anchor: %q
	trust-anchor-signaling: no
	local-zone: "test." nodefault
	local-zone: "invalid." nodefault
remote-control:
	control-enable: no
`, at.Addr(), at.Port(), folder, s.Anchor)
	for _, z := range tree.zones {
		at := s.Authority
		if z.Down {
			at = refusing
		}
		fmt.Fprintf(&b, "stub-zone:\n\tname: %q\n\tstub-addr: %s@%d\n", z.name, at.Addr(), at.Port())
	}
	return b.String()
}
