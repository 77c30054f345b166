package main

import (
	"context"
	"fmt"
	"time"

	"github.com/starttls-everywhere/policylist/policy/discovery"
	"github.com/starttls-everywhere/policylist/policy/mta/doctor"
)

const (
	// resolvConf names the resolver of programs that are not told another.
	resolvConf = "/etc/resolv.conf"
	// resolverTimeout is for one try; a resolver that was just started has the whole way down from the root to go.
	resolverTimeout = 3 * time.Second
)

// resolver asks the configured resolver for the name servers of the root, which are signed: it says so by the AD bit, if it
// has looked (RFC 4035 section 3.2.3).
func (l *look) resolver(ctx context.Context) {
	if l.offline {
		return
	}
	address := l.cfg.Serve.Resolver
	if own := l.cfg.LeaveOut; own != nil && !address.IsValid() {
		address = own.Resolver
	}
	if !address.IsValid() {
		var err error
		if address, err = discovery.SystemResolver(l.resolvConf); err != nil {
			l.unseen("%v", err)
			return
		}
	}
	c, err := discovery.NewClient(discovery.Options{Resolver: address, TrustAD: true, Timeout: resolverTimeout, Attempts: 2})
	if err != nil {
		l.unseen("%v", err)
		return
	}
	l.asked = append(l.asked, fmt.Sprintf("%s about %s", address, l.probe))
	r := &doctor.Resolver{Address: address.String(), Loopback: address.Addr().IsLoopback(), Asked: l.probe}
	answer := c.LookupNS(ctx, l.probe)
	if r.Secure = answer.Secure; answer.Status != discovery.NoError {
		r.Failed = string(answer.Status)
	}
	l.facts.Resolver = r
}
