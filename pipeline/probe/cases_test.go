package probe

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/starttls-everywhere/policylist/pipeline/lab"
	"github.com/starttls-everywhere/policylist/policy"
	"github.com/starttls-everywhere/policylist/schema"
)

// liveCase is a domain of the lab and what a probe must say of it. set publishes the domain named d; hosts are named
// below d, so that cases do not disturb each other.
type liveCase struct {
	name    string
	set     func(t *testing.T, l *lab.Lab, d string)
	mxs     []string // of the list's policy, "@" stands for the domain; nil: the domain is not listed
	testing bool     // the list's mode is testing, not enforce
	verdict Verdict
	codes   []string
	hasty   bool // the server hangs: probe with a short deadline
	opts    func(*Options)
}

// serve publishes d with one MX host mx.d for each behaviour: mx1.d, mx2.d, …
func serve(behaviours ...lab.Behaviour) func(*testing.T, *lab.Lab, string) {
	return func(t *testing.T, l *lab.Lab, d string) {
		var mx []string
		for i, b := range behaviours {
			name := fmt.Sprintf("mx%d.%s", i+1, d)
			must(t, l.AddHost(lab.Host{Name: name, Behaviour: b}))
			mx = append(mx, name)
		}
		must(t, l.AddDomain(lab.Domain{Name: d, MX: mx}))
	}
}

// records publishes records in which "@" stands for the domain, beside one good host mx1.d that is in no MX record yet.
func records(rrs ...string) func(*testing.T, *lab.Lab, string) {
	return func(t *testing.T, l *lab.Lab, d string) {
		must(t, l.AddHost(lab.Host{Name: "mx1." + d}))
		for _, rr := range rrs {
			must(t, l.AddRecord(at(rr, d)))
		}
	}
}

// fault is serve(Good) with a faulty name server for one type of record at "@" or below.
func fault(name, kind string, f lab.DNSFault) func(*testing.T, *lab.Lab, string) {
	return func(t *testing.T, l *lab.Lab, d string) {
		serve(lab.Good)(t, l, d)
		must(t, l.SetFault(at(name, d), kind, f))
	}
}

func goodCases() []liveCase {
	ok := func(b lab.Behaviour) liveCase {
		return liveCase{name: "good " + string(b), set: serve(b), mxs: []string{"mx1.@"}, verdict: Pass}
	}
	return []liveCase{
		ok(lab.Good), ok(lab.RSA), ok(lab.RSAPSS), ok(lab.Ed25519), ok(lab.TLS12Only), ok(lab.TLS13Only), ok(lab.Wildcard),
		ok(lab.LongChain),
		{name: "good only with SNI (case 43)", set: serve(lab.NeedsSNI), verdict: Pass, codes: []string{"tls.sni-required"}},
		{name: "no handshake without SNI", set: serve(lab.OnlySNI), verdict: Pass, codes: []string{"tls.sni-required"}},
		{name: "expired cross-sign of a root in the chain (case 45)", set: serve(lab.ExtraChain), mxs: []string{"mx1.@"},
			verdict: Pass, codes: []string{"cert.stale-extra"}},
		ok(lab.OddSpelling), // cases 34, 35
		ok(lab.EarlyTrap),   // case 33
		{name: "host names in A-labels", verdict: Pass, set: func(t *testing.T, l *lab.Lab, d string) {
			must(t, l.AddHost(lab.Host{Name: "xn--mx-eka." + d}))
			must(t, l.AddDomain(lab.Domain{Name: d, MX: []string{"xn--mx-eka." + d}}))
		}},
		{name: "suffix pattern", set: serve(lab.Good, lab.Good), mxs: []string{".@"}, verdict: Pass},
		{name: "unlisted", set: serve(lab.Good), verdict: Pass},
		{name: "the domain is an alias (case 22)", verdict: Pass, set: records(
			"@ 60 IN CNAME real.@", "real.@ 60 IN MX 10 mx1.@")},
		{name: "TCP after a cut answer", set: fault("@", "MX", lab.DNSTruncate), verdict: Pass},
		{name: "a resolver without EDNS", set: fault("@", "MX", lab.DNSNoEDNS), verdict: Pass},
		{name: "the second try is answered", set: fault("@", "MX", lab.DNSOnce), verdict: Pass, opts: shortDNS},
		{name: "IPv4 and IPv6", verdict: Pass, set: func(t *testing.T, l *lab.Lab, d string) {
			if err := l.AddHost(lab.Host{Name: "mx1." + d, IPv6: true}); err != nil {
				t.Skip("no IPv6 loopback here")
			}
			must(t, l.AddDomain(lab.Domain{Name: d, MX: []string{"mx1." + d}}))
		}},
	}
}

