package live

import (
	"net/http/httptest"
	"net/netip"
	"testing"
)

// Only a trusted proxy is believed about whose request it is.
func TestProxies(t *testing.T) {
	trusted := []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("2001:db8:ffff::/48")}
	for _, c := range []struct{ from, forwarded, want string }{
		{"192.0.2.7:1", "", "192.0.2.7"},
		{"192.0.2.7:1", "198.51.100.1", "192.0.2.7"}, // a visitor's own invention
		{"10.0.0.1:1", "198.51.100.1", "198.51.100.1"},
		{"[::ffff:10.0.0.1]:1", "198.51.100.1", "198.51.100.1"},
		{"10.0.0.1:1", "203.0.113.9, 198.51.100.1", "198.51.100.1"}, // the first is the visitor's invention
		{"10.0.0.1:1", "198.51.100.1, 10.2.3.4", "198.51.100.1"},
		{"10.0.0.1:1", "198.51.100.1:5555", "198.51.100.1"},
		{"[2001:db8:ffff::1]:1", "2001:db8:1:2:3::4", "2001:db8:1:2::/64"},
		{"10.0.0.1:1", "", "10.0.0.1"},
		{"10.0.0.1:1", "nonsense", "10.0.0.1"},
		{"10.0.0.1:1", "198.51.100.1, nonsense", "10.0.0.1"},
		{"10.0.0.1:1", "10.2.3.4", "10.0.0.1"},
	} {
		r := httptest.NewRequest("GET", Path, nil)
		r.RemoteAddr = c.from
		if c.forwarded != "" {
			r.Header.Set("X-Forwarded-For", c.forwarded)
		}
		if got := sourceOf(r, trusted); got != c.want {
			t.Errorf("%s for %q: %s, want %s", c.from, c.forwarded, got, c.want)
		}
	}
	r := httptest.NewRequest("GET", Path, nil)
	r.RemoteAddr = "10.0.0.1:1"
	r.Header["X-Forwarded-For"] = []string{"203.0.113.9", "198.51.100.1"}
	if got := sourceOf(r, trusted); got != "198.51.100.1" {
		t.Errorf("two headers: %s", got)
	}
}
