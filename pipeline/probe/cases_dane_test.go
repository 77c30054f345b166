package probe

import (
	"crypto/x509"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/starttls-everywhere/policylist/pipeline/lab"
	"github.com/starttls-everywhere/policylist/policy"
)

// secured is serve with a resolver that vouches for everything, and the TLSA records that tlsa returns for mx1.d.
func secured(tlsa func(t *testing.T, l *lab.Lab, mx string) []string, behaviours ...lab.Behaviour) func(*testing.T, *lab.Lab, string) {
	return func(t *testing.T, l *lab.Lab, d string) {
		serve(behaviours...)(t, l, d)
		mx := "mx1." + d
		for _, rr := range tlsa(t, l, mx) {
			must(t, l.AddRecord(rr))
		}
		l.SetSecure(true, d, mx, l.TLSAName(mx))
	}
}

func trustAD(o *Options) { o.TrustAD = true }

// about is the TLSA record "usage selector matching" about the certificate at position i of what the host sends; -1
// stands for the lab's root, which no host sends.
func about(i int, params string) func(*testing.T, *lab.Lab, string) []string {
	return func(t *testing.T, l *lab.Lab, mx string) []string {
		var usage, selector, matching uint8
		_, err := fmt.Sscan(params, &usage, &selector, &matching)
		must(t, err)
		cert := l.Root()
		if i >= 0 {
			sent, err := l.Sent(mx)
			must(t, err)
			cert = sent[i]
		}
		return []string{l.TLSA(mx, usage, selector, matching, cert)}
	}
}

// raw are TLSA records about nothing that is sent: "3 1 1 00".
func raw(rdatas ...string) func(*testing.T, *lab.Lab, string) []string {
	return func(_ *testing.T, l *lab.Lab, mx string) []string {
		var out []string
		for _, rdata := range rdatas {
			out = append(out, l.TLSAName(mx)+" 60 IN TLSA "+rdata)
		}
		return out
	}
}

func together(parts ...func(*testing.T, *lab.Lab, string) []string) func(*testing.T, *lab.Lab, string) []string {
	return func(t *testing.T, l *lab.Lab, mx string) []string {
		var out []string
		for _, p := range parts {
			out = append(out, p(t, l, mx)...)
		}
		return out
	}
}

// digestOf makes a well-formed record data that matches nothing.
func digestOf(params string, b byte) string {
	return params + " " + strings.Repeat(fmt.Sprintf("%02x", b), 32)
}

const (
	emptySHA256 = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
	emptySHA512 = "cf83e1357eefb8bdf1542850d66d8007d620e4050b5715dc83f4a921d36ce9ce47d0d13c5d85f2b0ff8318d2877eec2f63b931bd47417a81a538327af927da3e"
)

