package discovery

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/miekg/dns"
)

const (
	// udpSize is the EDNS buffer we offer; larger answers would be fragmented on common paths (DNS flag day 2020).
	udpSize = 1232
	// maxRecords caps what one answer may make us remember.
	maxRecords = 64
	// maxChain is how many CNAMEs are followed before a chain counts as broken; resolvers stop at 8 to 16.
	maxChain = 8
)

// ErrResolver is what NewClient returns for options without a usable resolver.
var ErrResolver = errors.New("no usable DNS resolver")

// Options configure a Client. Only Resolver or Resolvers is required.
type Options struct {
	Resolver netip.AddrPort
	// Resolvers are asked for at each question, for who follows a file that may change. The first is asked first, another when
	// it does not answer or fails, and one that answered where others were silent is asked first from then on. It is called
	// concurrently, and returns at least one. It comes before Resolver.
	Resolvers func() []netip.AddrPort
	// TrustAD says that the path to the resolver is safe (loopback, or a tunnel), so that its AD bit means something
	// (RFC 4035 section 4.9.3). Without it no answer is ever marked Secure.
	TrustAD  bool
	Timeout  time.Duration // one attempt over one transport; 0 means 3 s
	Attempts int           // how often silent or failing resolvers are asked, each once at least; 0 means 3
}

// Client asks recursive resolvers. It is safe for concurrent use and keeps nothing between lookups but who answered last.
type Client struct {
	opts    Options
	answers atomic.Pointer[netip.AddrPort] // who answered when others were silent; nil: the first
	// authority says that the "resolver" is a name server, asked for what itself knows (see AskServers).
	authority bool
}

// NewClient checks opts and fills in defaults.
func NewClient(opts Options) (*Client, error) {
	if opts.Resolvers == nil && (!opts.Resolver.IsValid() || opts.Resolver.Port() == 0) {
		return nil, ErrResolver
	}
	if opts.Timeout <= 0 {
		opts.Timeout = 3 * time.Second
	}
	if opts.Attempts <= 0 {
		opts.Attempts = 3
	}
	return &Client{opts: opts}, nil
}

// LookupMX asks for MX records at name; here as below no final dot is needed.
func (c *Client) LookupMX(ctx context.Context, name string) Answer {
	return c.lookup(ctx, name, dns.TypeMX)
}

// LookupA asks for IPv4 addresses.
func (c *Client) LookupA(ctx context.Context, name string) Answer {
	return c.lookup(ctx, name, dns.TypeA)
}

// LookupAAAA asks for IPv6 addresses.
func (c *Client) LookupAAAA(ctx context.Context, name string) Answer {
	return c.lookup(ctx, name, dns.TypeAAAA)
}

// LookupTXT asks for text records.
func (c *Client) LookupTXT(ctx context.Context, name string) Answer {
	return c.lookup(ctx, name, dns.TypeTXT)
}

// LookupCNAME asks whether name itself is an alias, and follows nothing: with NoError, Chain has the one target.
func (c *Client) LookupCNAME(ctx context.Context, name string) Answer {
	a := Answer{Name: plain(name), Type: "CNAME"}
	if !possible(a.Name) {
		a.Status = NXDomain
		return a
	}
	msg, status, failures := c.ask(ctx, a.Name, dns.TypeCNAME)
	a.Failures = failures
	if status != "" {
		a.Status = status
		a.Bogus = status == ServFail && c.bogus(ctx, a.Name, dns.TypeCNAME)
		return a
	}
	a.Secure = c.opts.TrustAD && msg.AuthenticatedData
	for _, rr := range msg.Answer {
		if alias, is := rr.(*dns.CNAME); is && plain(alias.Hdr.Name) == a.Name {
			a.Status, a.Chain = NoError, []string{plain(alias.Target)}
			return a
		}
	}
	a.Status = NoData
	if msg.Rcode == dns.RcodeNameError {
		a.Status = NXDomain
	}
	return a
}

// LookupNS asks for the name servers of a zone.
func (c *Client) LookupNS(ctx context.Context, name string) Answer {
	return c.lookup(ctx, name, dns.TypeNS)
}

