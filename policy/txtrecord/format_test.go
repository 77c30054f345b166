package txtrecord

import (
	"slices"
	"strings"
	"testing"

	"github.com/miekg/dns"
)

// A zone file's reader gives back what was written, in strings that fit.
func TestZone(t *testing.T) {
	for _, text := range []string{"", `v=X; a="b"\c`, Format("v=TLSRPTv1", "rua=mailto:a@b.example"), strings.Repeat("x", 255), strings.Repeat(`"`, 600)} {
		rr, err := dns.NewRR("a.example. 60 IN TXT " + Zone(text))
		if err != nil {
			t.Fatalf("%s: %v", Zone(text), err)
		}
		wire := make([]byte, 4096)
		if _, err := dns.PackRR(rr, wire, 0, nil, false); err != nil {
			t.Fatal(err)
		}
		back, _, err := dns.UnpackRR(wire, 0)
		if err != nil {
			t.Fatal(err)
		}
		unquote := strings.NewReplacer(`\\`, `\`, `\"`, `"`)
		if got := unquote.Replace(strings.Join(back.(*dns.TXT).Txt, "")); got != text {
			t.Errorf("%q became %q", text, got)
		}
	}
	fields, found := Versioned("v=X", []string{Format("v=X", "a=b", "c=d")})
	if found != 1 || !slices.Equal(fields, []string{"a=b", "c=d"}) {
		t.Errorf("%q, %d", fields, found)
	}
}
