package survey_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/starttls-everywhere/policylist/pipeline/lab"
	"github.com/starttls-everywhere/policylist/policy"
)

// kind is a kind of domain of the lab, and what a survey must count it as.
type kind struct {
	name     string
	set      func(w *world, d string)
	provider string // "": the registered name of mx.<name>.net
	list     string // mode of its entry
	classes  string // "measure class" pairs that differ from those of a good domain without anything beyond
	codes    string
}

// kinds has every class of every measure at least once.
func kinds() []kind {
	return slices.Concat(routeKinds(), serverKinds(), stsKinds(), daneKinds(), otherKinds())
}

const (
	nothing   = "starttls no-mail certificate no-mail tls no-mail dane no-mail "
	unseen    = "starttls inconclusive certificate inconclusive tls inconclusive "
	noTLS     = "verdict fail starttls none certificate no-tls tls no-tls "
	badCert   = "verdict fail certificate invalid "
	ambiguous = "verdict inconclusive "
)

func routeKinds() []kind {
	return []kind{
		{name: "good", set: served()},
		{name: "null", set: published("@ 60 IN MX 0 ."), provider: "(none)", classes: nothing + "verdict fail mx null", codes: "mx.null"},
		{name: "no-mx", set: published(`@ 60 IN TXT "hello"`), provider: "(none)", classes: nothing + "verdict fail mx none", codes: "mx.none"},
		{name: "gone", set: published(), provider: "(none)", classes: nothing + "verdict fail mx nxdomain", codes: "dns.nxdomain"},
		{name: "implicit", provider: "(self)", classes: "verdict warn mx implicit", codes: "mx.implicit", set: func(w *world, d string) {
			must(w.t, w.AddHost(lab.Host{Name: d}))
		}},
		{name: "unknown", provider: "(unknown)", classes: ambiguous + unseen + "mx inconclusive dane inconclusive", codes: "dns.servfail", set: func(w *world, d string) {
			must(w.t, w.SetFault(d, "MX", lab.DNSServFail))
		}},
		{name: "dead", set: published("@ 60 IN MX 10 mx.nowhere.net."), provider: "nowhere.net", classes: nothing + "verdict fail",
			codes: "mx.no-address mx.unresolvable"},
		{name: "opted-out", set: served(), provider: "(unknown)", codes: "probe.opted-out",
			classes: ambiguous + unseen + "mx inconclusive dane inconclusive mta-sts inconclusive tlsrpt inconclusive"},
	}
}

func serverKinds() []kind {
	one := func(b lab.Behaviour, classes, codes string) kind {
		return kind{name: string(b), set: served(b), classes: classes, codes: codes}
	}
	return []kind{
		one(lab.TLS12Only, "tls 1.2", ""),
		one(lab.TLS11Only, "verdict fail tls older", "tls.version"),
		one(lab.NoStartTLS, noTLS, "starttls.missing"),
		one(lab.Stripped, noTLS, "starttls.stripped"),
		one(lab.NoEHLO, noTLS, "smtp.no-ehlo"),
		one(lab.StartTLS554, noTLS, "starttls.refused"),
		one(lab.StartTLS502, noTLS, "starttls.blocked"),
		one(lab.Injection, noTLS, "starttls.injection"),
		one(lab.HandshakeFails, noTLS, "tls.handshake"),
		one(lab.NotTLS, noTLS, "tls.not-tls"),
		one(lab.Expired, badCert, "cert.expired"),
		one(lab.NotYetValid, badCert, "cert.not-yet-valid"),
		one(lab.WrongName, badCert, "cert.name"),
		one(lab.NoSAN, badCert, "cert.no-san"),
		one(lab.SelfSigned, badCert, "cert.self-signed"),
		one(lab.UnknownCA, badCert, "cert.untrusted"),
		one(lab.ChainIncomplete, badCert, "cert.chain-incomplete"),
		one(lab.ChainExpired, badCert, "cert.chain-expired"),
		one(lab.BrokenCert, badCert+"tls no-tls", "cert.malformed"),
		one(lab.Expiring, "verdict warn", "cert.expiring"),
		one(lab.NeedsSNI, "", "tls.sni-required"),
		one(lab.Greeting421, ambiguous+unseen, "smtp.refused-temp"),
		one(lab.Greeting554, ambiguous+unseen, "smtp.refused-perm"),
		one(lab.StartTLS454, ambiguous+unseen, "starttls.refused-temp"),
		one(lab.Garbage, ambiguous+unseen, "smtp.malformed"),
		one(lab.Refusing, ambiguous+unseen+"", "smtp.unreachable"),
		{name: "two", set: served(lab.Good, lab.Refusing), classes: "verdict warn", codes: "smtp.unreachable"},
		{name: "half", set: served(lab.Good, lab.NoStartTLS), classes: "verdict fail starttls some", codes: "starttls.missing"},
		{name: "half-valid", set: served(lab.Good, lab.Expired), classes: "verdict fail certificate some", codes: "cert.expired"},
		{name: "half-seen", set: served(lab.Good, lab.Greeting421), classes: ambiguous + unseen, codes: "smtp.refused-temp"},
		{name: "weakest", set: served(lab.Good, lab.TLS12Only), classes: "tls 1.2"},
	}
}

