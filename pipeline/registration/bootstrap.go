package registration

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"net/url"
	"strings"

	"github.com/starttls-everywhere/policylist/policy"
)

// ErrBootstrap is for a file that names no registries.
var ErrBootstrap = errors.New("not a bootstrap registry for domain names (RFC 9224)")

// MaxBootstrap caps the file: IANA's has 40 KB.
const MaxBootstrap = 4 << 20

// Bootstrap says which server knows the names below a suffix. The zero value knows none.
type Bootstrap struct{ servers map[string][]string }

// ParseBootstrap reads a bootstrap service registry (RFC 9224 section 3), as https://data.iana.org/rdap/dns.json. URLs that
// are of no use are left out.
func ParseBootstrap(data []byte) (Bootstrap, error) {
	var file struct {
		Version  string       `json:"version"`
		Services [][][]string `json:"services"`
	}
	if len(data) > MaxBootstrap {
		return Bootstrap{}, fmt.Errorf("%w: more than %d bytes", ErrBootstrap, MaxBootstrap)
	}
	if err := json.Unmarshal(data, &file); err != nil {
		return Bootstrap{}, fmt.Errorf("%w: %w", ErrBootstrap, err)
	}
	if file.Version != "1.0" || len(file.Services) == 0 {
		return Bootstrap{}, fmt.Errorf("%w: version %q with %d services", ErrBootstrap, file.Version, len(file.Services))
	}
	b := Bootstrap{make(map[string][]string)}
	for i, s := range file.Services {
		if len(s) != 2 {
			return Bootstrap{}, fmt.Errorf("%w: service %d has %d parts, not names and URLs", ErrBootstrap, i+1, len(s))
		}
		for _, name := range s[0] {
			b.servers[strings.ToLower(strings.TrimSuffix(name, "."))] = s[1]
		}
	}
	return b, nil
}

// Server is the base URL to ask about a domain, "" where nobody answers. The longest suffix counts (RFC 9224 section 4); only
// https does, for what a stranger can change on the way is nobody's word, and http on loopback where that is allowed.
func (b Bootstrap) Server(d policy.Domain, loopback bool) string {
	for suffix, found := d.String(), true; found; _, suffix, found = strings.Cut(suffix, ".") {
		for _, s := range b.servers[suffix] {
			u, err := url.Parse(s)
			if err == nil && allowed(u, loopback) {
				u.Path = strings.TrimSuffix(u.Path, "/") + "/"
				return u.String()
			}
		}
	}
	return ""
}

// allowed reports whether a URL may be asked.
func allowed(u *url.URL, loopback bool) bool {
	if u.Host == "" || u.User != nil || u.RawQuery != "" || u.Fragment != "" {
		return false
	}
	addr, err := netip.ParseAddr(u.Hostname())
	return u.Scheme == "https" || u.Scheme == "http" && loopback && err == nil && addr.IsLoopback()
}
