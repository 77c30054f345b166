package probe

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/starttls-everywhere/policylist/pipeline/lab"
	"github.com/starttls-everywhere/policylist/policy"
)

// weeks is a max_age that needs no further proof (R31).
const weeks = 10886400

// published is serve(lab.Good) with an MTA-STS policy; "@" in its text stands for the domain. More changes what the domain
// publishes: records ("…"), or "fault NAME TYPE FAULT", "web FAULT", "none NAME TYPE" with names that may contain "@".
func published(text string, more ...string) func(*testing.T, *lab.Lab, string) {
	return func(t *testing.T, l *lab.Lab, d string) {
		serve(lab.Good)(t, l, d)
		must(t, l.SetSTS(d, strings.ReplaceAll(text, "@", d)))
		for _, m := range more {
			f := strings.Fields(m)
			switch f[0] {
			case "fault":
				must(t, l.SetFault(at(f[1], d), f[2], lab.DNSFault(f[3])))
			case "web":
				l.SetWebFault("mta-sts."+d, lab.WebFault(f[1]))
			case "none":
				must(t, l.RemoveRecords(at(f[1], d), f[2]))
			default:
				must(t, l.AddRecord(at(m, d)))
			}
		}
	}
}

func sts(mode string, mx ...string) string { return lab.STSPolicy(mode, weeks, mx...) }

