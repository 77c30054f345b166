package discovery

import (
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"sync/atomic"

	"github.com/miekg/dns"
)

// maxResolvers caps what is taken from a resolv.conf. Three are what the C library takes; each costs its timeout when all
// are silent.
const maxResolvers = 3

// SystemResolver returns the first name server of a resolv.conf file, normally /etc/resolv.conf.
func SystemResolver(path string) (netip.AddrPort, error) {
	all, err := SystemResolvers(path)
	if err != nil {
		return netip.AddrPort{}, err
	}
	return all[0], nil
}

// SystemResolvers returns the name servers of a resolv.conf file in their order, one at least and at most three. Errors wrap
// ErrResolver.
func SystemResolvers(path string) ([]netip.AddrPort, error) {
	conf, err := dns.ClientConfigFromFile(path)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrResolver, err)
	}
	port, err := strconv.ParseUint(conf.Port, 10, 16)
	if err != nil || len(conf.Servers) == 0 {
		return nil, fmt.Errorf("%w: %s names none", ErrResolver, path)
	}
	var out []netip.AddrPort
	for _, server := range conf.Servers[:min(len(conf.Servers), maxResolvers)] {
		addr, errAddr := netip.ParseAddr(server)
		if errAddr != nil {
			err = fmt.Errorf("%w: %s: %w", ErrResolver, path, errAddr)
			continue
		}
		out = append(out, netip.AddrPortFrom(addr, uint16(port)))
	}
	if len(out) == 0 {
		return nil, err
	}
	return out, nil
}

// Followed are the name servers of a resolv.conf file that may change, for Options.Resolvers. Safe for concurrent use.
type Followed struct {
	path string
	all  atomic.Pointer[[]netip.AddrPort]
}

// Follow does not read the file yet: until Reload finds one in it, the resolver is that of this machine, as resolv.conf(5)
// has it.
func Follow(path string) *Followed {
	f := &Followed{path: path}
	f.all.Store(&[]netip.AddrPort{netip.MustParseAddrPort("127.0.0.1:53")})
	return f
}

// Servers must not be changed.
func (f *Followed) Servers() []netip.AddrPort { return *f.all.Load() }

// Reload reads the file and reports whether it names others than before. When it names none, say because it is just being
// written, those from before stay.
func (f *Followed) Reload() (changed bool, err error) {
	next, err := SystemResolvers(f.path)
	if err != nil || slices.Equal(next, f.Servers()) {
		return false, err
	}
	f.all.Store(&next)
	return true, nil
}
