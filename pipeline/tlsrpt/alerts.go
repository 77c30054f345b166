package tlsrpt

import (
	"cmp"
	"context"
	"fmt"
	"iter"
	"slices"

	"github.com/starttls-everywhere/policylist/pipeline/tlsrpt/cells"
	"github.com/starttls-everywhere/policylist/policy"
	"github.com/starttls-everywhere/policylist/policy/tlsrpt"
)

// How many days alerts look at: those of the present, and those before, with which they are compared.
const (
	alertDays  = 7
	alertPast  = 28
	alertLeast = 20 // sessions, below which a day says nothing
)

// Codes of alerts.
const (
	codeSTSSuppressed = "feedback.sts-suppressed"
	codeOnePlace      = "feedback.starttls-one-place"
	codeUnlistedMX    = "feedback.unlisted-mx"
	codeProvider      = "feedback.provider-alert"
)

// Codes explains the codes of alerts, and what contributors are told.
func Codes() []policy.Code {
	c := func(id, summary, fix string) policy.Code {
		return policy.Code{ID: id, Rules: []string{"R38"}, Severity: policy.Warning, Summary: summary, Fix: fix}
	}
	return []policy.Code{
		c(codeSTSSuppressed, "who reported sessions under the domain's MTA-STS policy finds no policy any more: it may be kept from looking it up",
			"look up _mta-sts and the policy from several networks; if they are there, tell the reporter that somebody filters its DNS or HTTPS"),
		c(codeOnePlace, "one reporter gets no STARTTLS where all others do: it may be stripped on the way from that one",
			"tell the reporter to connect from another network, and to ask who is between it and the MX hosts"),
		c(codeUnlistedMX, "a sender was led to an MX host that the list does not allow, and whose certificate does not name it: its DNS may be forged",
			"compare the MX records that several resolvers give with the list's entry; where the domain has moved, the entry follows by its row of the change table"),
		c(codeProvider, "several domains of one provider show the same: one incident of the provider's",
			"look at the provider's hosts first, and tell it"),
		{ID: string(tlsrpt.NoticeCanary), Rules: []string{"R20"}, Severity: policy.Warning,
			Summary: "a contributor delivers to a canary domain, which is broken on purpose: its mail server does not enforce the list",
			Fix:     "the contributor's starttls-policy shows it; starttls-policy doctor there finds out why"},
	}
}

// Alerts are what reports of the last days say that somebody should look at, about listed domains. They rest on single
// reporters, so they are for the operator's eyes: what everybody may see comes of the tables.
func (s *Store) Alerts(ctx context.Context, listed cells.Listed) ([]policy.Finding, error) {
	today := tlsrpt.DayOf(s.opts.Now())
	var out []policy.Finding
	err := s.observe(ctx, today-alertDays-alertPast, today, func(seen iter.Seq[cells.Observation]) { out = alertsOf(seen, today, listed) })
	if err != nil {
		return nil, err
	}
	return out, nil
}

// place is what one reporter said of one domain, before and in the last days: sessions, as sums.
type place struct {
	pastSTS, nowSTS int64      // under an MTA-STS policy
	lastSTS         tlsrpt.Day // when there were any; 0 for never
	// Of the last days: under no policy, by how many days ago; all; those that failed for STARTTLS, and at hosts that are not listed.
	none                      [alertDays]int64
	sessions, clear, unlisted int64
}

func (p *place) add(o cells.Observation, ago tlsrpt.Day) {
	now := ago < alertDays
	more := func(sum *int64, n int64) { *sum = min(*sum+max(n, 0), tlsrpt.MaxCount) }
	if o.UnderSTS > 0 {
		p.lastSTS = max(p.lastSTS, o.Day)
	}
	if !now {
		more(&p.pastSTS, o.UnderSTS)
		return
	}
	more(&p.nowSTS, o.UnderSTS)
	more(&p.none[ago], o.UnderNone)
	more(&p.sessions, o.Sessions)
	more(&p.clear, o.Failed[tlsrpt.ClassNoSTARTTLS])
	more(&p.unlisted, o.Unlisted)
}

// lost is how many sessions there were under no policy, since the last under MTA-STS.
func (p *place) lost(today tlsrpt.Day) (n int64) {
	for ago := range tlsrpt.Day(alertDays) {
		if today-ago > p.lastSTS {
			n = min(n+p.none[ago], tlsrpt.MaxCount)
		}
	}
	return n
}