// stsCases are cases 1 to 16 of the field notes, and their kin. Those about the text alone are in policy/mtasts.
func stsCases() []liveCase {
	good := sts("enforce", "mx1.@")
	var cases []liveCase
	add := func(name string, v Verdict, set func(*testing.T, *lab.Lab, string), codes ...string) {
		cases = append(cases, liveCase{name: "MTA-STS: " + name, set: set, verdict: v, codes: codes, opts: shortDNS})
	}
	add("good", Pass, published(good))
	add("wildcard", Pass, published(sts("testing", "*.@")))
	add("line feeds only (case 1)", Pass, published(strings.ReplaceAll(good, "\r\n", "\n")))
	add("no final line end (case 2)", Pass, published(strings.TrimSuffix(good, "\r\n")))
	add("blank line at the end (case 2)", Warn, published(good+"\r\n"), "sts.deviation")
	add("two records (case 3)", Warn, published(good, `_mta-sts.@ 60 IN TXT "v=STSv1; id=2"`), "sts.record-many")
	add("others' records (case 3)", Pass, published(good, `_mta-sts.@ 60 IN TXT "v=spf1 -all"`))
	add("broken record", Warn, published(good, "none _mta-sts.@ TXT", `_mta-sts.@ 60 IN TXT "v=STSv1; id=a-b"`), "sts.record-invalid")
	add("record in two strings (case 5)", Pass, published(good, "none _mta-sts.@ TXT", `_mta-sts.@ 60 IN TXT "v=STSv1; id=20" "26;"`))
	add("nmx for mx (case 6)", Warn, published(strings.Replace(good, "mx:", "nmx:", 1)), "sts.no-mx")
	add("address as mx (case 7)", Fail, published(sts("enforce", "mail.@", "192.0.2.86")),
		"sts.deviation", "sts.mx-address", "sts.mx-not-covered", "sts.unused-pattern")
	add("unusable mx", Warn, published(sts("enforce", "mx1.@", ".@")), "sts.deviation", "sts.mx-unusable")
	add("media type in capitals (case 9)", Pass, published(good, "web plain-ascii"))
	add("no media type (case 9)", Warn, published(good, "web no-type"), "sts.media-missing")
	add("HTML (case 9)", Warn, published(good, "web html"), "sts.media-type")
	add("redirect (case 10)", Warn, published(good, "web redirect"), "sts.redirect")
	add("no route (case 11)", Inconclusive, published(good, "none mta-sts.@ A", "mta-sts.@ 60 IN A 127.255.255.255"), "sts.no-route")
	add("record by CNAME (case 12)", Pass, published(good, "none _mta-sts.@ TXT",
		"_mta-sts.@ 60 IN CNAME _mta-sts.provider.@", `_mta-sts.provider.@ 60 IN TXT "v=STSv1; id=1"`))
	add("wildcard certificate (case 13)", Pass, published(good, "web wildcard"))
	add("certificate for another name", Warn, published(good, "web cert"), "sts.certificate")
	add("certificate expires soon", Warn, published(good, "web expiring"), "sts.certificate-expiring")
	add("certificate expired", Warn, published(good, "web expired"), "sts.certificate")
	add("max_age of an hour (case 14)", Pass, published(lab.STSPolicy("enforce", 3600, "mx1.@")), "sts.short-lived")
	add("max_age of a day (case 14)", Pass, published(lab.STSPolicy("enforce", 86400, "mx1.@")), "sts.needs-proof")
	add("max_age beyond a year (case 14)", Warn, published(lab.STSPolicy("enforce", 31557601, "mx1.@")), "sts.policy-invalid")
	add("mode none", Pass, published(sts("none")), "sts.mode-none")
	add("record SERVFAIL", Inconclusive, published(good, "fault _mta-sts.@ TXT servfail"), "sts.lookup-failed")
	add("policy host SERVFAIL", Inconclusive, published(good, "none mta-sts.@ A", "fault mta-sts.@ A servfail"), "sts.host-lookup-failed")
	add("policy host gone", Warn, published(good, "none mta-sts.@ A"), "sts.no-host")
	add("policy host outside, and no name to introduce us", Inconclusive, published(good, "none mta-sts.@ A", "mta-sts.@ 60 IN AAAA 2a00:1450::1"), "probe.no-ehlo")
	add("policy host inside", Warn, published(good, "none mta-sts.@ A", "mta-sts.@ 60 IN A 169.254.169.254"), "sts.private-address")
	add("policy host refuses", Inconclusive, published(good, "none mta-sts.@ A", "mta-sts.@ 60 IN CNAME mx1.@"), "sts.unreachable")
	add("no TLS", Warn, published(good, "web no-tls"), "sts.tls")
	add("hangs up", Warn, published(good, "web abort"), "sts.http")
	add("endless header", Warn, published(good, "web header"), "sts.http")
	add("not found", Warn, published(good, "web not-found"), "sts.http-status")
	add("compressed", Warn, published(good, "web encoding"), "sts.encoding")
	add("endless body", Warn, published(good, "web large"), "sts.too-large")
	add("terminal escapes", Warn, published(good, "web escapes"), "sts.redirect")
	add("live MX missing", Fail, published(sts("enforce", "other.@")), "sts.mx-not-covered", "sts.unused-pattern")
	add("live MX missing, testing", Warn, published(sts("testing", "other.@")), "sts.mx-not-covered", "sts.unused-pattern")
	add("live MX missing, none", Pass, published(sts("none", "other.@")), "sts.mode-none")
	add("star stands for one label (case 8)", Fail, func(t *testing.T, l *lab.Lab, d string) {
		must(t, l.AddHost(lab.Host{Name: "a.b." + d}))
		published(sts("enforce", "mx1.@", "*.@"), "@ 60 IN MX 20 a.b.@")(t, l, d)
	}, "sts.mx-not-covered")
	add("dead MX missing", Warn, published(good, "@ 60 IN MX 20 dead.@"), "mx.no-address", "sts.mx-not-covered-dead")
	add("stranger's pattern (R53)", Warn, published(sts("enforce", "mx1.@", "mx.stranger.example")), "mx.foreign-unused")
	return append(cases, liveCase{name: "MTA-STS: hangs", verdict: Fail, codes: []string{"mx.null", "sts.timeout"}, hasty: true,
		set: func(t *testing.T, l *lab.Lab, d string) {
			must(t, l.SetSTS(d, good))
			must(t, l.AddRecord(d+". 60 IN MX 0 ."))
			l.SetWebFault("mta-sts."+d, lab.WebHang)
		}})
}