func shortDNS(o *Options) { o.DNSTimeout = 150 * time.Millisecond }

func dnsCases() []liveCase {
	open := func(name string, set func(*testing.T, *lab.Lab, string), code string) liveCase {
		return liveCase{name: name, set: set, verdict: Inconclusive, codes: []string{code}, opts: shortDNS}
	}
	return []liveCase{
		open("MX SERVFAIL", fault("@", "MX", lab.DNSServFail), "dns.servfail"),
		open("address SERVFAIL", fault("mx1.@", "AAAA", lab.DNSServFail), "dns.servfail"),
		open("MX refused", fault("@", "MX", lab.DNSRefused), "dns.refused"),
		open("silent resolver", fault("@", "MX", lab.DNSSilent), "dns.timeout"),
		open("answer to another question", fault("@", "MX", lab.DNSOtherName), "dns.malformed"),
		open("CNAME loop", records("@ 60 IN CNAME a.@", "a.@ 60 IN CNAME @"), "dns.malformed"),
		{name: "no such domain", set: func(*testing.T, *lab.Lab, string) {}, verdict: Fail, codes: []string{"dns.nxdomain"}},
	}
}

// mxCases are cases 17 to 23 of the field notes, and their kin.
func mxCases() []liveCase {
	return []liveCase{
		{name: "neither MX nor address", set: records(`@ 60 IN TXT "hello"`), verdict: Fail, codes: []string{"mx.none"}},
		{name: "null MX", set: records("@ 60 IN MX 0 ."), verdict: Fail, codes: []string{"mx.null"}},
		{name: "root with a preference", set: records("@ 60 IN MX 10 ."), verdict: Fail, codes: []string{"mx.null-malformed"}},
		{name: "null MX beside another", set: records("@ 60 IN MX 0 .", "@ 60 IN MX 10 mx1.@"), verdict: Fail,
			codes: []string{"mx.null-mixed"}},
		{name: "preference 0 is no null MX", set: records("@ 60 IN MX 0 mx1.@"), verdict: Pass},
		{name: "implicit MX", verdict: Warn, codes: []string{"mx.implicit"}, set: func(t *testing.T, l *lab.Lab, d string) {
			must(t, l.AddHost(lab.Host{Name: d}))
		}},
		{name: "MX is an alias", set: records("@ 60 IN MX 10 alias.@", "alias.@ 60 IN CNAME mx1.@"), verdict: Fail,
			codes: []string{"cert.name", "mx.cname"}},
		{name: "MX is an address", set: records("@ 60 IN MX 20 192.0.2.2.", "@ 60 IN MX 10 mx1.@"), verdict: Warn,
			codes: []string{"mx.ip-literal"}},
		{name: "MX is only an address", set: records("@ 60 IN MX 20 192.0.2.2."), verdict: Fail,
			codes: []string{"mx.ip-literal", "mx.unresolvable"}},
		{name: "underscore", set: records("@ 60 IN MX 10 mx_1.@", "@ 60 IN MX 20 mx1.@"), verdict: Fail,
			codes: []string{"mx.underscore"}},
		{name: "no host name", set: records("@ 60 IN MX 10 localhost.", "@ 60 IN MX 20 mx1.@"), verdict: Fail,
			codes: []string{"mx.bad-name"}},
		{name: "raw UTF-8", set: records(`@ 60 IN MX 10 m\252x.@`), verdict: Fail, codes: []string{"mx.bad-name"}},
		{name: "dead control host (case 19)", set: records("@ 60 IN MX 10 mx1.@", "@ 60 IN MX 32767 ms1.msv1.invalid."),
			verdict: Warn, codes: []string{"mx.no-address"}},
		{name: "private address", set: records("@ 60 IN MX 10 mx1.@", "@ 60 IN MX 20 in.@", "in.@ 60 IN A 10.0.0.1"),
			verdict: Warn, codes: []string{"mx.private-address"}},
		{name: "private IPv6 behind a public name", verdict: Fail, codes: []string{"mx.private-address", "mx.unresolvable"},
			set: records("@ 60 IN MX 10 in.@", "in.@ 60 IN AAAA 2002:a00:1::1", "in.@ 60 IN AAAA fe80::1")},
		{name: "too many", verdict: Warn, codes: []string{"mx.no-address", "mx.too-many"}, set: func(t *testing.T, l *lab.Lab, d string) {
			serve(lab.Good)(t, l, d)
			for i := range 40 {
				must(t, l.AddRecord(fmt.Sprintf("%s. 60 IN MX %d gone%d.%s.", d, 100+i, i, d)))
			}
		}},
	}
}

