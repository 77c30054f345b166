package doctor

import (
	"fmt"
	"reflect"
	"strings"
	"testing"

	"github.com/starttls-everywhere/policylist/policy"
	"github.com/starttls-everywhere/policylist/policy/mta/maillog"
)

// sent is one delivery in the words of the log.
func sent(pid int, level, domain, mx string) string {
	line := func(format string, args ...any) string {
		return fmt.Sprintf("Nov 27 08:00:00 mail postfix/smtp[%d]: ", pid) + fmt.Sprintf(format, args...) + "\n"
	}
	peer, out := mx+"[192.0.2.1]:25", ""
	if level != "" {
		out = line("%s TLS connection established to %s: TLSv1.3 with cipher X (256/256 bits)", level, peer)
	}
	return out + line("%dF: to=<u@%s>, relay=%s, delay=1, dsn=2.0.0, status=sent (250 Ok)", pid, domain, peer)
}

func deferred(domain, why string) string {
	return "Nov 27 08:00:00 mail postfix/smtp[9]: 9F: to=<u@" + domain + ">, relay=none, delay=1, dsn=4.7.5, status=deferred (" + why + ")\n"
}

func historyOf(t *testing.T, log string) HistoryReport {
	t.Helper()
	listed := map[string]policy.Policy{}
	for domain, mode := range map[string]policy.Mode{"a.test": policy.Enforce, "b.test": policy.Enforce, "t.test": policy.Testing} {
		mx, err := policy.ParseMXPattern(".mx." + domain)
		if err != nil {
			t.Fatal(err)
		}
		if listed[domain], err = policy.NewPolicy(mode, []policy.MXPattern{mx}); err != nil {
			t.Fatal(err)
		}
	}
	h := History{Lookup: func(d policy.Domain) (policy.Policy, bool) {
		p, ok := listed[d.String()]
		return p, ok
	}}
	var s maillog.Summary
	err := maillog.Walk(strings.NewReader(log), nil, &s, func(a maillog.Attempt) error {
		h.Add(a)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return h.Report(s)
}

var logCases = map[string]struct{ log, codes, says string }{
	"good":   {sent(1, "Trusted", "a.test", "1.mx.a.test") + sent(2, "Verified", "x.test", "mx.x.test"), "", ""},
	"empty":  {"Nov 27 08:00:00 mail postfix/qmgr[1]: x\n", "doctor.log.empty", "1 lines"},
	"silent": {sent(1, "", "a.test", "1.mx.a.test") + sent(2, "", "b.test", "1.mx.b.test"), "doctor.log.silent", "2 deliveries"},
	"no ca":  {sent(1, "Untrusted", "a.test", "1.mx.a.test") + sent(2, "Anonymous", "b.test", "1.mx.b.test"), "doctor.log.ca", "2 TLS sessions"},
	"relay": {sent(1, "Trusted", "c.test", "relay.test") + sent(2, "Trusted", "d.test", "relay.test") + sent(3, "Trusted", "e.test", "relay.test"),
		"doctor.log.relay", "3 domains by relay.test"},
	"waits": {sent(1, "Trusted", "x.test", "mx.x.test") + sent(2, "", "a.test", "1.mx.a.test") + sent(3, "Untrusted", "a.test", "1.mx.a.test") +
		sent(4, "Trusted", "a.test", "mx.evil.test") + sent(5, "Trusted", "a.test", "1.mx.a.test") + sent(6, "Trusted", "a.test", "2.1.mx.a.test"),
		"doctor.log.waits", "a.test: 4 of 5 deliveries: 1 without TLS; 1 to an untrusted certificate; 2 to mx.evil.test, 2.1.mx.a.test, which the policy does not name"},
	"testing does not wait": {sent(1, "Trusted", "x.test", "mx.x.test") + sent(2, "", "t.test", "1.mx.t.test"), "", ""},
	"configuration":         {sent(1, "Trusted", "x.test", "mx.x.test") + deferred("y.test", "client TLS configuration problem"), "doctor.log.configuration", "1 times"},
}

func TestLogFindings(t *testing.T) {
	for name, c := range logCases {
		r := historyOf(t, c.log)
		if codes(r.Findings) != c.codes {
			t.Errorf("%s: %q, want %q\n%+v", name, codes(r.Findings), c.codes, r)
			continue
		}
		if c.codes != "" && !strings.Contains(r.Findings[0].Found, c.says) {
			t.Errorf("%s: %+v", name, r.Findings[0])
		}
	}
}

// The numbers of a log with everything in it.
func TestHistoryCounts(t *testing.T) {
	early := ""
	for range maxEarly {
		early += sent(9, "", "v.test", "mx.v.test")
	}
	r := historyOf(t, early+sent(9, "", "b.test", "1.mx.b.test")+ // one too many before the first line about TLS: nobody knows
		sent(1, "Verified", "A.Test", "1.mx.a.test")+sent(2, "Trusted", "b.test", "1.mx.b.test")+
		sent(3, "", "b.test", "1.mx.b.test")+sent(4, "Anonymous", "b.test", "1.mx.b.test")+sent(5, "", "t.test", "1.mx.t.test")+
		sent(6, "Trusted", "x.test", "mx.x.test")+sent(7, "Untrusted", "y.test", "mx.y.test")+sent(8, "Trusted", "[192.0.2.7]", "192.0.2.7")+
		deferred("a.test", "Server certificate not verified")+deferred("a.test", "connect to mx.a.test[192.0.2.1]:25: Connection timed out")+deferred("z.test", "x"))
	want := HistoryReport{Destinations: 6, Good: 2, Enforce: 2, Testing: 1, Sent: 6, Waits: 1, Listed: []Destination{
		{Domain: "b.test", Mode: "enforce", Sent: 4, Fine: 1, Clear: 1, Unknown: 2},
		{Domain: "t.test", Mode: "testing", Sent: 1, Clear: 1},
		{Domain: "a.test", Mode: "enforce", Sent: 1, Fine: 1, Deferred: 1, OtherFail: 1},
	}}
	want.Summary, want.Findings = r.Summary, r.Findings
	if !reflect.DeepEqual(r, want) {
		t.Errorf("\n%+v, want\n%+v", r, want)
	}
	if r := historyOf(t, sent(9, "", "b.test", "1.mx.b.test")+sent(1, "Trusted", "x.test", "mx.x.test")); r.Waits != 1 {
		t.Errorf("one in front of the first: %+v", r)
	}
	if r.Attempts != 12+maxEarly || r.Connections != 6 || codes(r.Findings) != "doctor.log.waits" {
		t.Errorf("%+v", r)
	}
}

// A log of ever new destinations does not fill the memory, and the report says that it has not counted them all.
func TestHistoryIsBounded(t *testing.T) {
	const most = 1000
	h := History{Lookup: func(policy.Domain) (policy.Policy, bool) { return policy.Policy{Mode: policy.Testing}, true }, most: most}
	for i := range most + 10 {
		d, err := policy.ParseDomain(fmt.Sprintf("d%d.test", i))
		if err != nil {
			t.Fatal(err)
		}
		h.Add(maillog.Attempt{Domain: d, Status: maillog.Sent})
	}
	if r := h.Report(maillog.Summary{}); !r.AtLeast || r.Destinations != most || len(r.Listed) != most {
		t.Errorf("%t, %d destinations, %d listed", r.AtLeast, r.Destinations, len(r.Listed))
	}
}
