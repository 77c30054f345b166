package gate_test

import (
	"testing"

	"github.com/starttls-everywhere/policylist/policy/gate"
)

// TestHardFault: faults that stop the list's senders, and those that do not though the probe calls the domain failed.
func TestHardFault(t *testing.T) {
	for code, want := range map[string]bool{
		"starttls.missing": true, "starttls.stripped": true, "starttls.refused": true, "cert.expired": true, "cert.name": true,
		"cert.untrusted": true, "tls.version": true, "tls.handshake": true, "mx.null": true, "mx.none": true, "smtp.dead": true,
		"dane.mismatch": false, "sts.no-mx": false, "cross.sts-none": false, "dns.nxdomain": false, "cert.expiring": false,
		"smtp.timeout": false, "starttls.refused-temp": false, "tls.interrupted": false, "": false,
	} {
		if gate.HardFault(code) != want {
			t.Errorf("%q: %v", code, !want)
		}
	}
}