func listCases() []liveCase {
	return []liveCase{
		{name: "live MX not covered (case 49 by name)", set: serve(lab.Good, lab.Good), mxs: []string{"mx1.@"}, verdict: Fail,
			codes: []string{"mx.not-covered"}},
		{name: "dead MX not covered", set: serve(lab.Good, lab.Refusing), mxs: []string{"mx1.@"}, verdict: Warn,
			codes: []string{"mx.not-covered-dead", "smtp.unreachable"}},
		{name: "suffix stands for one label (case 8)", mxs: []string{".@"}, verdict: Fail, codes: []string{"mx.not-covered"},
			set: func(t *testing.T, l *lab.Lab, d string) {
				must(t, l.AddHost(lab.Host{Name: "mx1." + d}))
				must(t, l.AddHost(lab.Host{Name: "a.b." + d}))
				must(t, l.AddDomain(lab.Domain{Name: d, MX: []string{"mx1." + d, "a.b." + d}}))
			}},
		{name: "unused pattern", set: serve(lab.Good), mxs: []string{"mx1.@", "next.@"}, verdict: Warn, codes: []string{"mx.unused-pattern"}},
		{name: "foreign pattern", set: serve(lab.Good), mxs: []string{"mx1.@", "mx.stranger.example"}, verdict: Warn,
			codes: []string{"mx.foreign-unused"}},
	}
}

