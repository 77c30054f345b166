package trial

import (
	"cmp"
	"encoding/json"
	"io"
	"maps"
	"slices"
	"time"

	"github.com/starttls-everywhere/policylist/mirror/durable"
	"github.com/starttls-everywhere/policylist/policy"
	"github.com/starttls-everywhere/policylist/policy/mta/maillog"
)

// Days is how many days are counted, today (UTC) and those before.
const Days = 7

// maxTally caps the tally's file, in bytes: 5,000 domains of 7 days.
const maxTally = 16 << 20

// Tally counts deliveries to listed domains by what would have become of them under enforcement. Not for concurrent use.
type Tally struct {
	Position Position `json:"position"` // in the log
	// LogsTLS is when the log last had a line about a TLS session: without any, nothing can be said (smtp_tls_loglevel).
	LogsTLS time.Time `json:"logs_tls"`
	// Omitted is how many deliveries of the last reading were to domains beyond the most that are counted.
	Omitted int           `json:"omitted,omitempty"`
	Domains []DomainTally `json:"domains"` // sorted
}

// DomainTally is one domain's count.
type DomainTally struct {
	Domain string `json:"domain"`
	Days   []Day  `json:"days"` // those with deliveries, oldest first
}

// Day counts one day's deliveries: those that went out, and those that TLS kept from it.
type Day struct {
	Date       string         `json:"date"` // in UTC, "2026-11-27"
	Deliveries int64          `json:"deliveries"`
	Verified   int64          `json:"verified"`          // as a policy demanded it
	Trusted    int64          `json:"trusted"`           // the certificate is of a trusted CA, its name was not looked at
	Unknown    int64          `json:"unknown"`           // the log does not tell
	Failed     map[Code]int64 `json:"failed,omitempty"`  // would have failed, or did
	Example    string         `json:"example,omitempty"` // the last MX host of those
}

// LoadTally reads a tally's file; without one the tally is empty.
func LoadTally(path string) (*Tally, error) {
	t := &Tally{}
	return t, readJSON(path, maxTally, t)
}

// Save writes it durably.
func (t *Tally) Save(path string) error {
	data, err := json.MarshalIndent(t, "", " ")
	if err != nil {
		return err
	}
	return durable.WriteFile(path, append(data, '\n'), filePermission)
}

// Listed returns the policy of a domain that is to be counted.
type Listed func(policy.Domain) (p policy.Policy, ok bool)

// count is a tally at work: days by domain, and what went out without a TLS line until it is known what that means.
type count struct {
	*Tally
	now    time.Time // its location is that of the log's times
	listed Listed
	days   map[string]map[string]*Day // by domain and date
	bare   map[*Day]map[string]int64  // by MX host
}

func (t *Tally) begin(now time.Time, listed Listed) *count {
	t.Omitted = 0
	c := &count{t, now, listed, make(map[string]map[string]*Day), make(map[*Day]map[string]int64)}
	for _, d := range t.Domains {
		for _, day := range d.Days {
			if c.recent(day.Date) && len(c.days) < maxDomains {
				day.Failed = maps.Clone(day.Failed)
				*c.day(d.Domain, day.Date) = day
			}
		}
	}
	return c
}

// recent reports whether the date is one of the last Days.
func (c *count) recent(date string) bool {
	today := c.now.UTC()
	return date <= today.Format(time.DateOnly) && date > today.AddDate(0, 0, -Days).Format(time.DateOnly)
}

func (c *count) day(domain, date string) *Day {
	if c.days[domain] == nil {
		c.days[domain] = make(map[string]*Day)
	}
	d := c.days[domain][date]
	if d == nil {
		d = &Day{Date: date}
		c.days[domain][date] = d
	}
	return d
}

// take counts one attempt.
func (c *count) take(a maillog.Attempt) {
	p, ok := policy.Policy{}, !a.Domain.IsZero()
	if ok {
		p, ok = c.listed(a.Domain)
	}
	code, counts := judge(a, p)
	at, dated := parseStamp(a.Stamp, c.now)
	date := at.UTC().Format(time.DateOnly)
	if !ok || !counts || !dated || !c.recent(date) {
		return
	}
	domain := a.Domain.String()
	if c.days[domain] == nil && len(c.days) >= maxDomains {
		c.Omitted++
		return
	}
	d := c.day(domain, date)
	d.Deliveries++
	switch {
	case code.Fails():
		d.fail(code, a.Host.String(), 1)
	case a.Host.IsZero(), a.Level == maillog.Anonymous:
		d.Unknown++
	case a.Level == maillog.Verified:
		d.Verified++
	case a.Level == maillog.Trusted:
		d.Trusted++
	default:
		if c.bare[d] == nil {
			c.bare[d] = make(map[string]int64)
		}
		c.bare[d][a.Host.String()]++
	}
}

