package main

import (
	"cmp"
	"errors"
	"fmt"
	"net/netip"
	"time"

	"github.com/starttls-everywhere/policylist/mirror/leaveout"
)

// leaveOutConfig is the [leave-out] table with its defaults: whose own policies come before the list in a static set-up.
type leaveOutConfig struct {
	Sources  leaveout.Sources
	Resolver netip.AddrPort // zero: that of /etc/resolv.conf
	TrustAD  bool
	DANEMap  string // in smtp_tls_policy_maps; "": none of them does DANE
	Limits   leaveout.Limits
}

// leaveOutFile is [leave-out] as TOML has it.
type leaveOutFile struct {
	Sources  []setting[sourceName, *sourceName] `toml:"sources"`
	Resolver netip.AddrPort                     `toml:"resolver"`
	TrustAD  bool                               `toml:"trust-ad"`
	DANEMap  string                             `toml:"dane-map"`
	Most     int                                `toml:"most"`
	Within   setting[roundLength, *roundLength] `toml:"within"`
}

// roundLength is how long an update may spend on asking domains; 0 is the default.
type roundLength time.Duration

// UnmarshalText implements encoding.TextUnmarshaler.
func (r *roundLength) UnmarshalText(text []byte) error {
	d, err := time.ParseDuration(string(text))
	if err != nil || d < 10*time.Second || d > 20*time.Minute { // the unit ends an update after half an hour
		return fmt.Errorf("within = %q: it is from \"10s\" to \"20m\"", text)
	}
	*r = roundLength(d)
	return nil
}

func (f leaveOutFile) config() (*leaveOutConfig, error) {
	c := &leaveOutConfig{Resolver: f.Resolver, TrustAD: f.TrustAD, DANEMap: f.DANEMap, Limits: leaveout.Limits{
		Most: cmp.Or(f.Most, leaveout.DefaultMost), Within: cmp.Or(time.Duration(f.Within.value), leaveout.DefaultWithin), Pace: leaveout.DefaultPace,
	}}
	for _, s := range f.Sources {
		switch s.value {
		case socketDANE:
			c.Sources.DANE = true
		case socketSTS:
			c.Sources.STS = true
		default:
			return nil, fmt.Errorf("[leave-out]: the source %q is no policy of a domain's own", s.value)
		}
	}
	switch {
	case c.Sources.DANE && !c.TrustAD:
		// An answer that somebody forged on the way would switch off what protects the domain.
		return nil, errors.New(`[leave-out]: the source "dane" needs a resolver that validates DNSSEC, over a way that nobody can tamper with: say so with trust-ad = true`)
	case f.Most < 0 || f.Most > 1_000_000:
		return nil, fmt.Errorf("[leave-out]: most = %d: it is from 1 to 1000000", f.Most)
	}
	return c, nil
}

// leaveOutText shows the table as comments.
const leaveOutText = `
# A table answers before a domain's own word is looked at, so listed domains are held to the list even where they have DANE
# records, or say something else by MTA-STS. update can ask them once a day and leave those out. List a source only if this mail
# server looks at it itself: a domain that is left out is protected by nothing else. See "The list goes first" in USAGE.md.
#[leave-out]
# "dane": smtp_dns_support_level = dnssec and smtp_tls_security_level = dane in main.cf, or a DANE resolver's map behind the
# table, named below. "mta-sts": an MTA-STS resolver's map behind the table. Without sources nobody is asked.
#sources = ["dane", "mta-sts"]
# The resolver, instead of that of /etc/resolv.conf; and whether it validates DNSSEC and is reached over a way that nobody
# can tamper with, such as loopback. "dane" needs that.
#resolver = "127.0.0.1:53"
#trust-ad = true
# Which of the tables in smtp_tls_policy_maps does DANE, as it stands there. Most that look at MTA-STS policies do not.
#dane-map = "socketmap:inet:127.0.0.1:8642:QUERYwithTLSRPT"
# How many domains one update asks at most, and how long it may spend on them.
#most = 10000
#within = "5m"
`
