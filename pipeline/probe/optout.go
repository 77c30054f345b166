package probe

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/starttls-everywhere/policylist/policy"
	"github.com/starttls-everywhere/policylist/policy/discovery"
)

// ErrOptOut is what an opt-out list that cannot be read wraps.
var ErrOptOut = errors.New("not an opt-out list")

// OptOut names those who asked not to be probed. The zero value is nobody.
type OptOut struct {
	names    map[policy.Domain]bool
	prefixes []netip.Prefix
}

// ParseOptOut reads a list with one entry a line: a mail domain or host name, which stands for all names below it too,
// an address, or a block of addresses ("192.0.2.0/24"). Blank lines and what follows "#" do not count. Anything else is
// an error with its line number: an entry that is not understood would be a wish that is not respected.
func ParseOptOut(text []byte) (OptOut, error) {
	o := OptOut{names: make(map[policy.Domain]bool)}
	n := 0
	for line := range strings.Lines(string(text)) {
		n++
		entry, _, _ := strings.Cut(line, "#")
		entry = strings.TrimSpace(entry)
		if entry == "" {
			continue
		}
		if err := o.add(entry); err != nil {
			return OptOut{}, fmt.Errorf("%w: line %d: %q: %w", ErrOptOut, n, entry, err)
		}
	}
	return o, nil
}

func (o *OptOut) add(entry string) error {
	if strings.Contains(entry, "/") {
		p, err := netip.ParsePrefix(entry)
		if err != nil {
			return err
		}
		if p != p.Masked() {
			return fmt.Errorf("has bits behind the prefix; %s is meant?", p.Masked())
		}
		if p.Addr().Is4In6() { // addresses are compared without this spelling
			p = netip.PrefixFrom(p.Addr().Unmap(), p.Bits()-96)
		}
		o.prefixes = append(o.prefixes, p)
		return nil
	}
	if addr, err := netip.ParseAddr(entry); err == nil {
		addr = addr.Unmap().WithZone("")
		o.prefixes = append(o.prefixes, netip.PrefixFrom(addr, addr.BitLen()))
		return nil
	}
	name, err := policy.NormalizeDomain(strings.TrimSuffix(entry, "."))
	if err != nil {
		return err
	}
	o.names[name] = true
	return nil
}

// hasName reports whether name or a domain above it is on the list.
func (o OptOut) hasName(name policy.Domain) bool {
	for at := name.String(); at != "" && len(o.names) > 0; _, at, _ = strings.Cut(at, ".") {
		if d, err := policy.ParseDomain(at); err == nil && o.names[d] {
			return true
		}
	}
	return false
}

// optedOut is the session that was not held.
func optedOut(addr netip.Addr) Session {
	return Session{Address: addr.String(), Failure: FailOptedOut, Stage: StageConnect}
}

// hasAlias reports whether a name that the lookups led to is on the list: a host asks for itself, whoever points to it.
func (o OptOut) hasAlias(answers ...discovery.Answer) bool {
	for _, a := range answers {
		for _, target := range a.Chain {
			if d, err := policy.ParseDomain(target); err == nil && o.hasName(d) {
				return true
			}
		}
	}
	return false
}

// mayContact reports whether a connection to addr may be opened: to a mail server's, or to a policy host's.
func (p *Prober) mayContact(addr netip.Addr) bool {
	return p.guard.allows(addr) && !p.opts.OptOut.hasAddr(addr)
}

// hasAddr reports whether addr is on the list.
func (o OptOut) hasAddr(addr netip.Addr) bool {
	addr = addr.Unmap().WithZone("")
	return slices.ContainsFunc(o.prefixes, func(p netip.Prefix) bool { return p.Contains(addr) })
}