// daneCases are cases 25 to 32 of the field notes, and their kin.
func daneCases() []liveCase {
	var cases []liveCase
	add := func(name string, v Verdict, set func(*testing.T, *lab.Lab, string), codes ...string) {
		cases = append(cases, liveCase{name: "DANE: " + name, set: set, verdict: v, codes: codes, opts: trustAD})
	}
	for _, params := range []string{"3 1 1", "3 0 1", "3 1 2", "3 0 2", "3 1 0", "3 0 0"} {
		add("own certificate "+params, Pass, secured(about(0, params), lab.Good))
	}
	for _, params := range []string{"2 1 1", "2 0 1", "2 1 2", "2 0 2", "2 1 0", "2 0 0"} {
		add("authority "+params, Pass, secured(about(1, params), lab.Good))
	}
	add("own certificate expired", Fail, secured(about(0, "3 1 1"), lab.Expired), "cert.expired", "cross.dane-only")
	add("own certificate for another name", Fail, secured(about(0, "3 1 1"), lab.WrongName), "cert.name", "cross.dane-only")
	add("own certificate self-signed", Fail, secured(about(0, "3 0 1"), lab.SelfSigned), "cert.self-signed", "cross.dane-only")
	add("private authority", Fail, secured(about(2, "2 0 1"), lab.UnknownCA), "cert.untrusted", "cross.dane-only")
	add("authority, certificate expired", Fail, secured(about(1, "2 1 1"), lab.Expired), "cert.expired")
	add("authority, other name", Fail, secured(about(1, "2 1 1"), lab.WrongName), "cert.name", "dane.name")
	add("authority not sent", Fail, secured(about(-1, "2 1 1"), lab.Good), "cross.pkix-only", "dane.ta-not-in-chain")
	add("authority not sent, whole in the record", Fail, secured(about(-1, "2 0 0"), lab.Good), "cross.pkix-only", "dane.ta-not-in-chain")
	add("the leaf under usage 2 is no authority", Fail, secured(about(0, "2 1 1"), lab.Good), "cross.pkix-only", "dane.mismatch")
	add("the authority under usage 3 is no leaf", Fail, secured(about(1, "3 1 1"), lab.Good), "cross.pkix-only", "dane.mismatch")
	add("selector of the other kind", Fail, secured(func(t *testing.T, l *lab.Lab, mx string) []string {
		return []string{strings.Replace(about(0, "3 1 1")(t, l, mx)[0], "TLSA 3 1 1", "TLSA 3 0 1", 1)}
	}, lab.Good), "cross.pkix-only", "dane.mismatch")
	add("renewed with a new key (case 29)", Fail, secured(raw(digestOf("3 1 1", 7)), lab.Good), "cross.pkix-only", "dane.mismatch")
	add("neither way", Fail, secured(raw(digestOf("3 1 1", 7)), lab.SelfSigned), "cert.self-signed", "dane.mismatch")
	add("digest of nothing (case 29)", Fail, secured(raw("3 1 1 "+emptySHA256), lab.Good), "cross.pkix-only", "dane.empty-digest", "dane.mismatch")
	add("digest of nothing beside a good one", Warn, secured(together(about(0, "3 1 1"), raw("3 0 2 "+emptySHA512)), lab.Good), "dane.empty-digest")
	stale := raw(digestOf("3 1 1", 1), digestOf("3 1 1", 2), digestOf("3 0 1", 3), digestOf("2 1 1", 4))
	add("one of five matches (case 30)", Pass, secured(together(stale, about(0, "3 1 1")), lab.Good), "dane.stale-record")
	add("none of four matches (case 30)", Fail, secured(stale, lab.Good), "cross.pkix-only", "dane.mismatch")
	add("usages 0 and 1 only (case 32)", Warn, secured(raw(digestOf("0 1 1", 1), digestOf("1 1 1", 2)), lab.Good), "dane.unusable")
	add("digest cut short", Warn, secured(raw("3 1 1 0102"), lab.Good), "dane.unusable")
	add("unusable beside a good one", Pass, secured(together(about(0, "3 1 1"), raw(digestOf("1 1 1", 1))), lab.Good))
	add("no STARTTLS where DANE wants it", Fail, secured(about(0, "3 1 1"), lab.NoStartTLS), "starttls.missing")
	return append(cases, insecureCases()...)
}

