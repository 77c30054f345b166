package tlsrpt_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/starttls-everywhere/policylist/policy/tlsrpt"
)

// ranged is a report of 10 January 2026 with these policies.
func ranged(policies string) string {
	return `{"report-id":"r1","date-range":{"start-datetime":"2026-01-10T00:00:00Z","end-datetime":"2026-01-10T23:59:59Z"},"policies":[` + policies + `]}`
}

// entry is one policy: "sts d.example 7/2 certificate-expired=2".
func entry(text string) string {
	fields := strings.Fields(text)
	var ok, failed int
	fmt.Sscanf(fields[2], "%d/%d", &ok, &failed)
	var details []string
	for _, f := range fields[3:] {
		result, n, _ := strings.Cut(f, "=")
		details = append(details, fmt.Sprintf(`{"result-type":%q,"failed-session-count":%s}`, result, n))
	}
	return fmt.Sprintf(`{"policy":{"policy-type":%q,"policy-domain":%q},"summary":{"total-successful-session-count":%d,"total-failure-session-count":%d},"failure-details":[%s]}`,
		fields[0], fields[1], ok, failed, strings.Join(details, ","))
}

func entries(texts ...string) string {
	var all []string
	for _, t := range texts {
		all = append(all, entry(t))
	}
	return ranged(strings.Join(all, ","))
}

// show writes tallies as a person would: "d.example 2026-01-10 7 sessions 2 failed; sts 5/2 certificate-expired=2".
func show(tallies []tlsrpt.Tally) string {
	var lines []string
	for _, t := range tallies {
		name := t.Domain.String()
		if t.Domain.IsZero() {
			name = "unattributed"
		}
		line := fmt.Sprintf("%s %s %d sessions %d failed", name, t.Day, t.Sessions, t.Failed)
		for _, p := range t.Policies {
			line += fmt.Sprintf("; %s %d/%d", p.Type, p.Successful, p.Failed)
			for _, r := range p.Results {
				line += fmt.Sprintf(" %s=%d", r.Result, r.Sessions)
			}
		}
		lines = append(lines, line)
	}
	return strings.Join(lines, "\n")
}

// Case 8: sts and tlsa entries describe the same sessions.
func TestTalliesCountSessionsOnce(t *testing.T) {
	for _, c := range []struct {
		name   string
		report string
		want   string
	}{
		{"both saw the same seven", entries("sts d.example 7/0", "tlsa d.example 7/0"),
			"d.example 2026-01-10 7 sessions 0 failed; sts 7/0; tlsa 7/0"},
		{"the tlsa entries name MX hosts", entries("sts d.example 7/0", "tlsa mx1.d.example 4/0", "tlsa mx2.d.example 2/1"),
			"d.example 2026-01-10 7 sessions 1 failed; sts 7/0; tlsa 6/1"},
		{"the policy changed at noon", entries("sts d.example 3/0", "sts d.example 4/1 sts-policy-invalid=1"),
			"d.example 2026-01-10 8 sessions 1 failed; sts 7/1 sts-policy-invalid=1"},
		{"no policy in the morning", entries("no-policy-found d.example 3/0", "sts d.example 4/1"),
			"d.example 2026-01-10 8 sessions 1 failed; no-policy-found 3/0; sts 4/1"},
		{"two domains", entries("sts d.example 7/0", "sts e.example 1/2", "tlsa mx.d.example 7/0"),
			"d.example 2026-01-10 7 sessions 0 failed; sts 7/0\ne.example 2026-01-10 3 sessions 2 failed; sts 1/2\nmx.d.example 2026-01-10 7 sessions 0 failed; tlsa 7/0"},
		{"numbers beyond all sense", entries("sts d.example 9007199254740991/9007199254740991"),
			"d.example 2026-01-10 9007199254740991 sessions 9007199254740991 failed; sts 9007199254740991/9007199254740991"},
	} {
		if got := show(tlsrpt.Tallies(read(t, c.report))); got != c.want {
			t.Errorf("%s:\n%s\nwant\n%s", c.name, got, c.want)
		}
	}
}
