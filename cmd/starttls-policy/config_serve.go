package main

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/starttls-everywhere/policylist/mirror/socketmap"
	"github.com/starttls-everywhere/policylist/policy"
)

// serveConfig is the [serve] table with its defaults.
type serveConfig struct {
	Written  bool // [serve] stands in the file: this machine has the daemon set-up
	Listen   []listenPlace
	Mode     socketMode
	Group    string
	Sources  []sourceName
	Resolver netip.AddrPort // zero: that of /etc/resolv.conf
	TrustAD  bool
	Update   updateEvery
	Metrics  netip.AddrPort // zero: none
}

// serveFile is [serve] as TOML has it.
type serveFile struct {
	Listen   []setting[listenPlace, *listenPlace] `toml:"listen"`
	Mode     setting[socketMode, *socketMode]     `toml:"mode"`
	Group    string                               `toml:"group"`
	Sources  []setting[sourceName, *sourceName]   `toml:"sources"`
	Resolver netip.AddrPort                       `toml:"resolver"`
	TrustAD  bool                                 `toml:"trust-ad"`
	Update   setting[updateEvery, *updateEvery]   `toml:"update"`
	Metrics  netip.AddrPort                       `toml:"metrics"`
}

// overrideFile is one [[override]].
type overrideFile struct {
	Domain setting[domainName, *domainName] `toml:"domain"`
	MXs    []setting[mxPattern, *mxPattern] `toml:"mxs"`
	Reason string                           `toml:"reason"`
	Until  setting[untilDate, *untilDate]   `toml:"until"`
}

func (f serveFile) config() (serveConfig, error) {
	c := serveConfig{Mode: f.Mode.value, Group: f.Group, Resolver: f.Resolver, TrustAD: f.TrustAD, Update: f.Update.value, Metrics: f.Metrics}
	for _, l := range f.Listen {
		c.Listen = append(c.Listen, l.value)
	}
	for _, s := range f.Sources {
		c.Sources = append(c.Sources, s.value)
	}
	if c.Mode == 0 {
		c.Mode = 0o660
	}
	if len(f.Sources) == 0 {
		c.Sources = []sourceName{socketSTS, socketList}
	}
	return c, c.check()
}

func (c serveConfig) check() error {
	if c.asks(socketDANE) && !c.TrustAD {
		return errors.New(`[serve]: the source "dane" needs a resolver that validates DNSSEC, over a way that nobody can tamper with: say so with trust-ad = true`)
	}
	return nil
}

// with is c with other sources; without any it is c itself.
func (c *serveConfig) with(sources []string) (*serveConfig, error) {
	if len(sources) == 0 {
		return c, nil
	}
	other := *c
	other.Sources = make([]sourceName, len(sources))
	for i, s := range sources {
		if err := other.Sources[i].UnmarshalText([]byte(s)); err != nil {
			return nil, err
		}
	}
	return &other, other.check()
}

func (c serveConfig) asks(s sourceName) bool { return slices.Contains(c.Sources, s) }

// listenPlace is "unix:/absolute/path" or "ADDR:PORT".
type listenPlace string

// UnmarshalText implements encoding.TextUnmarshaler.
func (l *listenPlace) UnmarshalText(text []byte) error {
	path, unix := strings.CutPrefix(string(text), "unix:")
	_, err := netip.ParseAddrPort(string(text))
	if unix && !filepath.IsAbs(path) || !unix && err != nil {
		return fmt.Errorf("listen %q: it is \"unix:/absolute/path\" or \"127.0.0.1:8461\"", text)
	}
	*l = listenPlace(text)
	return nil
}

func (l listenPlace) split() (network, address string) {
	if path, ok := strings.CutPrefix(string(l), "unix:"); ok {
		return "unix", path
	}
	return "tcp", string(l)
}

// loopback reports whether only this machine can connect.
func (l listenPlace) loopback() bool {
	network, address := l.split()
	host, _, _ := net.SplitHostPort(address)
	ip := net.ParseIP(host)
	return network == "unix" || ip.IsLoopback()
}

// socketMode is the permission of a unix socket, "0660".
type socketMode os.FileMode