func smtpCases() []liveCase {
	one := func(b lab.Behaviour, v Verdict, code string) liveCase {
		return liveCase{name: string(b), set: serve(b), mxs: []string{"mx1.@"}, verdict: v, codes: []string{code}}
	}
	hangs := func(b lab.Behaviour, code string) liveCase {
		c := one(b, Inconclusive, code)
		c.hasty = true
		return c
	}
	return []liveCase{
		one(lab.Refusing, Inconclusive, "smtp.unreachable"),
		{name: "first MX refuses (case 20)", set: serve(lab.Refusing, lab.Good), verdict: Warn, codes: []string{"smtp.unreachable"}},
		{name: "no route", set: records("@ 60 IN MX 10 far.@", "far.@ 60 IN A 127.255.255.255"), verdict: Inconclusive,
			codes: []string{"smtp.no-route"}},
		{name: "a public address without a name to introduce us", set: records("@ 60 IN MX 10 far.@", "far.@ 60 IN AAAA 2a00:1450::1"),
			verdict: Inconclusive, codes: []string{"probe.no-ehlo"}},
		hangs(lab.Hanging, "smtp.timeout"),
		hangs(lab.Tarpit, "smtp.timeout"),
		hangs(lab.StartTLSHangs, "smtp.timeout"),
		one(lab.Dropping, Inconclusive, "smtp.closed"),
		one(lab.Resetting, Inconclusive, "smtp.closed"),         // case 37
		one(lab.Greeting421, Inconclusive, "smtp.refused-temp"), // case 37
		one(lab.Greeting554, Inconclusive, "smtp.refused-perm"),
		one(lab.EHLO451, Inconclusive, "smtp.refused-temp"),
		one(lab.EHLO550, Inconclusive, "smtp.refused-perm"),
		one(lab.Garbage, Inconclusive, "smtp.malformed"),
		one(lab.Endless, Inconclusive, "smtp.malformed"),
		one(lab.EndlessLine, Inconclusive, "smtp.malformed"),
		one(lab.Escapes, Fail, "starttls.missing"),
		one(lab.NoEHLO, Fail, "smtp.no-ehlo"), // case 42
		one(lab.NoStartTLS, Fail, "starttls.missing"),
		one(lab.Stripped, Fail, "starttls.stripped"),                // case 40
		one(lab.StartTLS454, Inconclusive, "starttls.refused-temp"), // case 39
		one(lab.Blanked, Fail, "starttls.stripped"),
		one(lab.Starred, Fail, "starttls.stripped"),
		one(lab.StartTLS502, Fail, "starttls.blocked"),
		one(lab.StartTLS554, Fail, "starttls.refused"),
		one(lab.Injection, Fail, "starttls.injection"),
		hangs(lab.HandshakeHangs, "tls.interrupted"),
		one(lab.HandshakeDrops, Inconclusive, "tls.interrupted"),
		one(lab.NotTLS, Fail, "tls.not-tls"),
		one(lab.HandshakeFails, Fail, "tls.handshake"),
		one(lab.TLS11Only, Fail, "tls.version"),
		one(lab.Expired, Fail, "cert.expired"),
		one(lab.NotYetValid, Fail, "cert.not-yet-valid"),
		one(lab.Expiring, Warn, "cert.expiring"),
		one(lab.WrongName, Fail, "cert.name"),
		one(lab.NoSAN, Fail, "cert.no-san"), // case 47
		one(lab.SelfSigned, Fail, "cert.self-signed"),
		one(lab.UnknownCA, Fail, "cert.untrusted"),
		one(lab.ChainIncomplete, Fail, "cert.chain-incomplete"), // case 46
		one(lab.ChainExpired, Fail, "cert.chain-expired"),
		one(lab.BrokenCert, Fail, "cert.malformed"),
		one(lab.EndlessCert, Fail, "cert.malformed"),
		one(lab.PSSKey, Fail, "cert.key-type"),
		{name: "escapes in certificates", set: serve(lab.EscapeName), mxs: []string{"mx1.@"}, verdict: Fail,
			codes: []string{"cert.chain-incomplete", "cert.name"}},
		{name: "one of two lacks the name (case 49)", set: serve(lab.Good, lab.WrongName), verdict: Fail, codes: []string{"cert.name"}},
		{name: "one fails, one cannot be judged", set: serve(lab.NoStartTLS, lab.Greeting421), verdict: Fail,
			codes: []string{"smtp.refused-temp", "starttls.missing"}},
		{name: "one good, one cannot be judged", set: serve(lab.Good, lab.Greeting421), verdict: Inconclusive,
			codes: []string{"smtp.refused-temp"}},
	}
}

