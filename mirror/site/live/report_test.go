package live

import (
	"strings"
	"testing"

	"github.com/starttls-everywhere/policylist/policy"
	"github.com/starttls-everywhere/policylist/policy/records"
)

// Whatever a domain's servers say, the page stays a page, and small.
func TestHostileReport(t *testing.T) {
	const evil = "<script>alert(1)</script>\" onload=x ' javascript:alert(1)"
	const dirty = evil + "\u202e\x1b[2J" // in what servers say; the rest is of our own formats
	w := newWorld(t, func(o *Options) { o.Repository = "https://github.com/operator/list" })
	w.report = func(d policy.Domain) (Report, error) {
		long, longest := strings.Repeat(dirty, 100), []string{strings.Repeat(dirty, 10000)}
		r := Report{Verdict: evil, NoEntry: dirty, Way: dirty, Proof: []string{evil}, Entry: &Entry{Path: evil, File: evil, New: true}}
		for range 5000 {
			r.Findings = append(r.Findings, policy.Finding{Code: evil, Severity: evil, Summary: long, Fix: evil})
			r.Records = append(r.Records, records.Record{Kind: evil, Name: evil, Type: evil, Value: evil, State: evil, Note: dirty, Now: longest})
		}
		return r, nil
	}
	page := w.read(w.ask("evil.example", home))
	for _, bad := range []string{"\u202e", "\x1b", "<script>alert", "onload=x '", `href="javascript`, "class=\"lead verdict <"} {
		if strings.Contains(page, bad) {
			t.Errorf("the page has %s", bad)
		}
	}
	if n := strings.Count(page, "<script"); n != 1 || len(page) > 1<<20 || !strings.Contains(page, "And 4900 more.") {
		t.Errorf("%d scripts, %d bytes", n, len(page))
	}
}

// A link carries the entry where it is short enough, and the repository is on GitHub; else the text has to do.
func TestLink(t *testing.T) {
	short := Entry{Path: "list/domains/a.example.json", File: "{\"a\": \"b&c=d#e\"}\n", New: true}
	for _, c := range []struct {
		name, repository string
		change           func(*Entry)
		link             string
		long             bool
	}{
		{"short", "https://github.com/operator/list/", func(*Entry) {}, "https://github.com/operator/list/new/main?filename=list%2Fdomains%2Fa.example.json&message=Add+a.example&value=%7B%22a%22%3A+%22b%26c%3Dd%23e%22%7D%0A", false},
		{"long", "https://github.com/operator/list", func(e *Entry) { e.File = strings.Repeat("x", maxLink) }, "", true},
		{"listed", "https://github.com/operator/list", func(e *Entry) { e.New = false }, "", false},
		{"elsewhere", "https://forge.example/operator/list", func(*Entry) {}, "", false},
		{"nowhere", "", func(*Entry) {}, "", false},
		{"clear", "http://github.com/operator/list", func(*Entry) {}, "", false},
	} {
		e := short
		c.change(&e)
		if e.fillLink(c.repository, "main", "a.example"); e.Link != c.link || e.TooLong != c.long {
			t.Errorf("%s: %q, %t", c.name, e.Link, e.TooLong)
		}
	}
}
