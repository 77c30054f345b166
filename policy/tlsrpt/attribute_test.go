package tlsrpt_test

import (
	"testing"
	"time"

	"github.com/starttls-everywhere/policylist/policy"
	"github.com/starttls-everywhere/policylist/policy/tlsrpt"
)

func TestParseFileName(t *testing.T) {
	for s, want := range map[string]string{
		"mail.sender.example!d.example!1768003200!1768089599.json":               "mail.sender.example d.example 2026-01-10",
		"mail.sender.example!d.example!1768003200!1768089599!xyz.json.gz":        "mail.sender.example d.example 2026-01-10",
		"mail.sender.example!d.example!1768003200!1768089599!a!b.json.gz":        "mail.sender.example d.example 2026-01-10",
		"/spool/new/Mail.Sender.Example!D.Example!1768003200!1768089599.json.gz": "mail.sender.example d.example 2026-01-10",
		`C:\spool\sender.example!d.example!1768003200!1768089599.json`:           "sender.example d.example 2026-01-10",
		"report.json": "",
		"sender.example!d.example!1768003200.json":               "",
		"sender.example!d example!1768003200!1768089599.json":    "",
		"sender.example!d.example!-1!1768089599.json":            "",
		"sender.example!d.example!now!1768089599.json":           "",
		"sender.example!d.example!1768003200!1e9.json":           "",
		"sender.example!d.example!99999999999999!1768089599.gz":  "",
		"sender.example!d.example!1768003200!1768089599!a!b!c.z": "",
		"": "",
	} {
		f, ok := tlsrpt.ParseFileName(s)
		got := ""
		if ok {
			got = f.Sender.String() + " " + f.Domain.String() + " " + f.Begin.Format(time.DateOnly)
		}
		if got != want {
			t.Errorf("%s: %q, want %q", s, got, want)
		}
	}
}

// What is known of a report's transport fills in what the report does not say, and never moves what it does.
func TestAttribute(t *testing.T) {
	const silent = `{"policy":{"policy-type":"no-policy-found"},"summary":{"total-successful-session-count":7}}`
	name := "sender.example!named.example!1768003200!1768089599.json"
	received := time.Date(2026, 1, 11, 2, 0, 0, 0, time.UTC)
	for _, c := range []struct {
		why    string
		report string
		hint   tlsrpt.Hint
		want   string
	}{
		{"the transport comes first", ranged(silent), tlsrpt.Hint{Domain: domain(t, "told.example"), FileName: name},
			"told.example 2026-01-10 7 sessions 0 failed; no-policy-found 7/0"},
		{"then the file name", ranged(silent), tlsrpt.Hint{FileName: name}, "named.example 2026-01-10 7 sessions 0 failed; no-policy-found 7/0"},
		{"a domain stays", entries("sts d.example 7/0"), tlsrpt.Hint{Domain: domain(t, "told.example"), FileName: name},
			"d.example 2026-01-10 7 sessions 0 failed; sts 7/0"},
		{"hosts are the recipient's", entries("tlsa mx.provider.example 7/0"), tlsrpt.Hint{Domain: domain(t, "told.example")},
			"told.example 2026-01-10 7 sessions 0 failed; tlsa 7/0"},
		{"but not of a report that tells of others", entries("tlsa mx.provider.example 7/0", "sts d.example 1/0"), tlsrpt.Hint{Domain: domain(t, "told.example")},
			"d.example 2026-01-10 1 sessions 0 failed; sts 1/0\nmx.provider.example 2026-01-10 7 sessions 0 failed; tlsa 7/0"},
		{"a day stays", entries("sts d.example 7/0"), tlsrpt.Hint{Received: received.AddDate(0, 0, 9)}, "d.example 2026-01-10 7 sessions 0 failed; sts 7/0"},
		{"a day from the file name", `{"policies":[` + entry("sts d.example 7/0") + `]}`, tlsrpt.Hint{FileName: name, Received: received.AddDate(0, 0, 9)},
			"d.example 2026-01-10 7 sessions 0 failed; sts 7/0"},
		{"the day before it came", `{"policies":[` + entry("sts d.example 7/0") + `]}`, tlsrpt.Hint{Received: received}, "d.example 2026-01-10 7 sessions 0 failed; sts 7/0"},
		{"no day at all", `{"policies":[` + entry("sts d.example 7/0") + `]}`, tlsrpt.Hint{}, ""},
	} {
		r := read(t, c.report)
		r.Attribute(c.hint)
		if got := show(tlsrpt.Tallies(r)); got != c.want {
			t.Errorf("%s: %s, want %s", c.why, got, c.want)
		}
	}
}

// The key of a report tells apart what is not the same report, and has one form whatever a sender writes.
func TestKey(t *testing.T) {
	r := read(t, plain)
	sender, d := domain(t, "sender.example"), domain(t, "company-y.example")
	key := r.Key(sender, d)
	if again := read(t, string(zip(t, plain))).Key(sender, d); again != key || len(key.Digest()) != 64 || again.Digest() != key.Digest() {
		t.Errorf("%+v, %+v", key, again)
	}
	seen := map[string]string{key.Digest(): "the report"}
	for name, other := range map[string]tlsrpt.Key{
		"another sender": r.Key(domain(t, "other.example"), d), "nobody": r.Key(policy.Domain{}, d), "another domain": r.Key(sender, sender),
		"another id": {Submitter: sender, ReportID: "x", Begin: key.Begin, End: key.End, Domain: d},
		"its end":    {Submitter: sender, ReportID: key.ReportID, Begin: key.Begin, End: key.End + 1, Domain: d},
		"no range":   {Submitter: sender, ReportID: key.ReportID, Domain: d},
		"fields run together": {Submitter: sender, ReportID: key.ReportID + d.String()[:2], Begin: key.Begin, End: key.End,
			Domain: domain(t, d.String()[2:])},
	} {
		if before, double := seen[other.Digest()]; double {
			t.Errorf("%s has the key of %s", name, before)
		}
		seen[other.Digest()] = name
	}
}

func FuzzParseFileName(f *testing.F) {
	f.Add("mail.sender.example!d.example!1768003200!1768089599!xyz.json.gz")
	f.Add(`C:\a/b!c.example!1!2!3!4`)
	f.Fuzz(func(t *testing.T, s string) {
		name, ok := tlsrpt.ParseFileName(s)
		if ok && (name.Sender.IsZero() || name.Domain.IsZero() || name.Begin.Year() > 40000) {
			t.Errorf("%+v", name)
		}
	})
}
