package probe

import (
	"net/netip"
	"os"
	"os/exec"
	"strings"
	"testing"
)

// TestMayAsk: a name server that this machine has no way to is not asked: its silence would say nothing about the zone.
func TestMayAsk(t *testing.T) {
	const inside = "POLICYLIST_TEST_NO_NETWORK"
	if os.Getenv(inside) == "" {
		if p := asker(t); !p.mayAsk(netip.MustParseAddr("127.0.0.1")) || p.mayAsk(netip.MustParseAddr("10.0.0.1")) {
			t.Error("loopback, which is allowed, is not asked, or a private address is")
		}
		cmd := exec.Command("unshare", "-Urn", os.Args[0], "-test.run=^TestMayAsk$", "-test.v")
		cmd.Env = append(os.Environ(), inside+"=1")
		out, err := cmd.CombinedOutput()
		switch {
		case err == nil && strings.Contains(string(out), "--- PASS: TestMayAsk"):
		case os.Getenv("CI") != "true" && strings.Contains(string(out), "unshare"):
			t.Skipf("no network namespace to be had: %s", out)
		default:
			t.Errorf("%v\n%s", err, out)
		}
		return
	}
	p := asker(t)
	for _, addr := range []string{"127.0.0.1", "2600::1", "198.41.0.4", "10.0.0.1"} {
		if p.mayAsk(netip.MustParseAddr(addr)) {
			t.Errorf("%s is asked from where there is no network", addr)
		}
	}
}

func asker(t *testing.T) *Prober {
	t.Helper()
	p, err := New(Options{Resolver: netip.MustParseAddrPort("127.0.0.1:53"), EHLO: "probe.operator.example", AllowLoopback: true})
	must(t, err)
	return p
}
