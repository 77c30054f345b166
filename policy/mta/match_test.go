package mta

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/starttls-everywhere/policylist/policy"
)

// certAccepted says whether Postfix 3.7 with OpenSSL 3 takes a certificate for name when match= is the given text:
// a leading dot stands for any labels, and a "*." of the certificate for one.
func certAccepted(match, name string) bool {
	for want := range strings.SplitSeq(match, ":") {
		dotted := strings.HasPrefix(want, ".")
		switch rest, star := strings.CutPrefix(name, "*."); {
		case dotted && strings.HasSuffix(name, want) && len(name) > len(want):
			return true
		case !dotted && name == want:
			return true
		case !dotted && star:
			if _, parent, ok := strings.Cut(want, "."); ok && parent == rest {
				return true
			}
		}
	}
	return false
}

// matchTable says, by match=, whether Postfix takes a certificate for mx.example.com, good.mx.example.com, *.example.com,
// *.mx.example.com, example.com and xexample.com.
var matchTable = map[string]string{
	".example.com":                "yes yes yes yes no no",
	"mx.example.com":              "yes no yes no no no",
	"*.example.com":               "no no yes no no no",
	"example.com":                 "no no no no yes no",
	"mx.example.com:.example.com": "yes yes yes yes no no",
}

func TestModelOfPostfixMatching(t *testing.T) {
	names := []string{"mx.example.com", "good.mx.example.com", "*.example.com", "*.mx.example.com", "example.com", "xexample.com"}
	for match, want := range matchTable {
		var got []string
		for _, name := range names {
			got = append(got, map[bool]string{true: "yes", false: "no"}[certAccepted(match, name)])
		}
		if strings.Join(got, " ") != want {
			t.Errorf("match=%s: %s, want %s", match, strings.Join(got, " "), want)
		}
	}
}

// For every host: what the list allows, the table accepts (no mail is lost), and what the table accepts beyond the
// list belongs to a domain that the report names (nobody is told it were exact).
func TestTableIsNeverNarrowerThanTheList(t *testing.T) {
	hosts := []string{"mx.a.example", "mx2.a.example", "a.example", "x.mx.a.example", "b.mail.a.example", "c.b.mail.a.example",
		"mail.a.example", "evil.example", "xa.example", "mx.a.example.evil.example"}
	patterns := []string{"mx.a.example", ".a.example", ".mail.a.example", "a.example", "mx2.a.example"}
	wider := 0
	for set := 1; set < 1<<len(patterns); set++ {
		var mxs []string
		for i, p := range patterns {
			if set>>i&1 == 1 {
				mxs = append(mxs, p)
			}
		}
		entry := policy.Entry{Domain: domain(t, "a.example"), Policy: rule(t, policy.Enforce, mxs...)}
		text, report := render(t, list(t, entry), Options{Dialect: Floor, Header: header})
		var match string
		if _, err := fmt.Sscanf(table(t, text)["a.example"], "secure match=%s servername=hostname protocols=>=TLSv1.2", &match); err != nil {
			t.Fatal(err)
		}
		for _, host := range hosts {
			allowed, accepted := entry.Policy.Allows(domain(t, host)), certAccepted(match, host)
			if allowed && !accepted {
				t.Errorf("%v: mail to %s would stop", mxs, host)
			}
			if accepted && !allowed {
				wider++
				if len(report.SuffixWide) != 1 {
					t.Errorf("%v: %s is accepted, and nobody is told", mxs, host)
				}
			}
		}
	}
	if wider == 0 {
		t.Error("no case in which Postfix accepts more: the test does not see what it is for")
	}
}

// "Not found" and "cannot say" are different answers.
func TestValueOutcomes(t *testing.T) {
	value, err := AppendPostfixValue(nil, domain(t, "a.example"), rule(t, policy.Enforce, "mx.a.example", ".b.example"), SNI)
	if err != nil || string(value) != "secure match=.b.example:mx.a.example servername=hostname" {
		t.Errorf("%s, %v", value, err)
	}
	value, err = AppendPostfixValue(nil, domain(t, "a.example"), rule(t, policy.Enforce, "mx.a.example", ".b.example"), TLSRPT)
	if err != nil || string(value) != "secure match=.b.example:mx.a.example servername=hostname protocols=>=TLSv1.2"+
		" policy_type=sts policy_domain=a.example mx_host_pattern=*.b.example mx_host_pattern=mx.a.example" {
		t.Errorf("%s, %v", value, err)
	}
	if _, err := AppendPostfixValue(nil, domain(t, "a.example"), rule(t, policy.Testing, "mx.a.example"), SNI); !errors.Is(err, ErrTesting) {
		t.Error(err)
	}
	if _, err := AppendPostfixValue(nil, domain(t, "a.example"), policy.Policy{Mode: policy.Enforce}, SNI); !errors.Is(err, ErrUnusable) {
		t.Error(err)
	}
}

func TestDialectOfAVersion(t *testing.T) {
	for version, want := range map[string]Dialect{
		"2.11.3": Legacy, "3.3.1": Legacy, "3.4.0": SNI, "3.4-20190106": Legacy, "3.5.25": SNI, "3.6-20201226": SNI, "3.6.0": Floor,
		"3.7.11\n": Floor, "3.9.4": Floor, "3.10.0": Floor, "3.10.4": Floor, "3.10.5": TLSRPT,
		"3.10.13": TLSRPT, "3.11-20250901": Floor, "3.11.0": TLSRPT, "3.11-RC1": Floor, "4.0.0": TLSRPT, "4.0-20300101": TLSRPT} {
		if got, err := DialectOf(version); err != nil || got != want {
			t.Errorf("%s: %s, %v", version, got, err)
		}
	}
	for _, version := range []string{"", "3", "three.four", "3.x", "-3.4", "3.-1.0"} {
		if got, err := DialectOf(version); err == nil || got != Legacy {
			t.Errorf("%q: %s, %v", version, got, err)
		}
	}
	for d := range dialectNames {
		if got, err := ParseDialect(Dialect(d).String()); err != nil || got != Dialect(d) {
			t.Errorf("%s: %v, %v", Dialect(d), got, err)
		}
	}
	if _, err := ParseDialect("newest"); err == nil || !strings.Contains(err.Error(), "legacy, sni, floor, tlsrpt") {
		t.Error(err)
	}
	if text := Dialect(9).String(); text != "dialect(9)" {
		t.Error(text)
	}
}

// Of the names of maps, those of other programs have to go on meaning what they mean there.
func TestDialectOfAMap(t *testing.T) {
	for name, want := range map[string]Dialect{
		"legacy": Legacy, "sni": SNI, "floor": Floor, "tlsrpt": TLSRPT, "QUERY": SNI, "QUERYwithTLSRPT": TLSRPT, "postfix": SNI,
	} {
		if got, ok := MapDialect(name); !ok || got != want {
			t.Errorf("%s: %s, %t", name, got, ok)
		}
	}
	for _, name := range []string{"", "query", "Floor", "smtp"} {
		if got, ok := MapDialect(name); ok || got != Legacy {
			t.Errorf("%q: %s, %t", name, got, ok)
		}
	}
}