func (d *Day) fail(code Code, host string, n int64) {
	if d.Failed == nil {
		d.Failed = make(map[Code]int64)
	}
	d.Failed[code] += n
	if host != "" {
		d.Example = host
	}
}

// judge tells why a delivery would have failed, as far as its own lines do; counts is false where it says nothing about the
// policy: it bounced, or waits for another reason than TLS.
func judge(a maillog.Attempt, p policy.Policy) (code Code, counts bool) {
	switch {
	case a.Status == maillog.Deferred && a.Reason == maillog.NotVerified && !a.Host.IsZero() && !p.Allows(a.Host):
		return CodeMX, true // whose certificate may be good, for its own name: forged MX records look like this
	case a.Status == maillog.Deferred && a.Reason == maillog.NotVerified:
		return CodeCertificate, true
	case a.Status == maillog.Deferred && a.Reason == maillog.NotOffered:
		return CodeClear, true
	case a.Status == maillog.Deferred && a.Reason == maillog.Handshake:
		return CodeHandshake, true
	case a.Status == maillog.Deferred && a.Reason == maillog.NotNamed: // Postfix from 3.10.5 on does not even connect
		return CodeMX, true
	case a.Status != maillog.Sent:
		return CodeUnknown, false
	case !a.Host.IsZero() && !p.Allows(a.Host):
		return CodeMX, true
	case a.Level == maillog.Untrusted:
		return CodeCertificate, true
	}
	return CodeGood, true
}

// end settles what has no TLS line: in a log that has such lines it went out in clear text, else nobody knows.
func (c *count) end(connections int64) {
	if connections > 0 {
		c.LogsTLS = c.now.UTC().Truncate(time.Second)
	}
	logged := c.now.Sub(c.LogsTLS).Abs() < Days*24*time.Hour
	for d, hosts := range c.bare {
		for host, n := range hosts {
			if logged {
				d.fail(CodeClear, host, n)
			} else {
				d.Unknown += n
			}
		}
	}
	c.Domains = nil
	for domain, days := range c.days {
		t := DomainTally{Domain: domain}
		for _, d := range days {
			t.Days = append(t.Days, *d)
		}
		slices.SortFunc(t.Days, func(a, b Day) int { return cmp.Compare(a.Date, b.Date) })
		c.Domains = append(c.Domains, t)
	}
	slices.SortFunc(c.Domains, func(a, b DomainTally) int { return cmp.Compare(a.Domain, b.Domain) })
}

// Walk counts a whole log, text or gzip, of which nothing was counted yet. now has the location of the log's times.
func (t *Tally) Walk(r io.Reader, now time.Time, listed Listed) (s maillog.Summary, err error) {
	c := t.begin(now, listed)
	err = maillog.Walk(r, nil, &s, func(a maillog.Attempt) error {
		c.take(a)
		return nil
	})
	c.end(s.Connections)
	return s, err
}

// Sum adds the days up; its Date is "".
func (d DomainTally) Sum() Day {
	sum := Day{}
	for _, day := range d.Days {
		sum.Deliveries += day.Deliveries
		sum.Verified += day.Verified
		sum.Trusted += day.Trusted
		sum.Unknown += day.Unknown
		for code, n := range day.Failed {
			sum.fail(code, day.Example, n)
		}
	}
	return sum
}

// Failures is how many would have failed.
func (d Day) Failures() (n int64) {
	for _, k := range d.Failed {
		n += k
	}
	return n
}

// parseStamp reads the time of a log's line. The traditional one has neither year nor zone: those of now count, and what
// would be more than a day ahead is of the year before.
func parseStamp(s string, now time.Time) (time.Time, bool) {
	if at, err := time.Parse(time.RFC3339, s); err == nil {
		return at, true
	}
	at, err := time.ParseInLocation(time.Stamp, s, now.Location())
	if err != nil {
		return time.Time{}, false
	}
	for _, year := range []int{now.Year(), now.Year() - 1} {
		full := time.Date(year, at.Month(), at.Day(), at.Hour(), at.Minute(), at.Second(), 0, now.Location())
		if !full.After(now.Add(24 * time.Hour)) {
			return full, true
		}
	}
	return time.Time{}, false
}
