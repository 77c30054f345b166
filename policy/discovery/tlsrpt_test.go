package discovery_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/starttls-everywhere/policylist/policy/discovery"
)

// TestTLSRPT: the numbers are those of the field notes on TLSRPT records.
func TestTLSRPT(t *testing.T) {
	const a, b = "mailto:tls@a.example", "https://r.a.example/v1"
	one := func(s string) []string { return []string{s} }
	for _, c := range []struct {
		txts   []string
		status discovery.TLSRPTStatus
		rua    string // separated by blanks
		faults int
	}{
		{one("v=TLSRPTv1; rua=" + a), discovery.TLSRPTOK, a, 0},
		{one("v=TLSRPTv1;rua=" + a + ";"), discovery.TLSRPTOK, a, 0},
		{one("v=TLSRPTv1 ;\t rua=" + a + " ; "), discovery.TLSRPTOK, a, 0},
		{one("v=TLSRPTv1; rua=" + a + "," + b), discovery.TLSRPTOK, a + " " + b, 0},
		{one("v=TLSRPTv1; rua=" + b + " ,\t" + a), discovery.TLSRPTOK, b + " " + a, 0},
		{one("v=TLSRPTv1; rua=" + a + "; rua=" + b), discovery.TLSRPTOK, a + " " + b, 0}, // 16
		{one("v=TLSRPTv1; rua=" + a + "; rua=" + a), discovery.TLSRPTOK, a, 0},
		{one("v=TLSRPTv1; ext=1; rua=" + a + "; x.y-z_1=hello"), discovery.TLSRPTOK, a, 0},
		{[]string{"v=spf1 -all", "v=TLSRPTv1; rua=" + a}, discovery.TLSRPTOK, a, 0},

		{nil, discovery.TLSRPTNone, "", 0},
		{one("v=spf1 -all"), discovery.TLSRPTNone, "", 0},
		{one("v=TLSRPTv1"), discovery.TLSRPTNone, "", 1},
		{one("v=TLSRPTv2; rua=" + a), discovery.TLSRPTNone, "", 1},
		{one("v=TLSRPTv10; rua=" + a), discovery.TLSRPTNone, "", 1},
		{one("v=TSLRPTv1; rua=" + a), discovery.TLSRPTNone, "", 1}, // 18
		{one("v=tlsrptv1; rua=" + a), discovery.TLSRPTNone, "", 1},
		{one(" v=TLSRPTv1; rua=" + a), discovery.TLSRPTNone, "", 1},
		{one("v = TLSRPTv1; rua=" + a), discovery.TLSRPTNone, "", 1},
		{one(`"v=TLSRPTv1; rua=` + a + `"`), discovery.TLSRPTNone, "", 1},
		{one("rua=" + a), discovery.TLSRPTNone, "", 1},
		{[]string{"v=TLSRPTv1; rua=" + a, "v=TSLRPTv1; rua=" + b}, discovery.TLSRPTOK, a, 1},
		{[]string{"v=TLSRPTv1; rua=" + a, "v=TLSRPTv1; rua=" + b}, discovery.TLSRPTMany, "", 1}, // 17
		{[]string{"v=TLSRPTv1; rua=" + a, "v=TLSRPTv1; rua=" + a}, discovery.TLSRPTMany, "", 1},

		{one("v=TLSRPTv1;"), discovery.TLSRPTInvalid, "", 1},
		{one("v=TLSRPTv1; rua"), discovery.TLSRPTInvalid, "", 1},
		{one("v=TLSRPTv1; rua="), discovery.TLSRPTInvalid, "", 1},
		{one("v=TLSRPTv1; RUA=" + a), discovery.TLSRPTInvalid, "", 1}, // field names are case-sensitive
		{one("v=TLSRPTv1; rua =" + a), discovery.TLSRPTInvalid, "", 1},
		{one("v=TLSRPTv1; rua=" + a + ";; x=y"), discovery.TLSRPTInvalid, "", 1},
		{one("v=TLSRPTv1; rua=" + a + "; hello"), discovery.TLSRPTInvalid, "", 1},
		{one("v=TLSRPTv1; rua=tls@a.example"), discovery.TLSRPTInvalid, "", 1}, // 14
		{one("v=TLSRPTv1; rua=tls@a.example," + b), discovery.TLSRPTOK, b, 1},  // 14, and the process goes on
		{one("v=TLSRPTv1; rua=mailto:0"), discovery.TLSRPTInvalid, "", 1},      // 31
		{one("v=TLSRPTv1; rua=mailto:0," + a), discovery.TLSRPTOK, a, 1},       // 31
		{one("v=TLSRPTv1; rua=" + a + ","), discovery.TLSRPTOK, a, 1},
		{one("v=TLSRPTv1; rua=" + a + "!10m"), discovery.TLSRPTInvalid, "", 1}, // DMARC's size limit
		{one("v=TLSRPTv1; rua=mailto:a%2Cb%21c%3Bd@a.example"), discovery.TLSRPTOK, "mailto:a%2Cb%21c%3Bd@a.example", 0},
		{one("v=TLSRPTv1; rua=mailto:a!b@a.example"), discovery.TLSRPTInvalid, "", 1},
		{one("v=TLSRPTv1; rua=mailto:a%7Fb@a.example"), discovery.TLSRPTInvalid, "", 1},
		{one("v=TLSRPTv1; rua=mailto:" + strings.Repeat("a", 64) + "@a.example"), discovery.TLSRPTOK, "mailto:" + strings.Repeat("a", 64) + "@a.example", 0},
		{one("v=TLSRPTv1; rua=mailto:" + strings.Repeat("a", 65) + "@a.example"), discovery.TLSRPTInvalid, "", 1},
		{one("v=TLSRPTv1; " + strings.Repeat("x", 32) + "=y; rua=" + a), discovery.TLSRPTOK, a, 0},
		{one("v=TLSRPTv1; " + strings.Repeat("x", 33) + "=y; rua=" + a), discovery.TLSRPTInvalid, "", 1},
		{one("v=TLSRPTv1; rua=mailto:a%zz@a.example"), discovery.TLSRPTInvalid, "", 1},
		{one("v=TLSRPTv1; rua=mailto:a%0d%0aBcc:%20x@a.example"), discovery.TLSRPTInvalid, "", 1},
		{one("v=TLSRPTv1; rua=mailto:tls@a.example?subject=x"), discovery.TLSRPTOK, "mailto:tls@a.example?subject=x", 0},
		{one("v=TLSRPTv1; rua=MAILTO:tls@a.example"), discovery.TLSRPTOK, "MAILTO:tls@a.example", 0},
		{one("v=TLSRPTv1; rua=mailto:@a.example"), discovery.TLSRPTInvalid, "", 1},
		{one("v=TLSRPTv1; rua=mailto:tls@"), discovery.TLSRPTInvalid, "", 1},
		{one("v=TLSRPTv1; rua=mailto:tls@localhost"), discovery.TLSRPTInvalid, "", 1},
		{one("v=TLSRPTv1; rua=mailto:tls @a.example"), discovery.TLSRPTInvalid, "", 1},
		{one("v=TLSRPTv1; rua=http://r.a.example/"), discovery.TLSRPTInvalid, "", 1},
		{one("v=TLSRPTv1; rua=ftp://r.a.example/"), discovery.TLSRPTInvalid, "", 1},
		{one("v=TLSRPTv1; rua=https://"), discovery.TLSRPTInvalid, "", 1},
		{one("v=TLSRPTv1; rua=https:r.a.example"), discovery.TLSRPTInvalid, "", 1},
		{one("v=TLSRPTv1; rua=https://127.0.0.1/"), discovery.TLSRPTInvalid, "", 1},
		{one("v=TLSRPTv1; rua=https://[::1]/"), discovery.TLSRPTInvalid, "", 1},
		{one("v=TLSRPTv1; rua=https://user@r.a.example/"), discovery.TLSRPTInvalid, "", 1},
		{one("v=TLSRPTv1; rua=https://r.a.example:8443/x?y=z"), discovery.TLSRPTOK, "https://r.a.example:8443/x?y=z", 0},
		{one("v=TLSRPTv1; rua=" + a + "\x1b[2J"), discovery.TLSRPTInvalid, "", 1},
		{one("v=TLSRPTv1; rua=mailto:t\xfcr@a.example"), discovery.TLSRPTInvalid, "", 1},
	} {
		r := discovery.ParseTLSRPT(c.txts)
		if r.Status != c.status || strings.Join(r.RUA, " ") != c.rua || len(r.Faults) != c.faults {
			t.Errorf("%q: %s, %q, %q; want %s, %q, %d faults", c.txts, r.Status, r.RUA, r.Faults, c.status, c.rua, c.faults)
		}
		if strings.Contains(strings.Join(r.Faults, ""), "\x1b") || strings.Contains(strings.Join(r.Faults, ""), "\xfc") {
			t.Errorf("%q: %q", c.txts, r.Faults)
		}
	}
}

