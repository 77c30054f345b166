package discovery_test

import (
	"encoding/hex"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/starttls-everywhere/policylist/policy"
	"github.com/starttls-everywhere/policylist/policy/discovery"
)

// digest is a SHA-256 in hex that is nobody's.
var digest = strings.Repeat("ab", 32)

// lookDANE asks for the records of the one MX host of a.example at port 25.
func lookDANE(t *testing.T, c *discovery.Client) discovery.DANE {
	t.Helper()
	domain, err := policy.ParseDomain("a.example")
	if err != nil {
		t.Fatal(err)
	}
	route := discovery.FindMX(t.Context(), c, domain)
	if len(route.Hosts) != 1 {
		t.Fatalf("%+v", route)
	}
	host := route.Hosts[0].Domain
	return discovery.FindTLSA(t.Context(), c, route.Answer, host, 25, c.LookupA(t.Context(), host.String()), c.LookupAAAA(t.Context(), host.String()))
}

// TestDANE goes through what RFC 7672 section 2.2 tells apart. Records are separated by ";"; a name in plain is not
// signed, one in broken answers SERVFAIL.
func TestDANE(t *testing.T) {
	const mx, a, tlsa = "a.example. MX 1 mx.p.example.;", "mx.p.example. A 192.0.2.1;", "_25._tcp.mx.p.example. TLSA "
	const alias = "mx.p.example. CNAME x.q.example.;x.q.example. A 192.0.2.1;"
	const aliasTLSA = "_25._tcp.x.q.example. TLSA "
	for _, c := range []struct {
		name, records, plain, broken string
		want                         string // kind, base, usable, unusable, then the questions asked
		names                        string
	}{
		{"secure", mx + a + tlsa + "3 1 1 " + digest, "", "", "usable mx.p.example 1 0 _25._tcp.mx.p.example/TLSA", "mx.p.example a.example"},
		{"none", mx + a, "", "", "none  0 0 _25._tcp.mx.p.example/TLSA", ""},
		{"insecure denial is none as well (27)", mx + a, "_25._tcp.mx.p.example.", "", "none  0 0 _25._tcp.mx.p.example/TLSA", ""},
		{"insecure records are none", mx + a + tlsa + "3 1 1 " + digest, "_25._tcp.mx.p.example.", "", "none  0 0 _25._tcp.mx.p.example/TLSA", ""},
		{"SERVFAIL is not none (25)", mx + a, "", "_25._tcp.mx.p.example.", "failed  0 0 _25._tcp.mx.p.example/TLSA", ""},
		{"insecure MX: not asked", mx + a + tlsa + "3 1 1 " + digest, "a.example.", "", "insecure  0 0", ""},
		{"insecure address: not asked", mx + a + tlsa + "3 1 1 " + digest, "mx.p.example.", "", "insecure  0 0", ""},
		{"PKIX usages only (32)", mx + a + tlsa + "0 1 1 " + digest + ";" + tlsa + "1 0 1 " + digest, "", "",
			"unusable mx.p.example 0 2 _25._tcp.mx.p.example/TLSA", "mx.p.example a.example"},
		{"PKIX usages beside a good one", mx + a + tlsa + "0 1 1 " + digest + ";" + tlsa + "2 1 1 " + digest, "", "",
			"usable mx.p.example 1 1 _25._tcp.mx.p.example/TLSA", "mx.p.example a.example"},
		{"A fails, AAAA is secure (32)", mx + "mx.p.example. AAAA 2001:db8::1;" + tlsa + "3 1 1 " + digest, "", "mx.p.example./A",
			"usable mx.p.example 1 0 _25._tcp.mx.p.example/TLSA", "mx.p.example a.example"},
		{"AAAA fails, A is secure (32)", mx + a + tlsa + "3 1 1 " + digest, "", "mx.p.example./AAAA",
			"usable mx.p.example 1 0 _25._tcp.mx.p.example/TLSA", "mx.p.example a.example"},
		{"AAAA fails, A is insecure", mx + a, "mx.p.example.", "mx.p.example./AAAA", "insecure  0 0", ""},
		{"both fail", mx + a, "", "mx.p.example.", "failed  0 0", ""},
		{"alias: records at its end first", mx + alias + tlsa + "3 1 1 " + digest + ";" + aliasTLSA + "2 1 1 " + digest, "", "",
			"usable x.q.example 1 0 _25._tcp.x.q.example/TLSA", "x.q.example mx.p.example a.example"},
		{"alias of an alias: only its end and the host", mx + "mx.p.example. CNAME y.q.example.;y.q.example. CNAME x.q.example.;x.q.example. A 192.0.2.1;" +
			aliasTLSA + "2 1 1 " + digest + ";_25._tcp.y.q.example. TLSA 3 1 1 " + digest, "", "",
			"usable x.q.example 1 0 _25._tcp.x.q.example/TLSA", "x.q.example mx.p.example a.example"},
		{"alias: then at the host", mx + alias + tlsa + "3 1 1 " + digest, "", "",
			"usable mx.p.example 1 0 _25._tcp.x.q.example/TLSA _25._tcp.mx.p.example/TLSA", "mx.p.example a.example"},
		{"alias: insecure records at its end do not count", mx + alias + tlsa + "3 1 1 " + digest + ";" + aliasTLSA + "2 1 1 " + digest,
			"_25._tcp.x.q.example.", "",
			"usable mx.p.example 1 0 _25._tcp.x.q.example/TLSA _25._tcp.mx.p.example/TLSA", "mx.p.example a.example"},
		{"alias: a failure at its end is final", mx + alias + tlsa + "3 1 1 " + digest, "", "_25._tcp.x.q.example.",
			"failed  0 0 _25._tcp.x.q.example/TLSA", ""},
		{"alias: unusable records at its end are final", mx + alias + tlsa + "3 1 1 " + digest + ";" + aliasTLSA + "3 1 1 abcd", "", "",
			"unusable x.q.example 0 1 _25._tcp.x.q.example/TLSA", "x.q.example mx.p.example a.example"},
		{"secure alias into an insecure zone", mx + alias + tlsa + "3 1 1 " + digest + ";" + aliasTLSA + "2 1 1 " + digest, "x.q.example.", "",
			"usable mx.p.example 1 0 mx.p.example/CNAME _25._tcp.mx.p.example/TLSA", "mx.p.example a.example"},
		{"insecure alias", mx + alias + tlsa + "3 1 1 " + digest, "mx.p.example. x.q.example.", "", "insecure  0 0 mx.p.example/CNAME", ""},
		{"alias that nobody answers for", mx + alias, "x.q.example.", "mx.p.example./CNAME", "failed  0 0 mx.p.example/CNAME", ""},
		{"records that are an alias", mx + a + "_25._tcp.mx.p.example. CNAME dane.p.example.;dane.p.example. TLSA 3 1 1 " + digest, "", "",
			"usable mx.p.example 1 0 _25._tcp.mx.p.example/TLSA", "mx.p.example a.example"},
		{"records that are an alias into an insecure zone",
			mx + a + "_25._tcp.mx.p.example. CNAME dane.p.example.;dane.p.example. TLSA 3 1 1 " + digest, "dane.p.example.", "",
			"none  0 0 _25._tcp.mx.p.example/TLSA", ""},
		{"mail domain that is an alias", "a.example. CNAME b.example.;b.example. MX 1 mx.p.example.;" + a + tlsa + "3 1 1 " + digest, "", "",
			"usable mx.p.example 1 0 _25._tcp.mx.p.example/TLSA", "mx.p.example a.example b.example"},
		{"mail domain that is an insecure alias", "a.example. CNAME b.example.;b.example. MX 1 mx.p.example.;" + a + tlsa + "3 1 1 " + digest,
			"a.example.", "", "insecure  0 0", ""},
		{"implicit MX", "a.example. A 192.0.2.1;_25._tcp.a.example. TLSA 3 1 1 " + digest, "", "",
			"usable a.example 1 0 _25._tcp.a.example/TLSA", "a.example"},
	} {
		t.Run(c.name, func(t *testing.T) {
			z := serveZone(t, lines(c.records)...)
			z.change(func() {
				z.liar = true
				for _, name := range strings.Fields(c.plain) {
					z.plain[name] = true
				}
				for _, key := range strings.Fields(c.broken) {
					z.rcode[key] = "SERVFAIL"
				}
			})
			d := lookDANE(t, client(t, z, func(o *discovery.Options) { o.TrustAD = true }))
			got := fmt.Sprintf("%s %s %d %d", d.Kind, d.Base, len(d.Records), d.Unusable)
			for _, a := range d.Answers {
				got += " " + a.Name + "/" + a.Type
			}
			if got != c.want || strings.Join(d.Names, " ") != c.names {
				t.Errorf("%q, names %q; want %q, %q", got, d.Names, c.want, c.names)
			}
			if d := lookDANE(t, client(t, z, nil)); d.Kind != discovery.DANEInsecure || d.Answers != nil {
				t.Errorf("without trust in the resolver: %+v", d)
			}
		})
	}
}

