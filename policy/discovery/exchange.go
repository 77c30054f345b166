package discovery

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"slices"
	"strings"

	"github.com/miekg/dns"
)

// ask sends one question until somebody answers it, and counts the attempts that failed. The status is "" when msg is an
// answer about the name.
func (c *Client) ask(ctx context.Context, name string, qtype uint16) (msg *dns.Msg, status Status, failures int) {
	q := question{name: name, qtype: qtype, edns: true}
	servers, silent := c.servers(), 0
	for i := range max(c.opts.Attempts, len(servers)) {
		server := servers[i%len(servers)]
		msg, status = c.attempt(ctx, server, q)
		switch {
		case msg != nil && q.edns && (msg.Rcode == dns.RcodeFormatError || msg.Rcode == dns.RcodeNotImplemented):
			q.edns, status = false, Malformed // a resolver from before EDNS (RFC 6891 section 7)
			continue
		case msg != nil && c.authority && !msg.Authoritative && statusOf(msg.Rcode) == "":
			status = Malformed // a lame server's referral, which looks like the absence of records
		case msg != nil:
			status = statusOf(msg.Rcode)
		}
		if status == "" {
			if silent > 0 && len(servers) > 1 {
				c.answers.Store(&server)
			}
			return msg, status, failures
		}
		failures++
		if status == Timeout {
			silent++
		}
		if status == Refused && i+1 >= len(servers) || ctx.Err() != nil {
			break
		}
	}
	return msg, status, failures
}

// servers are the resolvers in the order in which they are to be asked. A failing one gives no reason to change it: whoever
// owns a name can make it fail.
func (c *Client) servers() []netip.AddrPort {
	if c.opts.Resolvers == nil {
		return []netip.AddrPort{c.opts.Resolver}
	}
	all := c.opts.Resolvers()
	if last := c.answers.Load(); last != nil {
		if i := slices.Index(all, *last); i > 0 {
			all = slices.Concat(all[i:], all[:i])
		}
	}
	return all
}

// bogus asks again what ended in SERVFAIL, with checking disabled (RFC 4035 section 3.2.2): when an answer comes now,
// there is one, and it was only its signatures that the resolver did not like.
func (c *Client) bogus(ctx context.Context, name string, qtype uint16) bool {
	if c.authority {
		return false
	}
	msg, _ := c.attempt(ctx, c.servers()[0], question{name: name, qtype: qtype, edns: true, unchecked: true})
	return msg != nil && statusOf(msg.Rcode) == ""
}

// question is what is asked, and how.
type question struct {
	name      string
	qtype     uint16
	edns      bool
	unchecked bool // CD: do not look at signatures
}

// attempt asks over UDP, and over TCP when the answer was cut.
func (c *Client) attempt(ctx context.Context, server netip.AddrPort, q question) (*dns.Msg, Status) {
	msg, status := c.exchange(ctx, "udp", server, q)
	if msg != nil && msg.Truncated {
		return c.exchange(ctx, "tcp", server, q)
	}
	return msg, status
}

// exchange is one question over one fresh socket: the kernel picks an unpredictable source port and drops datagrams
// from other addresses. The deadline is Options.Timeout, or the context's when that is nearer.
func (c *Client) exchange(ctx context.Context, network string, server netip.AddrPort, q question) (*dns.Msg, Status) {
	query := new(dns.Msg).SetQuestion(dns.Fqdn(q.name), q.qtype)
	query.AuthenticatedData = c.opts.TrustAD // "tell me AD" without asking for signatures (RFC 6840 section 5.7)
	query.CheckingDisabled = q.unchecked
	query.RecursionDesired = !c.authority
	if q.edns {
		query.SetEdns0(udpSize, false)
	}
	ctx, cancel := context.WithTimeout(ctx, c.opts.Timeout)
	defer cancel()
	conn, err := (&net.Dialer{}).DialContext(ctx, network, server.String())
	if err != nil {
		return nil, Timeout
	}
	defer conn.Close()
	defer context.AfterFunc(ctx, func() { conn.Close() })()
	client := dns.Client{Net: network, Timeout: c.opts.Timeout, UDPSize: udpSize}
	reply, _, err := client.ExchangeWithConnContext(ctx, query, &dns.Conn{Conn: conn, UDPSize: udpSize})
	switch {
	case errors.As(err, new(net.Error)) || errors.As(err, new(*net.OpError)):
		return nil, Timeout
	case err != nil && (reply == nil || !reply.Truncated):
		return nil, Malformed
	case !answers(reply, query):
		return nil, Malformed
	}
	return reply, ""
}

// answers reports whether reply speaks about the question of query and nothing else.
func answers(reply, query *dns.Msg) bool {
	if !reply.Response || len(reply.Question) != 1 {
		return reply.Response && len(reply.Question) == 0 && reply.Rcode != dns.RcodeSuccess
	}
	got, want := reply.Question[0], query.Question[0]
	return strings.EqualFold(got.Name, want.Name) && got.Qtype == want.Qtype && got.Qclass == want.Qclass
}

func statusOf(rcode int) Status {
	switch rcode {
	case dns.RcodeSuccess, dns.RcodeNameError:
		return ""
	case dns.RcodeServerFailure:
		return ServFail
	case dns.RcodeRefused:
		return Refused
	}
	return Malformed
}
