package discovery

import (
	"context"
	"net/netip"
	"slices"
	"strings"

	"github.com/miekg/dns"
)

const (
	maxServers = 16 // addresses of name servers that are asked; the root has 26, mail domains two to six
	maxClimb   = 16 // labels that are taken off a name to find its zone
)

// Servers says how AskServers may reach name servers.
type Servers struct {
	Allow func(netip.Addr) bool // which addresses may be contacted; nil allows none
	Port  int                   // 0 means 53
}

// Survey is what every name server of a zone says to one question. A resolver asks one of them and hides the others: a
// server that drops questions of a type it does not know, or holds an old copy of the zone, is seen by some senders on some
// days.
type Survey struct {
	Zone    string   // "" when it was not found; the last of Lookups says why
	Lookups []Answer // NS up to the zone, then A and AAAA of its name servers
	Servers []Server // in the order of their names and addresses
	Omitted int      // addresses that may not be contacted, or are too many
}

// Server is one address of a name server.
type Server struct {
	Name   string
	Addr   netip.Addr
	Answer Answer // Malformed when the server is lame; never Secure: nobody has looked at signatures
}

// AskServers asks each name server of the zone that name lies in for its TLSA records. c finds the servers.
func AskServers(ctx context.Context, c *Client, s Servers, name string) Survey {
	var out Survey
	zone := plain(name)
	for range maxClimb {
		a := c.LookupNS(ctx, zone)
		out.Lookups = append(out.Lookups, a)
		if !a.Status.Known() {
			return out
		}
		if a.Status == NoError && len(a.Chain) == 0 {
			out.Zone = zone
			out.find(ctx, c, s, a.NS)
			out.ask(ctx, c, s, name)
			return out
		}
		_, parent, ok := strings.Cut(zone, ".")
		if !ok {
			break
		}
		zone = parent
	}
	return out
}

// find looks up the addresses of the name servers.
func (v *Survey) find(ctx context.Context, c *Client, s Servers, names []string) {
	for _, name := range names {
		for _, a := range []Answer{c.LookupA(ctx, name), c.LookupAAAA(ctx, name)} {
			v.Lookups = append(v.Lookups, a)
			for _, addr := range a.Addrs {
				if s.Allow == nil || !s.Allow(addr) || len(v.Servers) == maxServers {
					v.Omitted++
					continue
				}
				v.Servers = append(v.Servers, Server{Name: name, Addr: addr})
			}
		}
	}
}

// ask asks one server after the other.
func (v *Survey) ask(ctx context.Context, c *Client, s Servers, name string) {
	port := uint16(53)
	if s.Port != 0 {
		port = uint16(s.Port)
	}
	for i := range v.Servers {
		direct := &Client{opts: c.opts, authority: true}
		direct.opts.Resolver, direct.opts.TrustAD = netip.AddrPortFrom(v.Servers[i].Addr, port), false
		v.Servers[i].Answer = direct.lookup(ctx, name, dns.TypeTLSA)
	}
}

// Agree reports whether all servers gave an answer, and the same one. It is true of a Survey without servers.
func (v Survey) Agree() bool {
	for _, s := range v.Servers {
		if !s.Answer.Status.Known() || !s.Answer.same(v.Servers[0].Answer) {
			return false
		}
	}
	return true
}

// same reports whether two answers to a question for TLSA records say the same.
func (a Answer) same(b Answer) bool {
	return a.Status == b.Status && slices.Equal(a.Chain, b.Chain) && a.Dropped == b.Dropped &&
		slices.EqualFunc(a.TLSA, b.TLSA, func(x, y TLSARecord) bool { return x.compare(y) == 0 })
}
