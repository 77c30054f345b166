package discovery_test

import (
	"fmt"
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"
	"github.com/starttls-everywhere/policylist/policy/discovery"
)

// threeServers serves records at 127.0.0.2, 3 and 4, all at one port.
func threeServers(t *testing.T, records ...string) (servers [3]*zone, port int) {
	t.Helper()
	var packets [3]net.PacketConn
	var streams [3]net.Listener
	for attempt := 0; ; attempt++ {
		packets[0], streams[0] = listen(t, "127.0.0.2:0")
		port = packets[0].LocalAddr().(*net.UDPAddr).Port
		var err error
		n := 1
		for ; n < 3 && err == nil; n++ {
			at := fmt.Sprintf("127.0.0.%d:%d", n+2, port)
			if packets[n], err = net.ListenPacket("udp", at); err == nil {
				if streams[n], err = net.Listen("tcp", at); err != nil {
					packets[n].Close()
				}
			}
		}
		if err == nil {
			break
		}
		for i := range n - 1 {
			packets[i].Close()
			streams[i].Close()
		}
		if attempt == 100 {
			t.Fatal(err)
		}
	}
	for i := range servers {
		servers[i] = serveOn(t, packets[i], streams[i], records...)
	}
	return servers, port
}

// TestAskServers (case 28): one of three name servers is silent, lame, of another opinion, or away. The resolver says that
// all is well.
func TestAskServers(t *testing.T) {
	const tlsa = "_25._tcp.mx.a.example."
	records := append(lines("a.example. NS ns1.p.example.;a.example. NS ns2.p.example.;a.example. NS ns3.p.example.;mx.a.example. A 192.0.2.1"+
		";ns1.p.example. A 127.0.0.2;ns2.p.example. A 127.0.0.3;ns3.p.example. A 127.0.0.4;ns3.p.example. AAAA fd00::1"), tlsa+" 60 IN TLSA 3 1 1 "+digest)
	resolver := serveZone(t, records...)
	for name, c := range map[string]struct {
		records []string
		change  func([3]*zone)
		want    string // the statuses
		agree   bool
	}{
		"all well": {records, func([3]*zone) {}, "noerror noerror noerror", true},
		"silent":   {records, func(z [3]*zone) { z[1].silent[tlsa] = true }, "noerror timeout noerror", false},
		"SERVFAIL": {records, func(z [3]*zone) { z[2].rcode[tlsa] = "SERVFAIL" }, "noerror noerror servfail", false},
		"NOTIMP":   {records, func(z [3]*zone) { z[2].rcode[tlsa] = "NOTIMP" }, "noerror noerror malformed", false},
		"lame":     {records, func(z [3]*zone) { z[0].lame = true }, "malformed noerror noerror", false},
		"old copy": {records, func(z [3]*zone) { z[2].rrs = z[2].rrs[:len(z[2].rrs)-1] }, "noerror noerror nxdomain", false},
		"none":     {records[:len(records)-1], func([3]*zone) {}, "nxdomain nxdomain nxdomain", true},
		"all refuse": {records, func(z [3]*zone) {
			for _, z := range z {
				z.rcode[tlsa] = "REFUSED"
			}
		}, "refused refused refused", false},
		"only one knows the name": {records[:len(records)-1], func(z [3]*zone) {
			z[0].rrs = append(z[0].rrs, record(t, tlsa+" 60 IN TXT x"))
		}, "nodata nxdomain nxdomain", false},
		"other records": {records, func(z [3]*zone) {
			z[0].rrs[len(z[0].rrs)-1] = record(t, tlsa+" 60 IN TLSA 3 1 1 "+strings.Repeat("cd", 32))
		}, "noerror noerror noerror", false},
		"other alias": {append(records[:len(records)-1:len(records)-1], tlsa+" 60 IN CNAME dane.p.example."),
			func(z [3]*zone) {
				for _, z := range z {
					z.lazy = true
				}
				z[1].rrs[len(z[1].rrs)-1] = record(t, tlsa+" 60 IN CNAME old.p.example.")
			}, "noerror noerror noerror", false},
		"alias": {append(records[:len(records)-1:len(records)-1], tlsa+" 60 IN CNAME dane.p.example."),
			func(z [3]*zone) {
				for _, z := range z {
					z.lazy = true
				}
			}, "noerror noerror noerror", true},
	} {
		servers, port := threeServers(t, c.records...)
		servers[0].change(func() { servers[1].change(func() { servers[2].change(func() { c.change(servers) }) }) })
		client := client(t, resolver, func(o *discovery.Options) { o.Attempts, o.TrustAD = 1, true })
		if strings.Contains(c.want, "timeout") {
			client = shortClient(t, resolver)
		}
		v := discovery.AskServers(t.Context(), client, discovery.Servers{Allow: netip.Addr.IsLoopback, Port: port}, "_25._tcp.mx.a.example")
		servers[0].change(func() {
			if servers[0].rdBit {
				t.Errorf("%s: a name server was asked to recurse", name)
			}
		})
		var got []string
		for _, s := range v.Servers {
			got = append(got, string(s.Answer.Status))
			if s.Answer.Secure {
				t.Errorf("%s: secure without a look at signatures", name)
			}
		}
		if strings.Join(got, " ") != c.want || v.Agree() != c.agree || v.Zone != "a.example" || v.Omitted != 1 {
			t.Errorf("%s: %q, agree %v, zone %q, %d omitted; want %q", name, got, v.Agree(), v.Zone, v.Omitted, c.want)
		}
	}
}