// lines are resource records without the TTL and class that serveZone wants. A semicolon inside one is written "\;".
func lines(records string) (out []string) {
	records = strings.ReplaceAll(records, `\;`, "\x00")
	for _, rr := range strings.Split(strings.TrimSuffix(records, ";"), ";") {
		owner, rest, _ := strings.Cut(strings.ReplaceAll(rr, "\x00", ";"), " ")
		out = append(out, owner+" 60 IN "+rest)
	}
	return out
}

// TestNamesWithoutMX: behind no MX record the mail domain is no name for a certificate.
func TestNamesWithoutMX(t *testing.T) {
	z := serveZone(t, lines("mx.p.example. A 192.0.2.1;_25._tcp.mx.p.example. TLSA 3 1 1 "+digest)...)
	z.change(func() { z.liar = true })
	c := client(t, z, func(o *discovery.Options) { o.TrustAD = true })
	host, err := policy.ParseDomain("mx.p.example")
	if err != nil {
		t.Fatal(err)
	}
	mx := discovery.Answer{Name: "a.example", Status: discovery.NoData, Secure: true}
	d := discovery.FindTLSA(t.Context(), c, mx, host, 25, c.LookupA(t.Context(), host.String()))
	if d.Kind != discovery.DANEUsable || !slices.Equal(d.Names, []string{"mx.p.example"}) {
		t.Errorf("%+v", d)
	}
}