func stsKinds() []kind {
	with := func(name, text, classes, codes string, more ...string) kind {
		return kind{name: name, set: withPolicy(text, more...), classes: classes, codes: codes}
	}
	good := sts("enforce", "mx1.%s.net")
	return []kind{
		with("sts-enforce", good, "mta-sts enforce", ""),
		with("sts-testing", sts("testing", "*.%s.net"), "mta-sts testing", ""),
		with("sts-off", sts("none"), "mta-sts off", "sts.mode-none"),
		with("sts-mismatch", sts("enforce", "mx.elsewhere.net"), "verdict fail mta-sts mismatch", "mx.foreign-unused sts.mx-not-covered"),
		with("sts-dangling", sts("testing", "mx.elsewhere.net"), "verdict warn mta-sts mismatch", "mx.foreign-unused sts.mx-not-covered"),
		with("sts-many", good, "verdict warn mta-sts broken", "sts.record-many", `_mta-sts.@ 60 IN TXT "v=STSv1; id=2"`),
		with("sts-record", good, "verdict warn mta-sts broken", "sts.record-invalid", "none _mta-sts.@ TXT", `_mta-sts.@ 60 IN TXT "v=STSv1; id=a-b"`),
		with("sts-no-host", good, "verdict warn mta-sts broken", "sts.no-host", "none mta-sts.@ A"),
		with("sts-private", good, "verdict warn mta-sts broken", "sts.private-address", "none mta-sts.@ A", "mta-sts.@ 60 IN A 10.0.0.1"),
		with("sts-cert", good, "verdict warn mta-sts broken", "sts.certificate", "web cert"),
		with("sts-missing", good, "verdict warn mta-sts broken", "sts.http-status", "web not-found"),
		with("sts-redirect", good, "verdict warn mta-sts broken", "sts.redirect", "web redirect"),
		with("sts-html", good, "verdict warn mta-sts broken", "sts.media-type", "web html"),
		with("sts-typo", strings.Replace(good, "mx:", "nmx:", 1), "verdict warn mta-sts broken", "sts.no-mx"),
		with("sts-outside", good, ambiguous+"mta-sts inconclusive", "probe.no-ehlo", "none mta-sts.@ A", "mta-sts.@ 60 IN AAAA 2a00:1450::1"),
		with("sts-unknown", good, ambiguous+"mta-sts inconclusive", "sts.lookup-failed", "fault _mta-sts.@ TXT servfail"),
	}
}

func daneKinds() []kind {
	return []kind{
		{name: "dane", set: withTLSA("3 1 1"), classes: "dane valid"},
		{name: "dane-old", set: withTLSA("3 1 1 " + strings.Repeat("ab", 32)), classes: "verdict fail dane mismatch", codes: "cross.pkix-only dane.mismatch"},
		{name: "dane-pkix", set: withTLSA("1 1 1"), classes: "verdict warn dane unusable", codes: "dane.unusable"},
		{name: "dane-half", set: withTLSA("3 1 1", ""), classes: "dane partial"},
		{name: "dane-none", set: withTLSA(""), classes: "dane none"},
		{name: "dane-unknown", set: withTLSA("servfail"), classes: ambiguous + "dane inconclusive", codes: "dane.lookup-failed"},
	}
}

func otherKinds() []kind {
	report := `_smtp._tls.@ 60 IN TXT "v=TLSRPTv1; rua=mailto:tls%%40x.example"`
	with := func(name, classes, codes string, rrs ...string) kind {
		return kind{name: name, set: withRecords(rrs...), classes: classes, codes: codes}
	}
	listed := func(name, mode, classes, codes string) kind {
		return kind{name: name, set: withRecords(report), list: mode, classes: "tlsrpt valid " + classes, codes: codes}
	}
	return []kind{
		with("report", "tlsrpt valid", "", report),
		with("report-twice", "verdict warn tlsrpt broken", "tlsrpt.many", report, strings.Replace(report, "x.example", "y.example", 1)),
		with("report-nobody", "verdict warn tlsrpt broken", "tlsrpt.invalid", `_smtp._tls.@ 60 IN TXT "v=TLSRPTv1; rua=mailto:0"`),
		with("report-typo", "verdict warn tlsrpt broken", "tlsrpt.misspelt", `_smtp._tls.@ 60 IN TXT "v=TSLRPTv1; rua=mailto:tls%%40x.example"`),
		with("report-unknown", "tlsrpt inconclusive", "tlsrpt.lookup-failed", "fault _smtp._tls.@ TXT servfail"),
		listed("listed", "enforce", "list enforce", ""),
		listed("listed-trial", "testing", "list testing", ""),
	}
}

// expected are the classes of a kind, by measure.
func (k kind) expected() map[string]string {
	out := map[string]string{"verdict": "pass", "mx": "hosts", "starttls": "all", "certificate": "valid", "tls": "1.3", "mta-sts": "none",
		"dane": "insecure", "tlsrpt": "none", "list": "unlisted"}
	words := strings.Fields(k.classes)
	for i := 0; i < len(words); i += 2 {
		out[words[i]] = words[i+1]
	}
	return out
}

func (k kind) providerName() string {
	if k.provider != "" {
		return k.provider
	}
	return k.name + ".net"
}

// policy is the list's entry for a domain of that kind.
func (k kind) policy(t testing.TB) policy.Policy {
	mode, err := policy.ParseMode(k.list)
	must(t, err)
	m, err := policy.ParseMXPattern(fmt.Sprintf("mx1.%s.net", k.name))
	must(t, err)
	p, err := policy.NewPolicy(mode, []policy.MXPattern{m})
	must(t, err)
	return p
}