// alertsOf is Alerts, of observations and a day.
func alertsOf(seen iter.Seq[cells.Observation], today tlsrpt.Day, listed cells.Listed) []policy.Finding {
	domains := map[policy.Domain]map[string]*place{}
	for o := range seen {
		ago := today - o.Day
		if _, ok := listed(o.Domain); !ok || ago < 0 || ago >= alertDays+alertPast {
			continue
		}
		who := fmt.Sprint(o.Loop, " ", o.Contributor)
		if domains[o.Domain] == nil {
			domains[o.Domain] = map[string]*place{}
		}
		p := domains[o.Domain][who]
		if p == nil {
			p = &place{}
			domains[o.Domain][who] = p
		}
		p.add(o, ago)
	}
	var out []policy.Finding
	for d, places := range domains {
		for _, a := range []struct{ code, what string }{
			{codeSTSSuppressed, suppressed(places, today)}, {codeOnePlace, stripped(places)}, {codeUnlistedMX, strayed(places)},
		} {
			if a.what != "" {
				out = append(out, alert(a.code, d.String(), a.what))
			}
		}
	}
	return incidents(out, listed)
}

// suppressed looks for reporters whose last sessions under MTA-STS lie before sessions without any policy. A contributor is known
// by the month's pseudonym only, so what it had in another month is forgotten.
func suppressed(places map[string]*place, today tlsrpt.Day) string {
	had, lost := 0, 0
	for _, p := range places {
		if p.pastSTS < alertLeast && p.nowSTS < alertLeast {
			continue
		}
		if had++; p.lost(today) >= alertLeast {
			lost++
		}
	}
	if lost == 0 {
		return ""
	}
	return fmt.Sprintf("%d of %d reporters with an MTA-STS policy", lost, had)
}

// stripped looks for one reporter that gets no STARTTLS half of the time where two others always do.
func stripped(places map[string]*place) string {
	without, with := 0, 0
	for _, p := range places {
		switch {
		case p.sessions < alertLeast:
		case p.clear == 0:
			with++
		case p.clear >= p.sessions/2:
			without++
		default:
			return "" // it fails elsewhere, too
		}
	}
	if without != 1 || with < 2 {
		return ""
	}
	return fmt.Sprintf("1 of %d reporters", with+1)
}

// strayed looks for certificates that do not match at MX hosts that the list does not allow.
func strayed(places map[string]*place) string {
	n := 0
	for _, p := range places {
		if p.unlisted >= alertLeast {
			n++
		}
	}
	if n == 0 {
		return ""
	}
	return fmt.Sprintf("%d of %d reporters", n, len(places))
}

// incidents puts one alert about a provider in the place of many about its domains, and sorts.
func incidents(alerts []policy.Finding, listed cells.Listed) []policy.Finding {
	type key struct{ code, provider string }
	groups := map[key][]policy.Finding{}
	for _, a := range alerts {
		d, err := policy.ParseDomain(a.Domain)
		if err != nil {
			continue
		}
		p, _ := listed(d)
		groups[key{a.Code, p}] = append(groups[key{a.Code, p}], a)
	}
	var out []policy.Finding
	for k, of := range groups {
		if len(of) < cells.IncidentDomains {
			out = append(out, of...)
			continue
		}
		out = append(out, alert(codeProvider, "", fmt.Sprintf("%s: %d domains, %s", k.provider, len(of), k.code)))
	}
	slices.SortFunc(out, func(a, b policy.Finding) int {
		return cmp.Or(cmp.Compare(a.Code, b.Code), cmp.Compare(a.Domain, b.Domain), cmp.Compare(a.Summary, b.Summary))
	})
	return out
}

func alert(code, domain, what string) policy.Finding {
	for _, c := range Codes() {
		if c.ID == code {
			return policy.Finding{Code: code, Severity: c.Severity, Domain: domain, Summary: what + ": " + c.Summary, Fix: c.Fix}
		}
	}
	return policy.Finding{Code: code, Severity: policy.Error, Domain: domain, Summary: what}
}

// CanaryNotices is what a contributor is told: that it delivered to a canary, if it did. For IntakeOptions.Notices.
func CanaryNotices(canaries []policy.Domain) func(tlsrpt.Contribution) []tlsrpt.Notice {
	return func(c tlsrpt.Contribution) []tlsrpt.Notice {
		for _, e := range c.Entries {
			if e.Successful > 0 && !e.LookUps && slices.Contains(canaries, e.Domain) {
				return []tlsrpt.Notice{tlsrpt.NoticeCanary}
			}
		}
		return nil
	}
}
