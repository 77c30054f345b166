package discovery

import (
	"context"
	"net/netip"
	"strings"

	"github.com/starttls-everywhere/policylist/policy"
)

// MaxHosts is how many MX hosts of one domain are looked at; the largest mail services publish fewer than ten.
const MaxHosts = 32

// RouteKind says how mail finds its way to a domain.
type RouteKind string

const (
	RouteHosts    RouteKind = "hosts"    // MX records
	RouteImplicit RouteKind = "implicit" // no MX record, but an address: the domain is its own host (RFC 5321 section 5.1)
	RouteNull     RouteKind = "null"     // "0 ." alone: no mail wanted (RFC 7505 section 3)
	RouteNone     RouteKind = "none"     // neither MX record nor address
	RouteUnknown  RouteKind = "unknown"  // a lookup failed; see its Status
)

// Flaw is why an MX host's name cannot be used, "" when it can.
type Flaw string

const (
	FlawRoot       Flaw = "root"       // "." where it is no null MX: other preference or beside other hosts
	FlawLiteral    Flaw = "ip-literal" // an address written where a name belongs (RFC 2181 section 10.3)
	FlawUnderscore Flaw = "underscore" // resolvable, but no certificate may carry it
	FlawSyntax     Flaw = "syntax"     // no host name at all
)

// Host is one MX host as the DNS names it.
type Host struct {
	Preference uint16
	Name       string        // as in MXRecord.Host
	Domain     policy.Domain // zero when Flaw is set
	Flaw       Flaw
}

// Route is the way to a domain's mail hosts. Hosts come in the order of preference, then name; they are unique.
type Route struct {
	Kind    RouteKind
	Answer  Answer   // of the MX lookup
	Address []Answer // of the A and AAAA lookups that decided between implicit, none and unknown
	Hosts   []Host
	Omitted int // hosts beyond MaxHosts
}

// FindMX looks up how mail reaches domain, as a sender would (RFC 5321 section 5.1): MX records, else the domain's own
// addresses. A domain that is a CNAME is followed; Answer.Chain tells.
func FindMX(ctx context.Context, c *Client, domain policy.Domain) Route {
	r := Route{Answer: c.LookupMX(ctx, domain.String())}
	switch r.Answer.Status {
	case NoError:
		r.Kind, r.Hosts, r.Omitted = classify(r.Answer)
	case NXDomain:
		r.Kind = RouteNone
	case NoData:
		r.Address = []Answer{c.LookupA(ctx, domain.String()), c.LookupAAAA(ctx, domain.String())}
		r.Kind = implicit(r.Address)
		if r.Kind == RouteImplicit {
			r.Hosts = []Host{{Name: domain.String(), Domain: domain}}
		}
	default:
		r.Kind = RouteUnknown
	}
	return r
}

func implicit(answers []Answer) RouteKind {
	kind := RouteNone
	for _, a := range answers {
		switch {
		case len(a.Addrs) > 0:
			return RouteImplicit
		case !a.Status.Known():
			kind = RouteUnknown
		}
	}
	return kind
}

// classify turns MX records into hosts. It is a pure function of the answer.
func classify(a Answer) (kind RouteKind, hosts []Host, omitted int) {
	if len(a.MX) == 1 && a.MX[0] == (MXRecord{}) {
		return RouteNull, nil, 0
	}
	seen := make(map[string]bool)
	for _, m := range a.MX {
		if seen[m.Host] {
			continue // the same host twice, at a worse preference
		}
		seen[m.Host] = true
		if len(hosts) == MaxHosts {
			omitted++
			continue
		}
		h := Host{Preference: m.Preference, Name: m.Host}
		h.Domain, h.Flaw = hostName(m.Host)
		hosts = append(hosts, h)
	}
	return RouteHosts, hosts, omitted + a.Dropped
}

func hostName(name string) (policy.Domain, Flaw) {
	if name == "" {
		return policy.Domain{}, FlawRoot
	}
	if _, err := netip.ParseAddr(name); err == nil {
		return policy.Domain{}, FlawLiteral
	}
	d, err := policy.ParseDomain(name)
	switch {
	case err == nil:
		return d, ""
	case strings.Contains(name, "_"):
		return policy.Domain{}, FlawUnderscore
	}
	return policy.Domain{}, FlawSyntax
}
