package discovery_test

import (
	"context"
	"net"
	"net/netip"
	"strings"
	"sync"
	"testing"

	"github.com/miekg/dns"
)

// zone is a name server for tests of this package, which may not lean on pipeline/lab above it. Its faults are set
// with change; keys are "name." or "name./TYPE".
type zone struct {
	addr  netip.AddrPort
	rrs   []dns.RR
	asked context.Context // ends with the first question

	mu     sync.Mutex // guards what follows
	rcode  map[string]string
	silent map[string]bool
	lame   bool            // does not know the zone
	lazy   bool            // leaves CNAMEs to the client
	liar   bool            // sets AD unasked
	plain  map[string]bool // names that it does not set AD for
	flaky  map[string]int  // how many questions for a name it fails first
	counts map[string]int
	adBit  bool
	rdBit  bool
	onTCP  int
}

func serveZone(t *testing.T, records ...string) *zone {
	t.Helper()
	packets, streams := listen(t, "127.0.0.1:0")
	return serveOn(t, packets, streams, records...)
}

func serveOn(t *testing.T, packets net.PacketConn, streams net.Listener, records ...string) *zone {
	t.Helper()
	z := &zone{rcode: make(map[string]string), silent: make(map[string]bool), counts: make(map[string]int), plain: make(map[string]bool), flaky: make(map[string]int)}
	for _, text := range records {
		rr, err := dns.NewRR(text)
		if err != nil {
			t.Fatal(err)
		}
		z.rrs = append(z.rrs, rr)
	}
	asked, first := context.WithCancel(context.Background())
	z.asked = asked
	t.Cleanup(first)
	z.addr = packets.LocalAddr().(*net.UDPAddr).AddrPort()
	handler := dns.HandlerFunc(func(w dns.ResponseWriter, q *dns.Msg) {
		if reply := z.answer(q, w.LocalAddr().Network() == "udp"); reply != nil {
			w.WriteMsg(reply)
		}
		first()
	})
	for _, s := range []*dns.Server{{PacketConn: packets, Handler: handler}, {Listener: streams, Handler: handler}} {
		started := make(chan struct{})
		s.NotifyStartedFunc = func() { close(started) }
		go s.ActivateAndServe()
		<-started
		t.Cleanup(func() { s.Shutdown() })
	}
	return z
}

// listen takes one port number for both transports. The kernel picks it for UDP; somebody else may have it for TCP, even
// as the near end of a connection, so it takes a few picks at times.
func listen(t *testing.T, at string) (net.PacketConn, net.Listener) {
	t.Helper()
	var last error
	for range 100 {
		packets, err := net.ListenPacket("udp", at)
		if err != nil {
			t.Fatal(err)
		}
		streams, err := net.Listen("tcp", packets.LocalAddr().String())
		if err == nil {
			return packets, streams
		}
		packets.Close()
		last = err
	}
	t.Fatal(last)
	return nil, nil
}

func (z *zone) answer(q *dns.Msg, udp bool) *dns.Msg {
	z.mu.Lock()
	defer z.mu.Unlock()
	name, kind := q.Question[0].Name, dns.TypeToString[q.Question[0].Qtype]
	z.counts[name]++
	z.adBit, z.rdBit = q.AuthenticatedData, q.RecursionDesired
	if !udp {
		z.onTCP++
	}
	if z.silent[name] {
		return nil
	}
	reply := new(dns.Msg).SetReply(q)
	if z.flaky[name] > 0 {
		z.flaky[name]--
		reply.Rcode = dns.RcodeServerFailure
		return reply
	}
	for _, key := range []string{name, name + "/" + kind} {
		if code := z.rcode[key]; code != "" {
			reply.Rcode = dns.StringToRcode[code]
			return reply
		}
	}
	z.fill(reply, strings.ToLower(name), q.Question[0].Qtype)
	reply.AuthenticatedData = reply.AuthenticatedData && z.liar
	reply.Authoritative = !z.lame
	if udp {
		reply.Truncate(1232)
	}
	return reply
}

func (z *zone) fill(reply *dns.Msg, name string, qtype uint16) {
	exists := false
	reply.AuthenticatedData = true
	for range 20 {
		target := ""
		if z.plain[name] {
			reply.AuthenticatedData = false
		}
		for _, rr := range z.rrs {
			owner := rr.Header().Name
			exists = exists || owner == name || strings.HasSuffix(owner, "."+name)
			if owner != name {
				continue
			}
			if c, is := rr.(*dns.CNAME); is {
				if target = c.Target; qtype == dns.TypeCNAME {
					target = ""
				}
			} else if rr.Header().Rrtype != qtype {
				continue
			}
			reply.Answer = append(reply.Answer, rr)
		}
		if target == "" || z.lazy {
			break
		}
		name, exists = target, false
	}
	if n := len(reply.Answer); n == 0 || !z.lazy && reply.Answer[n-1].Header().Rrtype != qtype {
		reply.Ns = []dns.RR{&dns.SOA{Hdr: dns.RR_Header{Name: "example.", Rrtype: dns.TypeSOA, Class: dns.ClassINET}, Ns: "ns.example.", Mbox: "h.example."}}
	}
	if !exists {
		reply.Rcode = dns.RcodeNameError
	}
}

// change sets faults while the server runs.
func (z *zone) change(set func()) {
	z.mu.Lock()
	defer z.mu.Unlock()
	set()
}

func (z *zone) count(name string) int {
	z.mu.Lock()
	defer z.mu.Unlock()
	return z.counts[name]
}

func (z *zone) tcp() int {
	z.mu.Lock()
	defer z.mu.Unlock()
	return z.onTCP
}

func (z *zone) adAsked() bool {
	z.mu.Lock()
	defer z.mu.Unlock()
	return z.adBit
}
