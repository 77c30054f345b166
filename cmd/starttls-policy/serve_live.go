package main

import (
	"fmt"
	"net/netip"

	"github.com/starttls-everywhere/policylist/mirror/socketmap"
	"github.com/starttls-everywhere/policylist/policy/discovery"
)

// newLive is what asks the domains themselves; nil when [serve] wants only the lists.
func (s *served) newLive() (*socketmap.Live, error) {
	c := s.config.Serve
	if !c.asks(socketDANE) && !c.asks(socketSTS) {
		return nil, nil
	}
	resolver, err := c.Resolver, error(nil)
	if !resolver.IsValid() {
		if resolver, err = discovery.SystemResolver("/etc/resolv.conf"); err != nil {
			// At boot it may not be written yet, and a daemon that does not start makes all mail wait.
			s.log.Error("no resolver; the one on this machine is asked until the next start", "err", err)
			resolver = netip.MustParseAddrPort("127.0.0.1:53")
		}
	}
	dns, err := discovery.NewClient(discovery.Options{Resolver: resolver, TrustAD: c.TrustAD})
	if err != nil {
		return nil, fmt.Errorf("[serve] resolver: %w", err)
	}
	live := &socketmap.Live{DNS: dns, DANE: c.asks(socketDANE), Now: s.app.now}
	if c.asks(socketSTS) {
		live.Fetcher = &discovery.Fetcher{Allow: discovery.Public, Now: s.app.now}
	}
	if err := live.Restore(s.policies()); err != nil {
		s.log.Error("not all MTA-STS policies were kept over the restart", "err", err)
	}
	return live, nil
}
