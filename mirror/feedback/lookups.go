package feedback

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"sync"

	"github.com/starttls-everywhere/policylist/mirror/durable"
	"github.com/starttls-everywhere/policylist/mirror/socketmap"
	"github.com/starttls-everywhere/policylist/policy"
	"github.com/starttls-everywhere/policylist/policy/tlsrpt"
)

// LookupsFile is where the daemon keeps what Lookups has counted.
const LookupsFile = "feedback-lookups.json"

const (
	// maxDomains caps what is counted on a day, as the tally of a log is capped.
	maxDomains = 5000
	// lookupDays are kept: today and those that may still be sent.
	lookupDays = 8
	maxLookups = 16 << 20 // bytes
)

// Asked is how the look-ups of one domain's own policy went on one day.
type Asked struct {
	TLSA    int64 `json:"tlsa,omitempty"`    // it had usable DANE
	STS     int64 `json:"sts,omitempty"`     // it had a valid MTA-STS policy
	Neither int64 `json:"neither,omitempty"` // it has none, and only the list protects it
	Failed  int64 `json:"failed,omitempty"`  // whether it has an MTA-STS policy could not be seen, or one that it had is no longer confirmed
}

// Lookups counts the daemon's own decisions about listed domains. It knows how often a mail server asked and what the domain
// published at that time, and never how a delivery went. The zero value is ready. Safe for concurrent use.
type Lookups struct {
	mu      sync.Mutex
	days    map[tlsrpt.Day]map[string]*Asked // by domain
	omitted int64
}

// Count takes one decision. Listed says whether the domain is on the list that is told; it is asked once a day for each domain
// that is, and each time for others.
func (l *Lookups) Count(day tlsrpt.Day, c socketmap.Decision, listed func(policy.Domain) bool) {
	switch c.Source {
	case socketmap.SourceDANE, socketmap.SourceSTS, socketmap.SourceList:
	default:
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	a := l.days[day][c.Domain.String()]
	if a == nil {
		if !listed(c.Domain) {
			return
		}
		if a = l.begin(day, c.Domain.String()); a == nil {
			l.omitted++
			return
		}
	}
	switch {
	case c.Downgrade != "":
		a.Failed++
	case c.Source == socketmap.SourceDANE:
		a.TLSA++
	case c.Source == socketmap.SourceSTS:
		a.STS++
	default:
		a.Neither++
	}
}

// begin returns nil where there is no room.
func (l *Lookups) begin(day tlsrpt.Day, domain string) *Asked {
	if l.days == nil {
		l.days = map[tlsrpt.Day]map[string]*Asked{}
	}
	if l.days[day] == nil {
		l.days[day] = map[string]*Asked{}
		for old := range l.days {
			if old <= day-lookupDays {
				delete(l.days, old)
			}
		}
	}
	if len(l.days[day]) >= maxDomains {
		return nil
	}
	a := &Asked{}
	l.days[day][domain] = a
	return a
}

// lookupsFile is the file's JSON.
type lookupsFile struct {
	Omitted int64                            `json:"omitted,omitempty"` // look-ups of domains beyond the most that are counted
	Days    map[tlsrpt.Day]map[string]*Asked `json:"days"`
}

// Save writes what was counted, durably.
func (l *Lookups) Save(path string) error {
	l.mu.Lock()
	data, err := json.MarshalIndent(lookupsFile{l.omitted, l.days}, "", " ")
	l.mu.Unlock()
	if err != nil {
		return err
	}
	return durable.WriteFile(path, append(data, '\n'), filePermission)
}

// Load reads what Save wrote, in place of what was counted. Without a file nothing was.
func (l *Lookups) Load(path string) error {
	data, err := readFile(path, maxLookups)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	var f lookupsFile
	if err == nil {
		err = json.Unmarshal(data, &f)
	}
	for _, domains := range f.Days {
		for name, a := range domains {
			if a == nil || min(a.TLSA, a.STS, a.Neither, a.Failed) < 0 {
				delete(domains, name)
			}
		}
	}
	if err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.days, l.omitted = f.Days, f.Omitted
	return nil
}

// Contribution makes a day's contribution of what was counted. Its entries are marked: look-ups are no sessions.
func (l *Lookups) Contribution(key Key, day tlsrpt.Day, listed func(policy.Domain) (policy.Policy, bool)) tlsrpt.Contribution {
	l.mu.Lock()
	defer l.mu.Unlock()
	r := &tlsrpt.Report{Begin: day.Begin(), End: day.End()}
	for name, a := range l.days[day] {
		d, err := policy.ParseDomain(name)
		if err != nil {
			continue
		}
		sts := tlsrpt.Policy{Type: tlsrpt.STS, Domain: d, Successful: a.STS, Failed: a.Failed}
		if a.Failed > 0 {
			sts.Details = []tlsrpt.Detail{{Result: tlsrpt.STSPolicyFetchError, Failed: a.Failed}}
		}
		r.Policies = append(r.Policies, sts, tlsrpt.Policy{Type: tlsrpt.TLSA, Domain: d, Successful: a.TLSA},
			tlsrpt.Policy{Type: tlsrpt.NoPolicyFound, Domain: d, Successful: a.Neither})
	}
	c := tlsrpt.Scrub([]*tlsrpt.Report{r}, day, reportID(key, day), listed)
	for i := range c.Entries {
		c.Entries[i].LookUps = true
	}
	return c
}