// TestTLSRPTCaps: a long record costs no more than its caps.
func TestTLSRPTCaps(t *testing.T) {
	var good, bad []string
	for i := range 1000 {
		good = append(good, fmt.Sprintf("mailto:%d@a.example", i))
		bad = append(bad, fmt.Sprint(i))
	}
	r := discovery.ParseTLSRPT([]string{"v=TLSRPTv1; rua=" + strings.Join(bad, ",") + ";rua=" + strings.Join(good, ",")})
	if r.Status != discovery.TLSRPTOK || !slices.Equal(r.RUA, good[:16]) || len(r.Faults) != 16 {
		t.Errorf("%s, %d destinations, %d faults", r.Status, len(r.RUA), len(r.Faults))
	}
	r = discovery.ParseTLSRPT([]string{"v=TLSRPTv1; rua=" + strings.Repeat("x", 1<<20)})
	if r.Status != discovery.TLSRPTInvalid || len(strings.Join(r.Faults, "")) > 500 {
		t.Errorf("%s, %d bytes of faults", r.Status, len(strings.Join(r.Faults, "")))
	}
}

// TestFindTLSRPT: the name asked, and that a failed lookup is not the absence of a record.
func TestFindTLSRPT(t *testing.T) {
	z := serveZone(t, lines(`_smtp._tls.a.example. CNAME r.p.example.;r.p.example. TXT "v=TLSRPTv1\; rua=mail" "to:r@p.example"`)...)
	c := client(t, z, nil)
	if r := discovery.FindTLSRPT(t.Context(), c, domainA(t)); r.Status != discovery.TLSRPTOK || r.RUA[0] != "mailto:r@p.example" || len(r.Answer.Chain) != 1 {
		t.Errorf("%+v", r)
	}
	z.change(func() { z.rcode["_smtp._tls.a.example."] = "REFUSED" })
	if r := discovery.FindTLSRPT(t.Context(), c, domainA(t)); r.Status != discovery.TLSRPTFailed || r.Answer.Status != discovery.Refused {
		t.Errorf("%+v", r)
	}
}

