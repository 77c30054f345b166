package leaveout

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/starttls-everywhere/policylist/mirror/socketmap"
	"github.com/starttls-everywhere/policylist/policy"
)

// A domain is left out for a policy of its own that says something else than the list, as long as it is valid and confirmed.
func TestReasons(t *testing.T) {
	now := time.Date(2026, 3, 10, 12, 0, 0, 0, time.UTC)
	const listed = "mx1.a.example .mail.a.example"
	asked := now.Add(-time.Hour)
	for _, c := range []struct {
		name    string
		own     string // mode and mx of the MTA-STS policy; "" for none
		fetched time.Time
		at      time.Time // of the last answer
		mxs     string    // of the list
		why     string    // "" for not left out
	}{
		{"none", "", asked, asked, listed, ""},
		{"the same", "enforce mx1.a.example *.mail.a.example", asked, asked, listed, ""},
		{"in another order", "enforce *.mail.a.example mx1.a.example", asked, asked, listed, ""},
		{"in another spelling", "enforce *.Mail.A.example. MX1.a.example", asked, asked, listed, ""},
		{"fewer hosts", "enforce mx1.a.example", asked, asked, listed, "says by MTA-STS: enforce mx1.a.example"},
		{"more hosts", "enforce mx1.a.example *.mail.a.example mx2.a.example", asked, asked, listed, "mx2.a.example"},
		{"a name for a pattern", "enforce mx1.a.example mail.a.example", asked, asked, listed, "mail.a.example"},
		{"testing", "testing mx1.a.example *.mail.a.example", asked, asked, listed, "says by MTA-STS: testing"},
		{"none any more", "none", asked, asked, listed, "says by MTA-STS: none"},
		{"expired", "testing mx1.a.example", now.Add(-31 * 24 * time.Hour), asked, listed, ""},
		{"not confirmed today", "testing mx1.a.example", asked.Add(-48 * time.Hour), asked.Add(-48 * time.Hour), listed, "and no more when asked"},
		{"not confirmed for a week", "testing mx1.a.example", asked.Add(-unconfirmed), asked.Add(-unconfirmed), listed, ""},
		{"answered by a clock that was ahead", "testing mx1.a.example", asked, asked.Add(unconfirmed), listed, ""},
		{"answered by a clock that was a bit ahead", "testing mx1.a.example", asked, asked.Add(time.Hour), listed, "says by MTA-STS: testing"},
		{"never answered", "testing mx1.a.example", asked, time.Time{}, listed, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "book")
			if c.own != "" {
				fields := strings.Fields(c.own)
				text := "version: STSv1\nmode: " + fields[0] + "\nmax_age: 2592000\n"
				for _, mx := range fields[1:] {
					text += "mx: " + mx + "\n"
				}
				line, err := json.Marshal(map[string]any{"domain": "a.example", "id": "1", "fetched": c.fetched, "text": text})
				if err == nil {
					err = os.WriteFile(path+policiesSuffix, append(line, '\n'), 0o644)
				}
				if err != nil {
					t.Fatal(err)
				}
			}
			d := domain(t, "a.example")
			line := Answer{Asked: asked, STSAt: c.at}.format(d) + "\n"
			if err := os.WriteFile(path, []byte(line), 0o644); err != nil {
				t.Fatal(err)
			}
			b, err := Open(path, &socketmap.Live{Now: func() time.Time { return now }})
			if err != nil {
				t.Fatal(err)
			}
			p := policy.Policy{Mode: policy.Enforce}
			for _, mx := range strings.Fields(c.mxs) {
				m, err := policy.ParseMXPattern(mx)
				if err != nil {
					t.Fatal(err)
				}
				p.MXs = append(p.MXs, m)
			}
			why, out := b.Reason(d, p, Sources{STS: true})
			if out != (c.why != "") || !strings.Contains(why.Text, c.why) || out && why.Source != "mta-sts" {
				t.Errorf("left out: %t: %+v", out, why)
			}
			if _, out := b.Reason(d, p, Sources{DANE: true}); out {
				t.Error("left out for a source that does not count")
			}
			if _, out := b.Reason(domain(t, "b.example"), p, Sources{DANE: true, STS: true}); out {
				t.Error("who was never asked is left out")
			}
		})
	}
}