// TestPolicyHostOptsOut: neither a policy host nor an address that asked to be left alone is contacted, and that says
// nothing about the domain.
func TestPolicyHostOptsOut(t *testing.T) {
	l := startLab(t)
	published(sts("enforce", "mx1.@"))(t, l, "a.example")
	for list, want := range map[string]string{
		"mta-sts.a.example": "probe.opted-out", l.WebAddress().String() + "/32": "probe.opted-out", "mta-sts.b.example": "",
	} {
		r := probeOne(t, newProber(t, l, false, optOut(list)), Target{Domain: domain("a.example")})
		if got := strings.Join(r.Codes, " "); got != want {
			t.Errorf("%s: %q, want %q", list, got, want)
		}
		rejudge(t, r, policy.Policy{})
	}
	if n := l.WebStats().Sessions; n != 1 {
		t.Errorf("the policy was fetched %d times", n)
	}
}

// crossCases hold list, MX and MTA-STS against each other; those with TLSA are among daneCases.
func crossCases() []liveCase {
	one := []string{"mx1.@"}
	listed := func(name, text string, trial bool, v Verdict, mxs []string, codes ...string) liveCase {
		c := liveCase{name: "cross: " + name, set: published(text), mxs: mxs, testing: trial, verdict: v, codes: codes}
		if trial {
			c.set = published(text, `_smtp._tls.@ 60 IN TXT "v=TLSRPTv1; rua=mailto:tls%40x.example"`)
		}
		return c
	}
	return []liveCase{
		listed("the same", sts("enforce", "mx1.@"), false, Pass, one),
		listed("the same by another spelling", sts("enforce", "*.@", "mx1.@"), false, Pass, []string{".@"}),
		listed("list wider", sts("enforce", "mx1.@"), false, Warn, []string{".@"}, "cross.mxs-wider"),
		listed("list narrower", sts("enforce", "*.@"), false, Warn, one, "cross.mxs-narrower"),
		listed("lists differ", sts("enforce", "mx1.@", "next.b.@"), false, Warn, []string{".@", "b.other.@"},
			"cross.mxs-differ", "mx.unused-pattern", "sts.unused-pattern"),
		listed("list narrower than live (case 51)", sts("enforce", "mx1.@"), false, Fail, []string{"old.@"},
			"cross.mxs-differ", "mx.not-covered", "mx.unused-pattern"),
		listed("list testing, MTA-STS enforce", sts("enforce", "mx1.@"), true, Pass, one, "cross.mode-weaker"),
		listed("list enforce, MTA-STS testing", sts("testing", "mx1.@"), false, Warn, one, "cross.mode-stronger"),
		listed("listed, MTA-STS none", sts("none"), false, Warn, one, "cross.sts-none", "sts.mode-none"),
		{name: "cross: a policy of the wrong media type is nobody's word", mxs: one, verdict: Warn, codes: []string{"sts.media-type"},
			set: published(sts("testing", "mx1.@"), "web html")},
	}
}