// lookup follows CNAMEs, also those that the resolver left for us to follow, and sums the road up as one Answer.
func (c *Client) lookup(ctx context.Context, name string, qtype uint16) Answer {
	a := Answer{Name: plain(name), Type: dns.TypeToString[qtype]}
	if !possible(a.Name) {
		a.Status = NXDomain
		return a
	}
	target := a.Name
	a.Secure = true
	for {
		msg, status, failures := c.ask(ctx, target, qtype)
		a.Failures += failures
		if status != "" {
			a.Status, a.Secure = status, false
			a.Bogus = status == ServFail && c.bogus(ctx, target, qtype)
			return a
		}
		// A chain is as secure as its weakest link.
		a.Secure = a.Secure && c.opts.TrustAD && msg.AuthenticatedData
		next, ok := a.follow(msg, target)
		if !ok {
			a.Status, a.Secure = Malformed, false
			return a
		}
		a.take(msg, next, qtype)
		switch {
		case a.records() > 0:
			a.Status = NoError
		case msg.Rcode == dns.RcodeNameError:
			a.Status = NXDomain
		case next != target && c.authority:
			a.Status = NoError // an alias into another zone: that is all that this server knows
		case next != target && !denied(msg):
			target = next // the resolver stopped at the alias: ask for its target ourselves
			continue
		default:
			a.Status = NoData
		}
		return a
	}
}

// possible reports whether a name may exist at all: "_25._tcp." in front of the longest host name makes more than the 255
// bytes of RFC 1035 section 2.3.4.
func possible(name string) bool {
	n, err := dns.PackDomainName(dns.Fqdn(name), make([]byte, 256), 0, nil, false)
	return err == nil && n <= 255
}

// denied reports whether msg carries a SOA, the sign that the absence of records at the end of a chain is meant
// (RFC 2308 section 2.2).
func denied(msg *dns.Msg) bool {
	return slices.ContainsFunc(msg.Ns, func(rr dns.RR) bool { return rr.Header().Rrtype == dns.TypeSOA })
}

// follow walks the CNAMEs of msg from target and returns where they end; ok is false for a loop or an overlong chain.
func (a *Answer) follow(msg *dns.Msg, target string) (end string, ok bool) {
	aliases := make(map[string]string)
	for _, rr := range msg.Answer {
		if c, is := rr.(*dns.CNAME); is {
			aliases[plain(c.Hdr.Name)] = plain(c.Target)
		}
	}
	for aliases[target] != "" {
		target = aliases[target]
		if target == a.Name || slices.Contains(a.Chain, target) || len(a.Chain) >= maxChain {
			return "", false
		}
		a.Chain = append(a.Chain, target)
	}
	return target, true
}

// take keeps the records of the asked type that belong to name; anything else in the answer is none of our business.
func (a *Answer) take(msg *dns.Msg, name string, qtype uint16) {
	for _, rr := range msg.Answer {
		if rr.Header().Rrtype != qtype || plain(rr.Header().Name) != name {
			continue
		}
		if a.records() >= maxRecords {
			a.Dropped++
			continue
		}
		switch rr := rr.(type) {
		case *dns.MX:
			a.MX = append(a.MX, MXRecord{rr.Preference, plain(rr.Mx)})
		case *dns.NS:
			a.NS = append(a.NS, plain(rr.Ns))
		case *dns.A:
			a.addAddr(rr.A)
		case *dns.AAAA:
			a.addAddr(rr.AAAA)
		case *dns.TLSA:
			a.addTLSA(rr)
		case *dns.TXT:
			a.TXT = append(a.TXT, unescape(strings.Join(rr.Txt, "")))
		}
	}
	slices.SortFunc(a.MX, func(x, y MXRecord) int {
		if x.Preference != y.Preference {
			return int(x.Preference) - int(y.Preference)
		}
		return strings.Compare(x.Host, y.Host)
	})
	slices.Sort(a.NS)
	slices.SortFunc(a.Addrs, netip.Addr.Compare)
	slices.SortFunc(a.TLSA, TLSARecord.compare)
	slices.Sort(a.TXT)
}

func (a *Answer) addAddr(ip net.IP) {
	if addr, ok := netip.AddrFromSlice(ip); ok {
		a.Addrs = append(a.Addrs, addr.Unmap())
	}
}

// plain brings a name into the one form that Answers use.
func plain(name string) string { return strings.ToLower(strings.TrimSuffix(name, ".")) }

// unescape turns the presentation form of a character string (\" and \DDD, RFC 1035 section 5.1) into its bytes.
func unescape(s string) string {
	if !strings.Contains(s, `\`) {
		return s
	}
	out := make([]byte, 0, len(s))
	for i := 0; i < len(s); i++ {
		switch {
		case s[i] != '\\' || i+1 == len(s):
			out = append(out, s[i])
		case i+3 < len(s) && isDigit(s[i+1]) && isDigit(s[i+2]) && isDigit(s[i+3]):
			out = append(out, byte(int(s[i+1]-'0')*100+int(s[i+2]-'0')*10+int(s[i+3]-'0')))
			i += 3
		default:
			out = append(out, s[i+1])
			i++
		}
	}
	return string(out)
}

func isDigit(c byte) bool { return c >= '0' && c <= '9' }