// TestUsable: which TLSA records a sender can do anything with.
func TestUsable(t *testing.T) {
	hash := strings.Repeat("ab", 64)
	certificate := newAuthority(t).leaf(t, "mx.a.example", nil).Leaf
	der, spki := hex.EncodeToString(certificate.Raw), hex.EncodeToString(certificate.RawSubjectPublicKeyInfo)
	for text, want := range map[string]bool{
		"3 1 1 " + digest: true, "2 0 1 " + digest: true, "3 0 2 " + hash: true, "2 1 2 " + hash: true,
		"0 1 1 " + digest: false, "1 1 1 " + digest: false, "4 1 1 " + digest: false, "255 1 1 " + digest: false,
		"3 2 1 " + digest: false, "3 1 3 " + digest: false, "3 1 255 " + digest: false,
		"3 1 1 " + hash: false, "3 1 2 " + digest: false, "3 1 1 " + digest[2:]: false, "3 1 1 " + digest + "ab": false,
		"3 0 0 " + der: true, "2 0 0 " + der: true, "3 1 0 " + spki: true,
		"3 1 0 " + der: false, "3 0 0 " + spki: false, "3 0 0 " + der + "00": false, "3 0 0 " + der[2:]: false, "3 1 0 00": false,
		"3 1 0 3003020101": false,
	} {
		z := serveZone(t, "_25._tcp.a.example. 60 IN TLSA "+text)
		a := client(t, z, nil).LookupTLSA(t.Context(), "_25._tcp.a.example")
		if len(a.TLSA) != 1 || a.TLSA[0].String() != text || a.TLSA[0].Usable() != want {
			t.Errorf("%.40s: %v, want usable %v", text, a.TLSA, want)
		}
	}
}

// TestManyTLSA: over TCP, sorted, and not more than we remember.
func TestManyTLSA(t *testing.T) {
	var rrs []string
	for i := range 100 {
		rrs = append(rrs, fmt.Sprintf("_25._tcp.a.example. 60 IN TLSA 3 1 1 %s%02x", digest[2:], 99-i))
	}
	z := serveZone(t, rrs...)
	a := client(t, z, nil).LookupTLSA(t.Context(), "_25._tcp.a.example")
	if len(a.TLSA) != 64 || a.Dropped != 36 || z.tcp() == 0 {
		t.Errorf("%d records, %d dropped, %d over TCP", len(a.TLSA), a.Dropped, z.tcp())
	}
	if !slices.IsSortedFunc(a.TLSA, func(x, y discovery.TLSARecord) int { return strings.Compare(x.String(), y.String()) }) {
		t.Error("not sorted")
	}
}

// TestIntermittent (case 28): an answer that came only at the second attempt says so.
func TestIntermittent(t *testing.T) {
	z := serveZone(t, "_25._tcp.a.example. 60 IN TLSA 3 1 1 "+digest)
	for failures := range 4 {
		z.change(func() { z.flaky["_25._tcp.a.example."] = failures })
		a := client(t, z, nil).LookupTLSA(t.Context(), "_25._tcp.a.example")
		want := discovery.NoError
		if failures == 3 {
			want = discovery.ServFail
		}
		if a.Status != want || a.Failures != failures {
			t.Errorf("%s after %d failures, want %s after %d", a.Status, a.Failures, want, failures)
		}
	}
}