// reportCases are cases 14 to 18 and 31 of the field notes on TLSRPT, the proofs of control, and their kin.
func reportCases() []liveCase {
	var cases []liveCase
	report := func(name string, trial bool, v Verdict, rrs []string, codes ...string) {
		for i := range rrs {
			rrs[i] = "_smtp._tls.@ 60 IN TXT " + rrs[i]
		}
		cases = append(cases, liveCase{name: "TLSRPT: " + name, verdict: v, codes: codes, mxs: []string{"mx1.@"}, testing: trial,
			set: func(t *testing.T, l *lab.Lab, d string) {
				serve(lab.Good)(t, l, d)
				for _, rr := range rrs {
					must(t, l.AddRecord(at(rr, d)))
				}
			}})
	}
	report("none", false, Pass, nil)
	report("none in testing (R21)", true, Warn, nil, "tlsrpt.missing")
	report("good", true, Pass, []string{`"v=TLSRPTv1; rua=mailto:tls%40report.example,https://report.example/in"`})
	report("repeated rua (case 16)", true, Pass, []string{`"v=TLSRPTv1; rua=mailto:a%40x.example; rua=https://x.example/r"`})
	report("others' records (case 17)", true, Pass, []string{`"v=TLSRPTv1; rua=mailto:a%40x.example"`, `"hello"`})
	report("two records (case 17)", true, Warn, []string{`"v=TLSRPTv1; rua=mailto:a%40x.example"`, `"v=TLSRPTv1; rua=mailto:b%40x.example"`}, "tlsrpt.many")
	report("letters swapped (case 18)", true, Warn, []string{`"v=TSLRPTv1; rua=mailto:a%40x.example"`}, "tlsrpt.missing", "tlsrpt.misspelt")
	report("no scheme (case 14)", false, Warn, []string{`"v=TLSRPTv1; rua=postmaster@x.example"`}, "tlsrpt.invalid")
	report("mailto:0 (case 31)", false, Warn, []string{`"v=TLSRPTv1; rua=mailto:0"`}, "tlsrpt.invalid")
	report("one of two is good", true, Warn, []string{`"v=TLSRPTv1; rua=mailto:0,mailto:a%40x.example"`}, "tlsrpt.faulty")
	cases = append(cases, liveCase{name: "TLSRPT: SERVFAIL", verdict: Pass, codes: []string{"tlsrpt.lookup-failed"}, opts: shortDNS,
		mxs: []string{"mx1.@"}, testing: true, set: fault("_smtp._tls.@", "TXT", lab.DNSServFail)})
	proof := func(name string, v Verdict, code string, rrs ...string) {
		for i := range rrs {
			rrs[i] = `_starttls-policy.@ 60 IN TXT "` + rrs[i] + `"`
		}
		cases = append(cases, liveCase{name: "proof: " + name, verdict: v, codes: []string{code}, set: func(t *testing.T, l *lab.Lab, d string) {
			serve(lab.Good)(t, l, d)
			for _, rr := range rrs {
				must(t, l.AddRecord(at(rr, d)))
			}
		}})
	}
	day := func(n int) string { return time.Now().AddDate(0, 0, n).UTC().Format(time.DateOnly) }
	digest := strings.Repeat("0a", 32)
	proof("change", Pass, "proof.found", "v=STP1; change="+digest+"; exp="+day(10))
	proof("remove", Pass, "proof.found", "v=STP1; remove; exp="+day(10), "hello")
	proof("expired", Pass, "proof.expired", "v=STP1; remove; exp="+day(-2))
	proof("too far", Warn, "proof.too-far", "v=STP1; remove; exp="+day(70))
	proof("two", Warn, "proof.many", "v=STP1; remove; exp="+day(10), "v=STP1; emergency; exp="+day(10))
	proof("broken", Warn, "proof.invalid", "v=STP1; please; exp="+day(10))
	return append(cases, liveCase{name: "proof: SERVFAIL", verdict: Pass, codes: []string{"proof.lookup-failed"}, opts: shortDNS,
		set: fault("_starttls-policy.@", "TXT", lab.DNSServFail)})
}

