package tlsrpt

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/starttls-everywhere/policylist/pipeline/tlsrpt/cells"
	"github.com/starttls-everywhere/policylist/policy"
	"github.com/starttls-everywhere/policylist/policy/tlsrpt"
)

// TestAlerts: each line is a story of reporters, told day by day, and what comes of it on the last.
func TestAlerts(t *testing.T) {
	const today = tlsrpt.Day(20_500)
	listed := func(d policy.Domain) (string, bool) {
		return "provider.example", strings.HasSuffix(d.String(), ".listed.example")
	}
	say := func(name, who string, ago int, o cells.Observation) cells.Observation {
		d, err := policy.ParseDomain(name + ".listed.example")
		if strings.Contains(name, ".") {
			d, err = policy.ParseDomain(name)
		}
		if err != nil {
			t.Fatal(err)
		}
		o.Domain, o.Contributor, o.Day = d, who, today-tlsrpt.Day(ago)
		return o
	}
	sts := cells.Observation{Sessions: 50, UnderSTS: 50}
	none := cells.Observation{Sessions: 50, UnderNone: 50}
	few := cells.Observation{Sessions: 5, UnderNone: 5}
	fails := func(c tlsrpt.Class, n int64) cells.Observation {
		return cells.Observation{Sessions: 50, UnderSTS: 50, Failed: map[tlsrpt.Class]int64{c: n}}
	}
	stray := cells.Observation{Sessions: 50, UnderSTS: 50, Unlisted: 20}
	for name, c := range map[string]struct {
		seen []cells.Observation
		want string
	}{
		"a reporter loses the policy": {[]cells.Observation{say("a", "x", 20, sts), say("a", "x", 1, none), say("a", "y", 20, sts), say("a", "y", 1, sts)},
			"feedback.sts-suppressed a.listed.example 1 of 2 reporters with an MTA-STS policy"},
		"within the last days":         {[]cells.Observation{say("a", "x", 5, sts), say("a", "x", 1, none)}, "feedback.sts-suppressed a.listed.example 1 of 1 reporters with an MTA-STS policy"},
		"a reporter that never had it": {[]cells.Observation{say("a", "x", 20, none), say("a", "x", 1, none)}, ""},
		"one that has it again":        {[]cells.Observation{say("a", "x", 20, sts), say("a", "x", 2, none), say("a", "x", 1, sts)}, ""},
		"too few sessions":             {[]cells.Observation{say("a", "x", 20, sts), say("a", "x", 1, few)}, ""},
		"too long ago":                 {[]cells.Observation{say("a", "x", 60, sts), say("a", "x", 1, none)}, ""},
		"a domain that is not listed":  {[]cells.Observation{say("a.example", "x", 20, sts), say("a.example", "x", 1, none)}, ""},
		"STARTTLS stripped for one": {[]cells.Observation{say("a", "x", 1, fails(tlsrpt.ClassNoSTARTTLS, 50)), say("a", "y", 1, sts), say("a", "z", 2, sts)},
			"feedback.starttls-one-place a.listed.example 1 of 3 reporters"},
		"for two of three":            {[]cells.Observation{say("a", "x", 1, fails(tlsrpt.ClassNoSTARTTLS, 50)), say("a", "y", 1, fails(tlsrpt.ClassNoSTARTTLS, 50)), say("a", "z", 2, sts)}, ""},
		"now and then for another":    {[]cells.Observation{say("a", "x", 1, fails(tlsrpt.ClassNoSTARTTLS, 50)), say("a", "y", 1, fails(tlsrpt.ClassNoSTARTTLS, 1)), say("a", "z", 2, sts), say("a", "u", 2, sts)}, ""},
		"with nobody to compare with": {[]cells.Observation{say("a", "x", 1, fails(tlsrpt.ClassNoSTARTTLS, 50)), say("a", "y", 1, sts)}, ""},
		"certificates fail for one":   {[]cells.Observation{say("a", "x", 1, fails(tlsrpt.ClassCertificate, 50)), say("a", "y", 1, sts), say("a", "z", 2, sts)}, ""},
		"led astray":                  {[]cells.Observation{say("a", "x", 1, stray), say("a", "y", 1, sts)}, "feedback.unlisted-mx a.listed.example 1 of 2 reporters"},
		"led astray last month":       {[]cells.Observation{say("a", "x", 20, stray), say("a", "y", 1, sts)}, ""},
		"three domains of a provider": {[]cells.Observation{say("a", "x", 1, stray), say("b", "x", 1, stray), say("c", "y", 1, stray)},
			"feedback.provider-alert  provider.example: 3 domains, feedback.unlisted-mx"},
		"two of them": {[]cells.Observation{say("a", "x", 1, stray), say("b", "x", 1, stray)},
			"feedback.unlisted-mx a.listed.example 1 of 1 reporters; feedback.unlisted-mx b.listed.example 1 of 1 reporters"},
	} {
		var got []string
		for _, f := range alertsOf(slices.Values(c.seen), today, listed) {
			what, _, _ := strings.Cut(f.Summary, ": "+summaryOf(f.Code))
			got = append(got, f.Code+" "+f.Domain+" "+what)
			if f.Fix == "" || f.Severity != policy.Warning {
				t.Errorf("%s: %+v", name, f)
			}
			if strings.Contains(fmt.Sprint(f), " x") {
				t.Errorf("%s: it names the reporter: %+v", name, f)
			}
		}
		if s := strings.Join(got, "; "); s != c.want {
			t.Errorf("%s: %q, want %q", name, s, c.want)
		}
	}
}

func summaryOf(code string) string {
	for _, c := range Codes() {
		if c.ID == code {
			return c.Summary
		}
	}
	return ""
}

// TestCanaryNotices: a contributor that counts sessions with a canary which succeeded is told so, and no other.
func TestCanaryNotices(t *testing.T) {
	canary, err := policy.ParseDomain("canary.example")
	if err != nil {
		t.Fatal(err)
	}
	other, err := policy.ParseDomain("other.example")
	if err != nil {
		t.Fatal(err)
	}
	told := CanaryNotices([]policy.Domain{canary})
	for name, c := range map[string]struct {
		e    tlsrpt.Contributed
		want bool
	}{
		"delivered":           {tlsrpt.Contributed{Domain: canary, Successful: 20, Failed: 20}, true},
		"not delivered":       {tlsrpt.Contributed{Domain: canary, Failed: 20}, false},
		"only looked up":      {tlsrpt.Contributed{Domain: canary, Successful: 20, LookUps: true}, false},
		"delivered elsewhere": {tlsrpt.Contributed{Domain: other, Successful: 20}, false},
	} {
		got := told(tlsrpt.Contribution{Entries: []tlsrpt.Contributed{c.e}})
		if slices.Contains(got, tlsrpt.NoticeCanary) != c.want || len(got) > 1 {
			t.Errorf("%s: %v", name, got)
		}
	}
	if !tlsrpt.NoticeCanary.Known() || summaryOf(string(tlsrpt.NoticeCanary)) == "" {
		t.Error("the notice is not explained")
	}
}