// FuzzParseTLSRPT: the destinations of any record make a record with the same destinations and no fault.
func FuzzParseTLSRPT(f *testing.F) {
	for _, txt := range []string{
		"v=TLSRPTv1; rua=mailto:tls@a.example,https://r.a.example/v1", "v=TLSRPTv1;rua=mailto:a%2C@a.example;x=y;", "v=TSLRPTv1; rua=x",
		"v=TLSRPTv1; rua=,mailto:0,http://a", "v=TLSRPTv1;;",
	} {
		f.Add(txt, "v=spf1")
	}
	f.Fuzz(func(t *testing.T, one, two string) {
		r := discovery.ParseTLSRPT([]string{one, two})
		if (r.Status == discovery.TLSRPTOK) != (len(r.RUA) > 0) || len(r.RUA) > 16 || len(r.Faults) > 16 {
			t.Fatalf("%+v", r)
		}
		for _, fault := range r.Faults {
			if strings.ContainsFunc(fault, func(r rune) bool { return r < ' ' || r == 0x7f }) || len(fault) > 1000 {
				t.Errorf("fault %q", fault)
			}
		}
		if len(r.RUA) == 0 {
			return
		}
		again := discovery.ParseTLSRPT([]string{"v=TLSRPTv1; rua=" + strings.Join(r.RUA, ",")})
		if !slices.Equal(again.RUA, r.RUA) || again.Faults != nil {
			t.Errorf("%q, read back %q, %q", r.RUA, again.RUA, again.Faults)
		}
	})
}