// TestOnlyWhereThereIsARecord: a domain without MTA-STS costs three lookups and no connection, and nothing is asked below
// a name that does not exist.
func TestOnlyWhereThereIsARecord(t *testing.T) {
	l := startLab(t)
	serve(lab.Good)(t, l, "a.example")
	p := newProber(t, l, false, nil)
	if r := probeOne(t, p, Target{Domain: domain("a.example")}); strings.Contains(string(r.Line), `"keys"`) {
		t.Errorf("digests that no TLSA record asks for are in the evidence: %s", r.Line)
	}
	probeOne(t, p, Target{Domain: domain("gone.example")})
	for name, want := range map[string]int{
		"_mta-sts.a.example": 1, "_smtp._tls.a.example": 1, "_starttls-policy.a.example": 1,
		"_mta-sts.gone.example": 0, "_smtp._tls.gone.example": 0, "_starttls-policy.gone.example": 0,
	} {
		if n := l.Asked(name, "TXT"); n != want {
			t.Errorf("%s was asked for %d times, want %d", name, n, want)
		}
	}
	for _, kind := range []string{"A", "AAAA"} {
		if n := l.Asked("mta-sts.a.example", kind); n != 0 {
			t.Errorf("the policy host's %s was asked for %d times", kind, n)
		}
	}
}

// TestPoliciesOfOneProvider: the policies of many domains at one address are fetched one at a time, and where the rate
// limit holds not faster than it allows.
func TestPoliciesOfOneProvider(t *testing.T) {
	l := startLab(t)
	var targets []Target
	for i := range 12 {
		d := fmt.Sprintf("d%d.example", i)
		must(t, l.AddDomain(lab.Domain{Name: d, STS: sts("none")}))
		must(t, l.AddRecord(d+". 60 IN MX 0 ."))
		targets = append(targets, Target{Domain: domain(d)})
	}
	clock := &fakeClock{now: time.Now()}
	start := clock.Now()
	p := newProber(t, l, false, func(o *Options) { o.Clock, o.PoliciesPerMinute = clock, 5 })
	p.web.loopback = p.web.public // as if the targets were out there
	results, err := p.Probe(t.Context(), targets)
	must(t, err)
	for _, r := range results {
		if !strings.Contains(string(r.Line), `"status":"ok"}`) {
			t.Errorf("%s: no policy\n%s", r.Domain, r.Line)
		}
	}
	if took := clock.Now().Sub(start); took < 2*time.Minute || took > 3*time.Minute {
		t.Errorf("twelve policies, five a minute, within %v", took)
	}
	if s := l.WebStats(); s.Sessions != 12 || s.Peak != 1 {
		t.Errorf("the web server saw %+v", s)
	}
}

// TestHostileAnswersStaySmall: whatever a policy host, a text record or a header says, an evidence line stays a line of
// printable ASCII within bounds.
func TestHostileAnswersStaySmall(t *testing.T) {
	l := startLab(t)
	var mxs []string
	for i := range 700 {
		mxs = append(mxs, fmt.Sprintf("%s.%d.a.example", strings.Repeat("x", 60), i), "bad mx \x1b[2J"+strings.Repeat("\x01", 50))
	}
	published(sts("enforce", mxs...)[:60<<10])(t, l, "a.example")
	for _, name := range []string{"_mta-sts.a.example", "_smtp._tls.a.example", "_starttls-policy.a.example"} {
		for i := range 60 {
			chunk := `"` + strings.Repeat(`\027`, 200) + `"`
			must(t, l.AddRecord(fmt.Sprintf(`%s. 60 IN TXT "v=%d" %s`, name, i, strings.Repeat(chunk+" ", 4))))
		}
	}
	published(sts("enforce", "mx1.@"), "web escapes")(t, l, "b.example")
	for _, d := range []string{"a.example", "b.example"} {
		r := probeOne(t, newProber(t, l, false, nil), Target{Domain: domain(d)})
		if len(r.Line) > 128<<10 {
			t.Errorf("%s: a line of %d bytes", d, len(r.Line))
		}
		var rec Record
		if err := readCanonical(r.Line, &rec); err != nil {
			t.Errorf("%s: %v", d, err)
		}
		for _, f := range r.Findings {
			if strings.ContainsFunc(f.Summary+f.Fix, func(c rune) bool { return c < ' ' || c > '~' }) || len(f.Summary) > 2000 {
				t.Errorf("%s: finding %q", d, f.Summary)
			}
		}
	}
}