// insecureCases are those where the lookups decide.
func insecureCases() []liveCase {
	wrong := secured(raw(digestOf("3 1 1", 7)), lab.Good)
	tlsaFault := func(f lab.DNSFault) func(*testing.T, *lab.Lab, string) {
		return func(t *testing.T, l *lab.Lab, d string) {
			secured(about(0, "3 1 1"), lab.Good)(t, l, d)
			must(t, l.SetFault(l.TLSAName("mx1."+d), "TLSA", f))
		}
	}
	insecure := func(which string) func(*testing.T, *lab.Lab, string) {
		return func(t *testing.T, l *lab.Lab, d string) {
			wrong(t, l, d)
			l.SetSecure(false, strings.NewReplacer("@", d, "%", l.TLSAName("mx1."+d)).Replace(which))
		}
	}
	return []liveCase{
		{name: "DANE: TLSA SERVFAIL (case 25)", set: tlsaFault(lab.DNSServFail), verdict: Inconclusive, codes: []string{"dane.lookup-failed"},
			opts: trustAD},
		{name: "DANE: TLSA bogus", set: tlsaFault(lab.DNSBogus), verdict: Inconclusive, codes: []string{"dane.bogus"}, opts: trustAD},
		{name: "DANE: denial bogus", verdict: Inconclusive, codes: []string{"dane.bogus"}, opts: trustAD, set: func(t *testing.T, l *lab.Lab, d string) {
			secured(raw(), lab.Good)(t, l, d)
			must(t, l.SetFault(l.TLSAName("mx1."+d), "TLSA", lab.DNSBogus))
		}},
		{name: "MX bogus", verdict: Inconclusive, codes: []string{"dns.bogus"}, opts: trustAD, set: fault("@", "MX", lab.DNSBogus)},
		{name: "DANE: answered at times (case 28)", set: tlsaFault(lab.DNSOnce), verdict: Warn, codes: []string{"dane.intermittent"},
			opts: func(o *Options) { o.TrustAD, o.DNSTimeout = true, 500*time.Millisecond }},
		{name: "DANE: one of three name servers is silent (case 28)", verdict: Warn, codes: []string{"dane.intermittent"}, set: withServers("", "", "@"),
			opts: func(o *Options) { o.TrustAD, o.DNSTimeout = true, 500*time.Millisecond }},
		{name: "DANE: no name server answers us", verdict: Pass, set: withServers("@", "@"),
			opts: func(o *Options) { o.TrustAD, o.DNSTimeout = true, 200*time.Millisecond }},
		{name: "DANE: MX insecure", set: insecure("@"), verdict: Pass, opts: trustAD},
		{name: "DANE: addresses insecure", set: insecure("mx1.@"), verdict: Pass, opts: trustAD},
		{name: "DANE: TLSA insecure", set: insecure("%"), verdict: Pass, opts: trustAD},
		{name: "DANE: no trusted resolver", set: wrong, verdict: Pass},
		{name: "DANE: denied (case 27)", set: secured(raw(), lab.Good), verdict: Pass, opts: trustAD},
		{name: "DANE: records at the alias's target", set: aliased, verdict: Fail, opts: trustAD,
			codes: []string{"cert.name", "cross.dane-only", "mx.cname"}},
		{name: "DANE: implicit MX", verdict: Warn, codes: []string{"mx.implicit"}, opts: trustAD, set: func(t *testing.T, l *lab.Lab, d string) {
			must(t, l.AddHost(lab.Host{Name: d}))
			must(t, l.AddRecord(about(0, "3 1 1")(t, l, d)[0]))
			l.SetSecure(true, d, l.TLSAName(d))
		}},
		{name: "DANE: one of two hosts does not match", verdict: Fail, opts: trustAD, codes: []string{"cross.pkix-only", "dane.mismatch"},
			set: func(t *testing.T, l *lab.Lab, d string) {
				secured(about(0, "3 1 1"), lab.Good, lab.Good)(t, l, d)
				must(t, l.AddRecord(raw(digestOf("3 1 1", 9))(t, l, "mx2."+d)[0]))
				l.SetSecure(true, "mx2."+d, l.TLSAName("mx2."+d))
			}},
	}
}

// withServers publishes d with a name server at each address: "" stands for the lab's own, "@" for a mail server's.
func withServers(addrs ...string) func(*testing.T, *lab.Lab, string) {
	return func(t *testing.T, l *lab.Lab, d string) {
		secured(about(0, "3 1 1"), lab.Good)(t, l, d)
		host, err := l.Addresses("mx1." + d)
		must(t, err)
		for i, addr := range addrs {
			switch addr {
			case "":
				addr = l.Resolver().Addr().String()
			case "@":
				addr = host[0].Addr().String()
			}
			must(t, l.AddRecord(fmt.Sprintf("%s. 60 IN NS ns%d.%s.", d, i, d)))
			must(t, l.AddRecord(fmt.Sprintf("ns%d.%s. 60 IN A %s", i, d, addr)))
		}
	}
}

