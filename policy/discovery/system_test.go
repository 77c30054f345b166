package discovery_test

import (
	"net/netip"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/starttls-everywhere/policylist/policy/discovery"
)

// TestResolversInTheirOrder: where the first is silent, fails or refuses, the next answers; only one that was silent is
// passed over from then on, for whoever owns a name can make it fail.
func TestResolversInTheirOrder(t *testing.T) {
	const name = "a.example."
	first, second := serveZone(t, name+" 60 IN MX 10 first.example."), serveZone(t, name+" 60 IN MX 10 second.example.")
	c, err := discovery.NewClient(discovery.Options{
		Resolvers: func() []netip.AddrPort { return []netip.AddrPort{first.addr, second.addr} }, Timeout: 200 * time.Millisecond, Attempts: 1,
	})
	if err != nil {
		t.Fatal(err)
	}
	says := func(want string) {
		t.Helper()
		if a := c.LookupMX(t.Context(), name); len(a.MX) != 1 || a.MX[0].Host != want+".example" {
			t.Errorf("%+v, want the answer of %s", a, want)
		}
	}
	says("first")
	for _, code := range []string{"SERVFAIL", "REFUSED"} {
		first.change(func() { first.rcode[name] = code })
		says("second")
		first.change(func() { delete(first.rcode, name) })
		says("first")
	}
	first.change(func() { first.silent[name] = true })
	says("second")
	asked := 0
	first.change(func() { asked = first.counts[name] })
	says("second")
	first.change(func() {
		if first.silent[name] = false; first.counts[name] != asked {
			t.Error("the silent one is asked first again")
		}
	})
	second.change(func() { second.silent[name] = true })
	says("first")
	second.change(func() { second.silent[name] = false })
	says("first")
}

// TestFollowedResolvers: an empty file at the start means the resolver of this machine, what is written later counts at
// once, and while the file is being replaced those from before stay.
func TestFollowedResolvers(t *testing.T) {
	path := filepath.Join(t.TempDir(), "resolv.conf")
	f := discovery.Follow(path)
	for _, c := range []struct {
		text    string
		changed bool
		failed  bool
		first   string
		all     int
	}{
		{"", false, true, "127.0.0.1:53", 1},
		{"nameserver 192.0.2.53\nnameserver 192.0.2.54\n", true, false, "192.0.2.53:53", 2},
		{"nameserver 192.0.2.53\nnameserver 192.0.2.54\n# edited\n", false, false, "192.0.2.53:53", 2},
		{"", false, true, "192.0.2.53:53", 2},
		{"nameserver nonsense\nnameserver 192.0.2.55\n", true, false, "192.0.2.55:53", 1},
		{"nameserver nonsense\n", false, true, "192.0.2.55:53", 1},
		{"nameserver 1.1.1.1\nnameserver ::1\nnameserver 1.1.1.2\nnameserver 1.1.1.3\n", true, false, "1.1.1.1:53", 3},
	} {
		if err := os.WriteFile(path, []byte(c.text), 0o600); err != nil {
			t.Fatal(err)
		}
		changed, err := f.Reload()
		if got := f.Servers(); changed != c.changed || (err != nil) != c.failed || got[0].String() != c.first || len(got) != c.all {
			t.Errorf("%q: %v, %v, %v", c.text, changed, err, got)
		}
	}
}
