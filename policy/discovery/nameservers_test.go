package discovery_test

import (
	"fmt"
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"

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
	z.change(func() { z.rcode["a.example."] = "SERVFAIL" })
	v = discovery.AskServers(t.Context(), c, discovery.Servers{}, "x.a.example")
	if n := len(v.Lookups); v.Zone != "" || n == 0 || v.Lookups[n-1].Status != discovery.ServFail {
		t.Errorf("%+v", v)
	}
}
