package main

import (
	"fmt"

	"github.com/starttls-everywhere/policylist/mirror/socketmap"
	"github.com/starttls-everywhere/policylist/policy/discovery"
)

// policiesFile keeps the domains' own MTA-STS policies over a restart of "serve".
const policiesFile = "mta-sts.jsonl"

// newLive is what asks the domains themselves; nil when [serve] wants only the lists.
func (s *served) newLive() (*socketmap.Live, error) {
	c := s.config.Serve
	if !c.asks(socketDANE) && !c.asks(socketSTS) {
		return nil, nil
	}
	dns, err := s.newDNS()
	if err != nil {
		return nil, err
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

// newDNS asks the resolver of [serve], or those of this machine as they are at the time.
func (s *served) newDNS() (*discovery.Client, error) {
	options := discovery.Options{Resolver: s.config.Serve.Resolver, TrustAD: s.config.Serve.TrustAD}
	if !options.Resolver.IsValid() {
		if s.resolvers == nil {
			s.resolvers = discovery.Follow(s.resolvConf)
			s.followResolvers()
		}
		options.Resolvers = s.resolvers.Servers
	}
	dns, err := discovery.NewClient(options)
	if err != nil {
		return nil, fmt.Errorf("[serve] resolver: %w", err)
	}
	return dns, nil
}

// followResolvers takes up the resolvers of this machine as they are now. At boot the file may not be written yet, and a
// daemon that does not start makes all mail wait; later a network may come and go.
func (s *served) followResolvers() {
	if s.resolvers == nil {
		return
	}
	changed, err := s.resolvers.Reload()
	switch {
	case err != nil && err.Error() != s.noResolver:
		s.log.Error("no resolver is named; those from before are asked, at the start that of this machine", "err", err)
	case changed:
		s.log.Info("resolvers", "addresses", fmt.Sprint(s.resolvers.Servers()))
	}
	if s.noResolver = ""; err != nil {
		s.noResolver = err.Error()
	}
}