// canaryCases are vantages whose own network is in the way (case 40): what they would fail with is not the domain's fault.
func canaryCases() []liveCase {
	canary := func(name string, b lab.Behaviour) liveCase {
		at := "canary-" + string(b) + ".example"
		return liveCase{name: "canary " + name, verdict: Inconclusive, codes: []string{"vantage.withdrawn"},
			opts: func(o *Options) { o.Canary = domain(at) },
			set: func(t *testing.T, l *lab.Lab, d string) {
				serve(lab.NoStartTLS)(t, l, d) // would fail, if the vantage could be believed
				serve(b)(t, l, at)
			}}
	}
	return []liveCase{
		canary("is stripped", lab.Stripped), canary("is blanked out", lab.Blanked), canary("has no STARTTLS", lab.NoStartTLS),
		canary("loses its EHLO", lab.Starred), canary("has its STARTTLS filtered", lab.StartTLS502),
		canary("shows another certificate", lab.UnknownCA), canary("is out of reach", lab.Refusing),
	}
}

func liveCases() []liveCase {
	return slices.Concat(goodCases(), dnsCases(), mxCases(), listCases(), smtpCases(), poolCases(), optOutCases(), patienceCases(), canaryCases(),
		daneCases(), stsCases(), crossCases(), reportCases())
}

// TestLive plays every case against the lab.
func TestLive(t *testing.T) {
	l := startLab(t)
	schemas, err := schema.Load()
	must(t, err)
	for i, c := range liveCases() {
		t.Run(c.name, func(t *testing.T) {
			d := fmt.Sprintf("case%d.example", i)
			c.set(t, l, d)
			target := Target{Domain: domain(d)}
			if c.mxs != nil {
				target.Policy = enforce(t, d, c.mxs...)
			}
			if c.testing {
				target.Policy.Mode = policy.Testing
			}
			r := probeOne(t, newProber(t, l, c.hasty, c.opts), target)
			if r.Verdict != c.verdict || !slices.Equal(r.Codes, c.codes) {
				t.Errorf("verdict %s %q, want %s %q\n%s", r.Verdict, r.Codes, c.verdict, c.codes, r.Line)
			}
			for _, f := range r.Findings {
				if f.Fix == "" || f.Summary == "" || f.Domain != d {
					t.Errorf("finding without words or domain: %+v", f)
				}
			}
			checkSchema(t, schemas, schema.EvidenceDomain, r.Line)
			rejudge(t, r, target.Policy)
		})
	}
}

// rejudge repeats the decision from the evidence line alone.
func rejudge(t *testing.T, r Result, pol policy.Policy) {
	var rec Record
	if err := readCanonical(r.Line, &rec); err != nil {
		t.Fatalf("evidence line: %v\n%s", err, r.Line)
	}
	if slices.Contains(r.Codes, "vantage.withdrawn") {
		return // decided before looking
	}
	at, err := time.Parse(timeFormat, rec.At)
	must(t, err)
	again := Judge(r.Domain, rec.Observed, pol, at, 14*24*time.Hour)
	if again.Verdict != r.Verdict || !slices.Equal(again.Codes, r.Codes) {
		t.Errorf("the evidence says %s %q, the probe said %s %q", again.Verdict, again.Codes, r.Verdict, r.Codes)
	}
}

// TestEveryCodeHasACase keeps table and cases together.
func TestEveryCodeHasACase(t *testing.T) {
	shown := make(map[string]bool)
	for _, c := range liveCases() {
		for _, id := range c.codes {
			shown[id] = true
		}
	}
	for _, id := range mergedCases() {
		shown[id] = true
	}
	for _, e := range effects() {
		if !shown[e.ID] {
			t.Errorf("no live case in which %s appears", e.ID)
		}
		if e.Summary == "" || e.Fix == "" || e.Severity == "" || len(e.Rules) == 0 {
			t.Errorf("%s is not explained", e.ID)
		}
		if (e.verdict == Fail) != (e.Severity == policy.Error) || (e.verdict == Pass) != (e.Severity == policy.Notice) {
			t.Errorf("%s: severity %s and verdict %s", e.ID, e.Severity, e.verdict)
		}
		delete(shown, e.ID)
	}
	for id := range shown {
		t.Errorf("case with unknown code %s", id)
	}
}