// aliased publishes d with an MX host that is a secure alias of mx1.d, under whose name the TLSA records are, and a
// server that has a certificate for mx1.d only when asked for it by that name.
func aliased(t *testing.T, l *lab.Lab, d string) {
	must(t, l.AddHost(lab.Host{Name: "mx1." + d, Behaviour: lab.NeedsSNI}))
	must(t, l.AddRecord(at("@ 60 IN MX 10 alias.@", d)))
	must(t, l.AddRecord(at("alias.@ 60 IN CNAME mx1.@", d)))
	must(t, l.AddRecord(about(0, "3 0 1")(t, l, "mx1."+d)[0]))
	l.SetSecure(true, d, "alias."+d, "mx1."+d, l.TLSAName("mx1."+d))
}

// TestDANEShowsWhichRecord: the evidence says which records a server's certificates are named by, and findings name the
// host, the address and the digests at odds.
func TestDANEShowsWhichRecord(t *testing.T) {
	l := startLab(t)
	secured(together(raw(digestOf("2 1 1", 4), digestOf("3 1 1", 5)), about(0, "3 1 1"), about(1, "2 0 1")), lab.Good, lab.Good)(t, l, "a.example")
	must(t, l.AddRecord(raw(digestOf("3 1 1", 9))(t, l, "mx2.a.example")[0]))
	l.SetSecure(true, "mx2.a.example", l.TLSAName("mx2.a.example"))
	r := probeOne(t, newProber(t, l, false, trustAD), Target{Domain: domain("a.example")})
	var rec Record
	must(t, readCanonical(r.Line, &rec))
	dane := rec.Observed.Hosts[0].DANE
	if len(dane.Matches) != 1 || dane.Matches[0].Named != "yes" || len(dane.Matches[0].Records) != 2 {
		t.Fatalf("matches %+v of %q", dane.Matches, dane.Records)
	}
	sent, err := l.Sent("mx1.a.example")
	must(t, err)
	for _, i := range dane.Matches[0].Records {
		if !strings.Contains(l.TLSA("mx1.a.example", 3, 1, 1, sent[0])+l.TLSA("mx1.a.example", 2, 0, 1, sent[1]), " TLSA "+dane.Records[i]) {
			t.Errorf("record %q is said to match", dane.Records[i])
		}
	}
	var said string
	for _, f := range r.Findings {
		said += f.Summary + "\n"
	}
	for _, want := range []string{"mx2.a.example [127.", "published 3 1 1 0909090909090909...", "sent key ", "1 days old", "(2 1 1 0404040404040404...)"} {
		if !strings.Contains(said, want) {
			t.Errorf("%q is not said in\n%s", want, said)
		}
	}
	if strings.Contains(string(r.Line), "sha512") {
		t.Error("digests that no record can name are in the evidence")
	}
}

// TestDANENames: a certificate under a DANE-TA record may carry the mail domain's name (RFC 7672 section 3.2.2).
func TestDANENames(t *testing.T) {
	keys := &Keys{Chain: []Print{{Cert: "a", SPKI: "b"}, {Cert: "c", SPKI: "d"}}, Path: []uint{1}}
	records := []tlsa{{usage: 2, matching: 1, digest: "c"}}
	d := &DANE{Names: []string{"base.example", "mx.a.example", "a.example", "real.example"}}
	for _, c := range []struct {
		san  string
		want string
	}{
		{"base.example", "yes"}, {"a.example", "yes"}, {"real.example", "yes"}, {"*.a.example", "yes"}, {"b.example", "no"}, {"*.b.a.example", "no"},
		{"", "no"},
	} {
		keys.names = []string{c.san}
		if c.san == "" {
			keys.names = nil
		}
		if m := d.match(Session{TLS: &TLS{Keys: keys}}, records); m.Named != c.want || len(m.Records) != 1 {
			t.Errorf("%q: %+v", c.san, m)
		}
	}
}