// UnmarshalText implements encoding.TextUnmarshaler.
func (m *socketMode) UnmarshalText(text []byte) error {
	n, err := strconv.ParseUint(string(text), 8, 32)
	if err != nil || n == 0 || n > 0o777 {
		return fmt.Errorf("mode %q: it is octal, such as \"0660\"", text)
	}
	*m = socketMode(n)
	return nil
}

// sourceName is a source of policies.
type sourceName string

const (
	socketDANE sourceName = "dane"
	socketSTS  sourceName = "mta-sts"
	socketList sourceName = "list"
)

// UnmarshalText implements encoding.TextUnmarshaler.
func (s *sourceName) UnmarshalText(text []byte) error {
	switch *s = sourceName(text); *s {
	case socketDANE, socketSTS, socketList:
		return nil
	}
	return fmt.Errorf("source %q: it is %q, %q or %q", text, socketDANE, socketSTS, socketList)
}

// updateEvery is how often lists are updated; 0 is the default, negative never.
type updateEvery time.Duration

// UnmarshalText implements encoding.TextUnmarshaler.
func (u *updateEvery) UnmarshalText(text []byte) error {
	if string(text) == "off" {
		*u = -1
		return nil
	}
	d, err := time.ParseDuration(string(text))
	if err != nil || d < 10*time.Minute || d > 48*time.Hour {
		return fmt.Errorf("update = %q: it is \"off\", or from \"10m\" to \"48h\"", text)
	}
	*u = updateEvery(d)
	return nil
}

// domainName is a domain as people write it.
type domainName struct{ policy.Domain }

// UnmarshalText implements encoding.TextUnmarshaler.
func (d *domainName) UnmarshalText(text []byte) (err error) {
	d.Domain, err = policy.NormalizeDomain(string(text))
	return err
}

// mxPattern is an MX pattern as people write it.
type mxPattern struct{ policy.MXPattern }

// UnmarshalText implements encoding.TextUnmarshaler.
func (m *mxPattern) UnmarshalText(text []byte) (err error) {
	m.MXPattern, err = policy.NormalizeMXPattern(string(text))
	return err
}

// untilDate is the last day of an override, to its end in UTC.
type untilDate struct{ time.Time }

// UnmarshalText implements encoding.TextUnmarshaler.
func (u *untilDate) UnmarshalText(text []byte) error {
	day, err := time.Parse(time.DateOnly, string(text))
	if err != nil {
		return fmt.Errorf("until = %q: it is a day such as \"2027-01-31\"", text)
	}
	u.Time = day.AddDate(0, 0, 1)
	return nil
}

// adoptName is a domain of "early-adopter", or "*" for all.
type adoptName string

// UnmarshalText implements encoding.TextUnmarshaler.
func (a *adoptName) UnmarshalText(text []byte) error {
	if *a = adoptName(text); *a == "*" {
		return nil
	}
	d, err := policy.NormalizeDomain(string(text))
	*a = adoptName(d.String())
	return err
}

// adopted are the domains whose testing policies are enforced.
type adopted map[adoptName]bool

func adoptedBy(names []setting[adoptName, *adoptName]) adopted {
	out := adopted{}
	for _, n := range names {
		out[n.value] = true
	}
	return out
}

func (a adopted) has(d policy.Domain) bool { return a["*"] || a[adoptName(d.String())] }

// overrides checks what the decoder cannot.
func overrides(files []overrideFile) (socketmap.Overrides, error) {
	out := socketmap.Overrides{}
	for i, f := range files {
		d := f.Domain.value.Domain
		switch _, twice := out[d]; {
		case d.IsZero():
			return nil, fmt.Errorf("override number %d has no domain", i+1)
		case f.Reason == "":
			return nil, fmt.Errorf("the override of %s has no reason: whoever finds it in two years will want to know", d)
		case twice:
			return nil, fmt.Errorf("there are two overrides of %s", d)
		}
		o := socketmap.Override{Domain: d, Reason: f.Reason, Until: f.Until.value.Time}
		if len(f.MXs) > 0 {
			var mxs []policy.MXPattern
			for _, m := range f.MXs {
				mxs = append(mxs, m.value.MXPattern)
			}
			var err error
			if o.Policy, err = policy.NewPolicy(policy.Enforce, mxs); err != nil {
				return nil, fmt.Errorf("the override of %s: %w", d, err)
			}
		}
		out[d] = o
	}
	return out, nil
}
