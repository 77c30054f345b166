package main

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
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

// resolvers asks each configured resolver for the name servers of the root, which are signed: it says so by the AD bit, if it
// has looked (RFC 4035 section 3.2.3). Any of them may be the one whose word counts when another is silent.
func (l *look) resolvers(ctx context.Context) {
	if l.offline {
		return
	}
	all, err := l.configured()
	if err != nil {
		l.unseen("%v", err)
	}
	for _, address := range all {
		c, err := discovery.NewClient(discovery.Options{Resolver: address, TrustAD: true, Timeout: resolverTimeout, Attempts: 2})
		if err != nil {
			l.unseen("%v", err)
			continue
		}
		l.asked = append(l.asked, fmt.Sprintf("%s about %s", address, l.probe))
		r := doctor.Resolver{Address: address.String(), Loopback: address.Addr().IsLoopback(), Asked: l.probe}
		answer := c.LookupNS(ctx, l.probe)
		if r.Secure = answer.Secure; !answer.Status.Known() {
			r.Failed = string(answer.Status)
		}
		l.facts.Resolvers = append(l.facts.Resolvers, r)
	}
}

// configured are those that some part of the configuration has asked, each once: that of [serve], that of [leave-out], and those
// of this machine where one of the two names none.
func (l *look) configured() ([]netip.AddrPort, error) {
	serve, own := l.cfg.Serve, l.cfg.LeaveOut
	var out []netip.AddrPort
	if serve.Resolver.IsValid() {
		out = append(out, serve.Resolver)
	}
	uses := own != nil && own.Sources.Any()
	if uses && own.Resolver.IsValid() {
		out = append(out, own.Resolver)
	}
	var err error
	if len(out) == 0 || serve.Written && !serve.Resolver.IsValid() || uses && !own.Resolver.IsValid() {
		var system []netip.AddrPort
		system, err = discovery.SystemResolvers(l.resolvConf)
		out = append(out, system...)
	}
	slices.SortFunc(out, netip.AddrPort.Compare)
	return slices.Compact(out), err
}