// TestDANEPath: an authority that is sent but did not sign is no authority of this certificate.
func TestDANEPath(t *testing.T) {
	l := startLab(t)
	must(t, l.AddHost(lab.Host{Name: "mx1.a.example"}))
	must(t, l.AddHost(lab.Host{Name: "mx2.a.example", Behaviour: lab.UnknownCA}))
	good, err := l.Sent("mx1.a.example")
	must(t, err)
	strange, err := l.Sent("mx2.a.example")
	must(t, err)
	k := keysOf([]*x509.Certificate{good[0], strange[1], good[1], strange[2]}, l.Roots(), time.Now())
	if fmt.Sprint(k.Path) != "[2]" || len(k.Chain) != 4 || len(k.Anchors) != 1 || k.Anchors[0] != printOf(l.Root()) {
		t.Errorf("path %v, %d certificates, anchors %v", k.Path, len(k.Chain), k.Anchors)
	}
	k = keysOf(strange, l.Roots(), time.Now())
	if fmt.Sprint(k.Path) != "[1 2]" || len(k.Anchors) != 0 {
		t.Errorf("path %v, anchors %v", k.Path, k.Anchors)
	}
}

func FuzzTLSA(f *testing.F) {
	f.Add(digestOf("3 1 1", 1))
	f.Add("2 0 0 sha256:" + emptySHA256)
	f.Add("3 1 2 " + emptySHA512)
	f.Add("0 1 1 00")
	f.Fuzz(func(t *testing.T, text string) {
		r, ok := parseTLSA(text, 3)
		if !ok {
			return
		}
		again := fmt.Sprintf("%d %d %d %s", r.usage, r.selector, r.matching, r.digest)
		if r.matching == 0 {
			again = fmt.Sprintf("%d %d %d sha256:%s", r.usage, r.selector, r.matching, r.digest)
		}
		back, ok := parseTLSA(again, 3)
		if !ok || !strings.EqualFold(back.digest, r.digest) || r.usage < 2 || r.usage > 3 || r.selector > 1 || r.matching > 2 {
			t.Fatalf("%q is read as %+v and written %q", text, r, again)
		}
	})
}

// TestNameServersDisagree: an old copy of a zone is told as well as silence, and named.
func TestNameServersDisagree(t *testing.T) {
	o := oneHost(goodSession())
	o.Hosts[0].DANE = &DANE{Kind: "none", Servers: []NameServer{
		{Address: "192.0.2.53", Name: "ns1.a.example", Status: "noerror", Records: []string{digestOf("3 1 1", 1)}},
		{Address: "192.0.2.54", Name: "ns2.a.example", Status: "noerror", Records: []string{digestOf("3 1 1", 1)}},
		{Address: "192.0.2.55", Name: "ns3.a.example", Status: "nodata"},
		{Address: "192.0.2.56", Name: "ns4.a.example", Status: "timeout"},
	}}
	j := Judge(domain("a.example"), o, policy.Policy{}, judgedAt, 0)
	var said []string
	for _, f := range j.Findings {
		said = append(said, f.Code+" "+strings.SplitN(f.Summary, ":", 2)[0])
	}
	want := "dane.intermittent ns3.a.example [192.0.2.55] (other records than ns1.a.example); dane.intermittent ns4.a.example [192.0.2.56] (timeout)"
	if got := strings.Join(said, "; "); got != want || j.Verdict != Warn {
		t.Errorf("%s %s, want %s", j.Verdict, got, want)
	}
}
