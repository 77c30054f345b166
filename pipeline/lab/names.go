package lab

import (
	"fmt"
	"net"
	"net/netip"
	"strings"
	"sync"

	"github.com/miekg/dns"
)

// DNSFault is how the name server misbehaves for one name and type. The zero value is no fault.
type DNSFault string

const (
	DNSServFail  DNSFault = "servfail"   // SERVFAIL
	DNSBogus     DNSFault = "bogus"      // as a resolver that finds wrong signatures: SERVFAIL, unless told not to look at them
	DNSRefused   DNSFault = "refused"    // REFUSED
	DNSSilent    DNSFault = "silent"     // no reply at all
	DNSTruncate  DNSFault = "truncate"   // over UDP only the hint to come back over TCP
	DNSOtherName DNSFault = "other-name" // a reply to another question
	DNSNoEDNS    DNSFault = "no-edns"    // FORMERR to queries with EDNS
	DNSOnce      DNSFault = "once"       // silent the first time, then fine
)

type question struct {
	name  string // lower case with the final dot
	qtype uint16
}

// nameServer answers as a recursive resolver whose whole internet is one table.
type nameServer struct {
	addr     netip.AddrPort
	udp, tcp *dns.Server
	stopped  sync.WaitGroup

	mu      sync.Mutex // guards what follows
	records map[string][]dns.RR
	nodes   map[string]int // records at the name or below it: what exists (RFC 8020)
	faults  map[question]DNSFault
	secure  map[string]bool
	asked   map[question]int
}

// newNameServer listens at addr, UDP and TCP, on one free port if it has none.
func newNameServer(addr netip.AddrPort) (*nameServer, error) {
	packets, err := net.ListenPacket("udp", addr.String())
	if err != nil {
		return nil, err
	}
	at := packets.LocalAddr().(*net.UDPAddr).AddrPort()
	streams, err := net.Listen("tcp", at.String())
	if err != nil {
		packets.Close()
		return nil, err
	}
	n := &nameServer{
		addr:    at,
		records: make(map[string][]dns.RR), nodes: make(map[string]int), faults: make(map[question]DNSFault),
		secure: make(map[string]bool), asked: make(map[question]int),
	}
	n.udp = &dns.Server{PacketConn: packets, Handler: dns.HandlerFunc(n.serve)}
	n.tcp = &dns.Server{Listener: streams, Handler: dns.HandlerFunc(n.serve)}
	var ready sync.WaitGroup
	for _, s := range []*dns.Server{n.udp, n.tcp} {
		// Shutdown of a server that has not started is an error and would leave it running: wait for both.
		ready.Add(1)
		s.NotifyStartedFunc = ready.Done
		n.stopped.Add(1)
		go func() {
			defer n.stopped.Done()
			s.ActivateAndServe()
		}()
	}
	ready.Wait()
	return n, nil
}

func (n *nameServer) close() {
	n.udp.Shutdown()
	n.tcp.Shutdown()
	n.stopped.Wait()
}

func (n *nameServer) serve(w dns.ResponseWriter, query *dns.Msg) {
	if len(query.Question) != 1 {
		return
	}
	reply := n.answer(query, w.LocalAddr().Network() == "udp")
	if reply != nil {
		w.WriteMsg(reply)
	}
}

// answer makes the reply, nil for silence.
func (n *nameServer) answer(query *dns.Msg, udp bool) *dns.Msg {
	n.mu.Lock()
	defer n.mu.Unlock()
	q := question{strings.ToLower(query.Question[0].Name), query.Question[0].Qtype}
	n.asked[q]++
	reply := new(dns.Msg).SetReply(query)
	reply.RecursionAvailable = true
	reply.Authoritative = !query.RecursionDesired // for who takes it for one of a zone's own name servers
	switch n.faults[q] {
	case DNSServFail:
		reply.Rcode = dns.RcodeServerFailure
		return reply
	case DNSBogus:
		if !query.CheckingDisabled {
			reply.Rcode = dns.RcodeServerFailure
			return reply
		}
	case DNSRefused:
		reply.Rcode = dns.RcodeRefused
		return reply
	case DNSSilent:
		return nil
	case DNSOnce:
		if n.asked[q] == 1 {
			return nil
		}
	case DNSTruncate:
		if udp {
			reply.Truncated = true
			return reply
		}
	case DNSOtherName:
		reply.Question[0].Name = "other." + reply.Question[0].Name
	case DNSNoEDNS:
		if query.IsEdns0() != nil {
			reply.Rcode = dns.RcodeFormatError
			return reply
		}
	}
	n.fill(reply, q)
	if opt := query.IsEdns0(); opt != nil {
		reply.SetEdns0(opt.UDPSize(), false)
		if udp {
			reply.Truncate(int(opt.UDPSize()))
		}
	} else if udp {
		reply.Truncate(dns.MinMsgSize)
	}
	reply.AuthenticatedData = query.AuthenticatedData && n.secure[q.name]
	return reply
}

// fill follows CNAMEs inside the table as a recursive resolver does. The caller holds n.mu.
func (n *nameServer) fill(reply *dns.Msg, q question) {
	name := q.name
	for range 16 {
		alias := ""
		for _, rr := range n.records[name] {
			switch {
			case rr.Header().Rrtype == q.qtype:
				reply.Answer = append(reply.Answer, rr)
			case rr.Header().Rrtype == dns.TypeCNAME:
				reply.Answer = append(reply.Answer, rr)
				alias = strings.ToLower(rr.(*dns.CNAME).Target)
			}
		}
		if alias == "" {
			break
		}
		name = alias
	}
	if len(reply.Answer) > 0 && reply.Answer[len(reply.Answer)-1].Header().Rrtype == q.qtype {
		return
	}
	if n.nodes[name] == 0 {
		reply.Rcode = dns.RcodeNameError
	}
	reply.Ns = append(reply.Ns, &dns.SOA{
		Hdr: dns.RR_Header{Name: "example.", Rrtype: dns.TypeSOA, Class: dns.ClassINET, Ttl: 60},
		Ns:  "ns.example.", Mbox: "hostmaster.example.", Minttl: 60,
	})
}

// count adds by to name and all names above it. The caller holds n.mu.
func (n *nameServer) count(name string, by int) {
	for {
		n.nodes[name] += by
		_, rest, ok := strings.Cut(name, ".")
		if !ok || rest == "" {
			return
		}
		name = rest
	}
}

func (n *nameServer) add(text string) error {
	rr, err := dns.NewRR(text)
	if err != nil || rr == nil {
		return fmt.Errorf("lab record %q: %w", text, err)
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	name := strings.ToLower(rr.Header().Name)
	n.records[name] = append(n.records[name], rr)
	n.count(name, 1)
	return nil
}

func (n *nameServer) remove(name string, qtype uint16) {
	n.mu.Lock()
	defer n.mu.Unlock()
	name = fqdn(name)
	var keep []dns.RR
	for _, rr := range n.records[name] {
		if rr.Header().Rrtype != qtype {
			keep = append(keep, rr)
		}
	}
	n.count(name, len(keep)-len(n.records[name]))
	if keep == nil {
		delete(n.records, name)
		return
	}
	n.records[name] = keep
}

func fqdn(name string) string { return strings.ToLower(dns.Fqdn(name)) }
