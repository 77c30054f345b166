package main

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/starttls-everywhere/policylist/policy"
)

// tlsrptConfig is [tlsrpt] of policylist.toml.
type tlsrptConfig struct {
	State         string   `toml:"state"`
	Host          string   `toml:"host"`
	Listen        []string `toml:"listen"`
	Certificate   string   `toml:"certificate"`
	Key           string   `toml:"key"`
	Proxy         bool     `toml:"proxy"`
	Contributions bool     `toml:"contributions"`
	Metrics       string   `toml:"metrics"`
	Space         string   `toml:"space"`
	Connections   int      `toml:"connections"`
	PerSource     int      `toml:"per-source"`
	PerDomain     int      `toml:"per-domain"`
	Tables        string   `toml:"tables"`
	List          string   `toml:"list"`
	Canaries      []string `toml:"canaries"`
}

// tlsrptConfigText documents every key of [tlsrpt].
const tlsrptConfigText = `[tlsrpt]
# For starttls-list tlsrpt: reports about TLS in mail delivery (RFC 8460) that domains pass on to this list, and what mail
# servers contribute (pipeline/tlsrpt/README.md). It runs on any host, best not the one with the keys: there this section,
# and resolver in [probe], are all that is read. The folder of the store; its parent exists. "" for no reports.
state = ""
# The host in the URLs that reports are sent to, https://HOST/…, with ":PORT" unless it is 443. Domains put it into their
# DNS, so do not change it.
host = ""
# Where tlsrpt serve listens: "ADDRESS:PORT", or "unix:/path" for a proxy. Sockets that systemd passes come before these.
listen = ["127.0.0.1:8460"]
# The host's certificate with its chain, and its key, in PEM. They are read again every minute. "" for plain HTTP, on
# loopback and unix sockets only: a proxy in front has the certificate then.
certificate = ""
key = ""
# A proxy of yours is in front: the last address of X-Forwarded-For is who asks.
proxy = false
# Take what mail servers contribute (starttls-policy feedback), and signatures on reports.
contributions = false
# ADDRESS:PORT for /metrics, in the format of Prometheus; "" for none.
metrics = ""
# How much the store may take on disk, such as "500MiB" or "2GiB"; "" is 2GiB. When it is full, senders come again later.
space = ""
# Connections at once, of which one IPv4 address or IPv6 /64 has 16 at most; 0 is 256. Requests an hour from one such
# source, and reports an hour about one domain, of which one source may send an eighth; 0 is 600.
connections = 0
per-source = 0
per-domain = 0
# The folder with the tables of feedback (schema/README.md), one a week: tlsrpt serve and table write them there, release
# reads the newest from there, on another host from a copy. They are for everybody: release publishes the newest with its
# evidence, and holds for it what wants to enforce. "" for none: release then knows of no reports.
tables = ""
# The list that the reports are held against, on a host without source: its policy.json, as starttls-policy update keeps
# one. "" for source.
list = ""
# Domains of yours that are listed as enforce and broken on purpose, to see who delivers there all the same: a contributor
# that does is told so. With [gate] they need their owner's proof, and are never demoted for what is wrong with them.
canaries = []
`

// tlsrptConnections is the default of connections.
const tlsrptConnections = 256

var errNoTLSRPT = errors.New("[tlsrpt] state is not set: this list takes no reports")

// readTLSRPTConfig reads policylist.toml on a host that may have nothing else of the list.
func readTLSRPTConfig(path string) (*config, error) {
	c, err := decodeConfig(path)
	if err != nil {
		return nil, err
	}
	if c.TLSRPT.State == "" {
		return nil, fmt.Errorf("%s: %w", path, errNoTLSRPT)
	}
	if err := errors.Join(c.checkTLSRPT(), c.checkFeedback(), c.checkProbe()); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return c, nil
}

// checkTLSRPT judges what is set; a section without state is one that is not used.
func (c *config) checkTLSRPT() error {
	t := c.TLSRPT
	if t.State == "" {
		return nil
	}
	if err := checkHost(t.Host); err != nil {
		return fmt.Errorf("[tlsrpt] host: %w", err)
	}
	if (t.Certificate == "") != (t.Key == "") {
		return errors.New("[tlsrpt] certificate and key come together")
	}
	for _, place := range t.Listen {
		switch _, _, public, err := listenPlace(place); {
		case err != nil:
			return fmt.Errorf("[tlsrpt] listen: %w", err)
		case public && t.Certificate == "":
			return fmt.Errorf("[tlsrpt] listen: %q is no loopback address, so it needs certificate and key", place)
		}
	}
	if _, err := netip.ParseAddrPort(t.Metrics); t.Metrics != "" && err != nil {
		return fmt.Errorf("[tlsrpt] metrics: %q is no ADDRESS:PORT", t.Metrics)
	}
	for key, n := range map[string]int{"connections": t.Connections, "per-source": t.PerSource, "per-domain": t.PerDomain} {
		if n < 0 || n > 1_000_000 {
			return fmt.Errorf("[tlsrpt] %s: %d is not 0 to 1000000", key, n)
		}
	}
	_, err := c.tlsrptSpace()
	return err
}

// checkHost takes a domain name with or without a port.
func checkHost(host string) error {
	name, port, found := strings.Cut(host, ":")
	if _, err := policy.ParseDomain(name); err != nil {
		return err
	}
	if n, err := strconv.ParseUint(port, 10, 16); found && (err != nil || n == 0) {
		return fmt.Errorf("%q is no TCP port", port)
	}
	return nil
}

// listenPlace takes "unix:/path" or "ADDRESS:PORT". public says that other machines may connect.
func listenPlace(s string) (network, address string, public bool, err error) {
	if path, ok := strings.CutPrefix(s, "unix:"); ok {
		if !filepath.IsAbs(path) {
			return "", "", false, fmt.Errorf("%q is no absolute path", path)
		}
		return "unix", path, false, nil
	}
	addr, err := netip.ParseAddrPort(s)
	if err != nil {
		return "", "", false, fmt.Errorf("%q is neither ADDRESS:PORT nor unix:/path", s)
	}
	return "tcp", net.JoinHostPort(addr.Addr().String(), strconv.Itoa(int(addr.Port()))), !addr.Addr().IsLoopback(), nil
}

// tlsrptSpace is space in bytes, 0 for the default.
func (c *config) tlsrptSpace() (int64, error) {
	text := c.TLSRPT.Space
	for unit, shift := range map[string]int{"MiB": 20, "GiB": 30} {
		digits, ok := strings.CutSuffix(text, unit)
		if n, err := strconv.ParseInt(digits, 10, 32); ok && err == nil && n > 0 && n<<shift>>shift == n {
			return n << shift, nil
		}
	}
	if text == "" {
		return 0, nil
	}
	return 0, fmt.Errorf(`[tlsrpt] space: %q is not as "500MiB" or "2GiB" are`, text)
}
