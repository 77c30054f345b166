package discovery_test

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/starttls-everywhere/policylist/policy"
	"github.com/starttls-everywhere/policylist/policy/discovery"
)

const patience = 30 * time.Second

// client asks the name server of zone.
func client(t *testing.T, z *zone, change func(*discovery.Options)) *discovery.Client {
	t.Helper()
	opts := discovery.Options{Resolver: z.addr, Timeout: patience}
	if change != nil {
		change(&opts)
	}
	c, err := discovery.NewClient(opts)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// TestStatuses: the ways in which a lookup can end are told apart.
func TestStatuses(t *testing.T) {
	z := serveZone(t, "a.example. 60 IN MX 10 mx.a.example.", "x.y.example. 60 IN A 192.0.2.1")
	z.change(func() {
		z.rcode["bad.example."], z.rcode["no.example."], z.rcode["odd.example."] = "SERVFAIL", "REFUSED", "YXDOMAIN"
		z.silent["slow.example."] = true
	})
	patient := client(t, z, nil)
	hasty := client(t, z, func(o *discovery.Options) { o.Timeout, o.Attempts = 100*time.Millisecond, 2 })
	for name, want := range map[string]discovery.Status{
		"a.example": discovery.NoError, "A.Example.": discovery.NoError, "y.example": discovery.NoData,
		"x.y.example": discovery.NoData, "gone.example": discovery.NXDomain, "bad.example": discovery.ServFail,
		"no.example": discovery.Refused, "odd.example": discovery.Malformed, "slow.example": discovery.Timeout,
	} {
		c := patient
		if want == discovery.Timeout {
			c = hasty
		}
		a := c.LookupMX(t.Context(), name)
		if a.Status != want || a.Secure {
			t.Errorf("%s: %+v, want %s", name, a, want)
		}
		if known := want == discovery.NoError || want == discovery.NoData || want == discovery.NXDomain; a.Status.Known() != known {
			t.Errorf("%s: known %v", a.Status, a.Status.Known())
		}
	}
	if n := z.count("slow.example."); n != 2 {
		t.Errorf("a silent server was asked %d times, want 2", n)
	}
}

// TestLargeAnswer comes over TCP, and is cut to what we remember.
func TestLargeAnswer(t *testing.T) {
	var rrs []string
	for i := range 300 {
		rrs = append(rrs, fmt.Sprintf("big.example. 60 IN MX %d mx%d.provider.example.", i, i))
	}
	z := serveZone(t, rrs...)
	a := client(t, z, nil).LookupMX(t.Context(), "big.example")
	if a.Status != discovery.NoError || len(a.MX) != 64 || a.Dropped != 236 || z.tcp() == 0 {
		t.Errorf("%s, %d records, %d dropped, %d over TCP", a.Status, len(a.MX), a.Dropped, z.tcp())
	}
	if !slices.IsSortedFunc(a.MX, func(x, y discovery.MXRecord) int { return int(x.Preference) - int(y.Preference) }) {
		t.Error("not in the order of preference")
	}
}

// TestTextIsJoined: strings of one record belong together without a space (case 5 of the field notes), any bytes stay.
func TestTextIsJoined(t *testing.T) {
	z := serveZone(t, `a.example. 60 IN TXT "v=STSv1; id=20" "26;"`, `a.example. 60 IN TXT "q\"b\\s\009\200"`)
	a := client(t, z, nil).LookupTXT(t.Context(), "a.example")
	if want := []string{"q\"b\\s\t\xc8", "v=STSv1; id=2026;"}; !slices.Equal(a.TXT, want) {
		t.Errorf("%q, want %q", a.TXT, want)
	}
}

// TestAliases: a chain is followed, whether the resolver does it or leaves it to us; a loop and an endless chain are no
// answers.
func TestAliases(t *testing.T) {
	rrs := []string{
		"a.example. 60 IN CNAME b.example.", "b.example. 60 IN CNAME c.example.", "c.example. 60 IN A 192.0.2.1",
		"d.example. 60 IN CNAME gone.example.", "l1.example. 60 IN CNAME l2.example.", "l2.example. 60 IN CNAME l1.example.",
		"self.example. 60 IN CNAME self.example.",
	}
	for i := range 12 {
		rrs = append(rrs, fmt.Sprintf("n%d.example. 60 IN CNAME n%d.example.", i, i+1))
	}
	z := serveZone(t, rrs...)
	for _, lazy := range []bool{false, true} {
		z.change(func() { z.lazy = lazy })
		c := client(t, z, nil)
		a := c.LookupA(t.Context(), "a.example")
		if a.Status != discovery.NoError || !slices.Equal(a.Chain, []string{"b.example", "c.example"}) || len(a.Addrs) != 1 {
			t.Errorf("lazy %v: %+v", lazy, a)
		}
		for name, want := range map[string]discovery.Status{
			"d.example": discovery.NXDomain, "l1.example": discovery.Malformed, "self.example": discovery.Malformed,
			"n0.example": discovery.Malformed,
		} {
			if a := c.LookupA(t.Context(), name); a.Status != want {
				t.Errorf("lazy %v: %s: %+v, want %s", lazy, name, a, want)
			}
		}
	}
}

// TestAD: without trust the bit is neither asked for nor believed.
func TestAD(t *testing.T) {
	z := serveZone(t, "a.example. 60 IN A 192.0.2.1", "b.example. 60 IN CNAME a.example.")
	z.change(func() { z.liar = true }) // sets AD whether asked or not
	for _, trust := range []bool{false, true} {
		a := client(t, z, func(o *discovery.Options) { o.TrustAD = trust }).LookupA(t.Context(), "b.example")
		if a.Secure != trust || z.adAsked() != trust {
			t.Errorf("trust %v: secure %v, asked %v", trust, a.Secure, z.adAsked())
		}
	}
}

// TestWeakestLink: where the resolver leaves an alias to us, its target's security does not make up for its own.
func TestWeakestLink(t *testing.T) {
	z := serveZone(t, "a.example. 60 IN A 192.0.2.1", "b.example. 60 IN CNAME a.example.")
	c := client(t, z, func(o *discovery.Options) { o.TrustAD = true })
	for _, plain := range []string{"", "a.example.", "b.example."} {
		z.change(func() { z.liar, z.lazy, z.plain = true, true, map[string]bool{plain: true} })
		if a := c.LookupA(t.Context(), "b.example"); a.Status != discovery.NoError || a.Secure != (plain == "") {
			t.Errorf("insecure at %q: %+v", plain, a)
		}
	}
}

// TestLookupCNAME: the alias itself, not what is behind it.
func TestLookupCNAME(t *testing.T) {
	z := serveZone(t, "b.example. 60 IN CNAME C.example.", "c.example. 60 IN CNAME d.example.", "x.y.example. 60 IN A 192.0.2.1")
	z.change(func() { z.liar, z.rcode["bad.example."] = true, "SERVFAIL" })
	for _, trust := range []bool{false, true} {
		c := client(t, z, func(o *discovery.Options) { o.TrustAD = trust })
		for name, want := range map[string]discovery.Status{
			"b.example": discovery.NoError, "x.y.example": discovery.NoData, "y.example": discovery.NoData,
			"gone.example": discovery.NXDomain, "bad.example": discovery.ServFail,
		} {
			a := c.LookupCNAME(t.Context(), name)
			if a.Status != want || a.Secure != (trust && want.Known()) || (want == discovery.NoError) != slices.Equal(a.Chain, []string{"c.example"}) {
				t.Errorf("trust %v: %s: %+v, want %s", trust, name, a, want)
			}
		}
	}
}

// TestTooLong: a name that is too long to exist does not, and nobody is asked about it.
func TestTooLong(t *testing.T) {
	z := serveZone(t)
	z.change(func() { z.liar = true })
	c := client(t, z, func(o *discovery.Options) { o.TrustAD = true })
	longest := strings.Repeat(strings.Repeat("a", 61)+".", 4) + "bexam" // 253 bytes
	for _, a := range []discovery.Answer{
		c.LookupTLSA(t.Context(), "_25._tcp."+longest), c.LookupTXT(t.Context(), "_mta-sts."+longest), c.LookupCNAME(t.Context(), "b"+longest),
	} {
		if a.Status != discovery.NXDomain || a.Secure || a.Failures != 0 {
			t.Errorf("%+v", a)
		}
	}
	if a := c.LookupA(t.Context(), longest); a.Status != discovery.NXDomain || !a.Secure || z.count(longest+".") != 1 {
		t.Errorf("the longest name: %+v, asked %d times", a, z.count(longest+"."))
	}
}

// TestCancel: a caller that gives up is not kept until the deadline.
func TestCancel(t *testing.T) {
	z := serveZone(t)
	z.change(func() { z.silent["slow.example."] = true })
	ctx, cancel := context.WithCancel(t.Context())
	context.AfterFunc(z.asked, cancel)
	begin := time.Now()
	if a := client(t, z, nil).LookupMX(ctx, "slow.example"); a.Status != discovery.Timeout || time.Since(begin) > patience/2 {
		t.Errorf("%s after %v", a.Status, time.Since(begin))
	}
}

// TestRoutes walks through the ways that mail can take, cases 17 to 23 of the field notes among them.
func TestRoutes(t *testing.T) {
	long := "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
	for _, c := range []struct {
		records string // of the domain r.example, separated by ";"
		want    string // kind, then preference, name and flaw of each host
	}{
		{"MX 20 b.example.;MX 10 a.example.", "hosts 10:a.example: 20:b.example:"},
		{"MX 10 A.Example.", "hosts 10:a.example:"},
		{"MX 10 a.example.;MX 20 a.example.", "hosts 10:a.example:"},
		{"MX 0 .", "null"},
		{"MX 10 .", "hosts 10::root"},
		{"MX 0 .;MX 10 a.example.", "hosts 0::root 10:a.example:"},
		{"MX 0 a.example.", "hosts 0:a.example:"},
		{"MX 10 192.0.2.2.;MX 20 a.example.", "hosts 10:192.0.2.2:ip-literal 20:a.example:"},
		{"MX 10 mx_1.a.example.", "hosts 10:mx_1.a.example:underscore"},
		{"MX 10 localhost.", "hosts 10:localhost:syntax"},
		{"MX 10 -a.example.", "hosts 10:-a.example:syntax"},
		{`MX 10 m\252x.example.`, `hosts 10:m\252x.example:syntax`},
		{`MX 10 a\.b.example.`, `hosts 10:a\.b.example:syntax`},
		{"MX 10 xn--mller-kva.example.", "hosts 10:xn--mller-kva.example:"},
		{"MX 10 " + long + ".example.", "hosts 10:" + long + ".example:"},
		{"A 192.0.2.1", "implicit 0:r.example:"},
		{"AAAA 2001:db8::1", "implicit 0:r.example:"},
		{"TXT x", "none"},
		{"", "none"},
		{"CNAME real.example.", "hosts 5:mx.real.example:"},
	} {
		rrs := []string{"real.example. 60 IN MX 5 mx.real.example."}
		for _, rr := range strings.Split(c.records, ";") {
			if rr != "" {
				rrs = append(rrs, "r.example. 60 IN "+rr)
			}
		}
		d, err := policy.ParseDomain("r.example")
		if err != nil {
			t.Fatal(err)
		}
		r := discovery.FindMX(t.Context(), client(t, serveZone(t, rrs...), nil), d)
		got := []string{string(r.Kind)}
		for _, h := range r.Hosts {
			got = append(got, fmt.Sprintf("%d:%s:%s", h.Preference, h.Name, h.Flaw))
			if (h.Flaw == "") == h.Domain.IsZero() {
				t.Errorf("%s: host %+v", c.records, h)
			}
		}
		if strings.Join(got, " ") != c.want {
			t.Errorf("%q: %q, want %q", c.records, strings.Join(got, " "), c.want)
		}
	}
}

// TestRouteUnknown: where a lookup fails, nothing is concluded from the others.
func TestRouteUnknown(t *testing.T) {
	d, _ := policy.ParseDomain("bad.example")
	z := serveZone(t, "bad.example. 60 IN TXT x")
	z.change(func() { z.rcode["bad.example./AAAA"] = "SERVFAIL" })
	if r := discovery.FindMX(t.Context(), client(t, z, nil), d); r.Kind != discovery.RouteUnknown {
		t.Errorf("%+v", r)
	}
	z.change(func() { z.rcode["bad.example./MX"] = "SERVFAIL" })
	if r := discovery.FindMX(t.Context(), client(t, z, nil), d); r.Kind != discovery.RouteUnknown || r.Address != nil {
		t.Errorf("%+v", r)
	}
}

func TestSystemResolver(t *testing.T) {
	path := filepath.Join(t.TempDir(), "resolv.conf")
	write := func(text string) {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("# comment\nsearch example\nnameserver 192.0.2.53\nnameserver 192.0.2.54\n")
	if got, err := discovery.SystemResolver(path); err != nil || got != netip.MustParseAddrPort("192.0.2.53:53") {
		t.Errorf("%v, %v", got, err)
	}
	write("search example\n")
	if _, err := discovery.SystemResolver(path); !errors.Is(err, discovery.ErrResolver) {
		t.Errorf("no server: %v", err)
	}
	if _, err := discovery.SystemResolver(path + ".missing"); !errors.Is(err, discovery.ErrResolver) {
		t.Errorf("no file: %v", err)
	}
}
