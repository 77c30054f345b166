package discovery

import (
	"net/netip"
	"os"
	"os/exec"
	"strings"
	"testing"
)

// TestNoRoute: in a network namespace without a network there is no way to anybody, which says nothing about the policy
// host (case 11: a host with IPv6 only, a machine without).
func TestNoRoute(t *testing.T) {
	const inside = "POLICYLIST_TEST_NO_NETWORK"
	if os.Getenv(inside) == "" {
		cmd := exec.Command("unshare", "-Urn", os.Args[0], "-test.run=^TestNoRoute$", "-test.v")
		cmd.Env = append(os.Environ(), inside+"=1")
		out, err := cmd.CombinedOutput()
		switch {
		case err == nil && strings.Contains(string(out), "--- PASS: TestNoRoute"):
		case os.Getenv("CI") != "true" && strings.Contains(string(out), "unshare"):
			t.Skipf("no network namespace to be had: %s", out)
		default:
			t.Errorf("%v\n%s", err, out)
		}
		return
	}
	f := &Fetcher{Allow: func(netip.Addr) bool { return true }}
	for _, addresses := range [][]netip.AddrPort{
		{netip.MustParseAddrPort("[2001:db8::1]:443")},
		{netip.MustParseAddrPort("192.0.2.1:443"), netip.MustParseAddrPort("[2001:db8::1]:443")},
	} {
		var s STS
		if f.try(t.Context(), addresses, "mta-sts.a.example", &s); s.Status != STSFetchNoRoute || s.Detail == "" || s.Status.Known() {
			t.Errorf("%v: %s, %q", addresses, s.Status, s.Detail)
		}
	}
}