func record(t *testing.T, text string) dns.RR {
	t.Helper()
	rr, err := dns.NewRR(text)
	if err != nil {
		t.Fatal(err)
	}
	return rr
}

func shortClient(t *testing.T, z *zone) *discovery.Client {
	return client(t, z, func(o *discovery.Options) { o.Attempts, o.Timeout = 1, 2*time.Second })
}

// TestAskServersNowhere: without a way to the zone nobody is asked, and the lookups say why.
func TestAskServersNowhere(t *testing.T) {
	z := serveZone(t, "a.example. 60 IN NS ns.a.example.", "ns.a.example. 60 IN A 127.0.0.2")
	c := client(t, z, nil)
	v := discovery.AskServers(t.Context(), c, discovery.Servers{}, "_25._tcp.a.example")
	if v.Zone != "a.example" || len(v.Servers) != 0 || v.Omitted != 1 || !v.Agree() {
		t.Errorf("nobody allowed: %+v", v)
	}
	if v := discovery.AskServers(t.Context(), c, discovery.Servers{}, "x.test"); v.Zone != "" || len(v.Lookups) != 2 {
		t.Errorf("no zone: %+v", v)
	}
	z = serveZone(t, "x.a.example. 60 IN CNAME b.test.", "b.test. 60 IN NS ns.b.test.", "a.example. 60 IN NS ns.a.example.")
	if v := discovery.AskServers(t.Context(), client(t, z, nil), discovery.Servers{}, "x.a.example"); v.Zone != "a.example" {
		t.Errorf("the zone of an alias is not its target's: %+v", v)
	}
	z.change(func() { z.rcode["a.example."] = "SERVFAIL" })
	c = client(t, z, nil)
	v = discovery.AskServers(t.Context(), c, discovery.Servers{}, "x.a.example")
	if n := len(v.Lookups); v.Zone != "" || n == 0 || v.Lookups[n-1].Status != discovery.ServFail {
		t.Errorf("%+v", v)
	}
}

// TestAskServersCaps: neither many servers nor many labels make many questions.
func TestAskServersCaps(t *testing.T) {
	records := []string{"a.example. 60 IN NS ns.a.example."}
	for i := range 20 {
		records = append(records, fmt.Sprintf("ns.a.example. 60 IN A 127.0.1.%d", i))
	}
	packets, streams := listen(t, "127.0.0.1:0")
	port := packets.LocalAddr().(*net.UDPAddr).Port // nobody answers there any more
	packets.Close()
	streams.Close()
	c := client(t, serveZone(t, records...), func(o *discovery.Options) { o.Attempts = 1 })
	v := discovery.AskServers(t.Context(), c, discovery.Servers{Allow: netip.Addr.IsLoopback, Port: port}, "a.example")
	if len(v.Servers) != 16 || v.Omitted != 4 || v.Agree() {
		t.Errorf("%d servers asked, %d omitted", len(v.Servers), v.Omitted)
	}
	v = discovery.AskServers(t.Context(), c, discovery.Servers{}, strings.Repeat("x.", 50)+"test")
	if len(v.Lookups) != 16 || v.Zone != "" {
		t.Errorf("%d lookups, zone %q", len(v.Lookups), v.Zone)
	}
}
