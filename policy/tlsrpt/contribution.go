package tlsrpt

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/starttls-everywhere/policylist/policy"
	"github.com/starttls-everywhere/policylist/policy/canonical"
)

const (
	// PadTo is what a contribution's length is a multiple of, so that its size on the wire tells little of its contents.
	PadTo = 16 << 10
	// MaxContribution is the largest contribution, in bytes with its padding: some twenty thousand domains.
	MaxContribution = 512 * PadTo
	// MinSessions is how many sessions a domain must have on the day to be in a contribution: below, one person's habits show.
	MinSessions = 20
	// MaxContributionAge is how many days after its day a contribution is taken: a sender waits 2 to 26 hours from the day's end, and
	// for as long as the network or the server is away. The table of a week is made after as many days.
	MaxContributionAge = 4
)

// ErrForbidden says that a document has something in it that the contribution profile does not have.
var ErrForbidden = errors.New("not of the contribution profile")

// Contribution is what one sender tells the list of one UTC day. Its type has no room for anything that the profile forbids.
type Contribution struct {
	ID      string        // report-id: 32 lower-case hex digits, new each day, that look random
	Day     Day           // the document's date-range is the whole day
	Entries []Contributed // by Domain, then Type, each pair once; may be empty, so that silence tells nothing
}

// Contributed is what it tells of one listed domain under one kind of policy. Counts are values of Bucket.
type Contributed struct {
	Domain             policy.Domain
	Type               PolicyType          // a known one
	Successful, Failed int64               // not both 0
	Details            []ContributedDetail // by Result, then MX, each pair once
	// LookUps says that the counts are questions to a policy daemon and no sessions: it is asked before a delivery, sees whether
	// the domain's own policy could be had, and never hears how the delivery went. In the document: "policy-string":["look-ups"].
	LookUps bool
}

// lookUps marks an entry of look-ups.
const lookUps = `,"policy-string":["look-ups"]`

// ContributedDetail counts the failures of one kind.
type ContributedDetail struct {
	Result ResultType // a known one
	MX     MXKind
	Failed int64 // a bucket of at least MinSessions, at most the entry's Failed
}

// MXKind stands in the place of an MX host's name.
type MXKind string

const (
	ListedPattern MXKind = "listed-pattern" // the list's patterns for the domain allow the host
	UnlistedMX    MXKind = "unlisted-mx"    // they do not
	NoMX          MXKind = ""               // the report did not tell the host; the member is left out
)

// Bucket rounds a count down: 0 below 20, then 20, 50, 100, 500.
func Bucket(n int64) int64 {
	for _, lower := range [...]int64{500, 100, 50, MinSessions} {
		if n >= lower {
			return lower
		}
	}
	return 0
}

func isBucket(n int64) bool { return Bucket(n) == n }

// Pad appends spaces, which end a JSON text as well as nothing does, up to a multiple of PadTo.
func Pad(b []byte) []byte {
	return append(b, bytes.Repeat([]byte{' '}, (PadTo-len(b)%PadTo)%PadTo)...)
}

// MarshalContribution writes the one form of c, padded: canonical JSON (sorted members, no white space, every member there, an
// MX of NoMX excepted), which is also RFC 8460. The error wraps ErrForbidden where a value of c is not of the profile, or the whole
// is longer than MaxContribution.
func MarshalContribution(c Contribution) ([]byte, error) {
	b := fmt.Appendf(nil, `{"date-range":{"end-datetime":%q,"start-datetime":%q},"policies":[`,
		c.Day.End().Format(time.RFC3339), c.Day.Begin().Format(time.RFC3339))
	for i, e := range c.Entries {
		if i > 0 {
			b = append(b, ',')
		}
		b = e.append(b)
	}
	b = Pad(fmt.Appendf(b, `],"report-id":%q}`, c.ID))
	// The reader has all rules, so that nothing leaves that would be refused there.
	if _, err := ValidateContribution(b); err != nil {
		return nil, err
	}
	return b, nil
}

func (e Contributed) append(b []byte) []byte {
	b = append(b, `{"failure-details":[`...)
	for i, d := range e.Details {
		if i > 0 {
			b = append(b, ',')
		}
		b = fmt.Appendf(b, `{"failed-session-count":%d,`, d.Failed)
		if d.MX != NoMX {
			b = fmt.Appendf(b, `"receiving-mx-hostname":%q,`, d.MX)
		}
		b = fmt.Appendf(b, `"result-type":%q}`, d.Result)
	}
	mark := ""
	if e.LookUps {
		mark = lookUps
	}
	return fmt.Appendf(b,
		`],"policy":{"policy-domain":%q%s,"policy-type":%q},"summary":{"total-failure-session-count":%d,"total-successful-session-count":%d}}`,
		e.Domain, mark, e.Type, e.Failed, e.Successful)
}

// ValidateContribution reads a document of the profile with its padding. It takes the one form that MarshalContribution writes
// and nothing else, so that no member, spelling or white space can carry anything more. Errors wrap ErrForbidden and say at
// which byte it stopped; what they quote is escaped. Memory is in proportion to the document.
func ValidateContribution(body []byte) (Contribution, error) {
	if len(body) > MaxContribution || len(body)%PadTo != 0 {
		return Contribution{}, fmt.Errorf("%w: %d bytes; it is padded with spaces to a multiple of %d, at most %d", ErrForbidden, len(body), PadTo, MaxContribution)
	}
	text := bytes.TrimRight(body, " ")
	if len(body)-len(text) >= PadTo {
		return Contribution{}, fmt.Errorf("%w: more padding than it needs", ErrForbidden)
	}
	s := canonical.NewScanner(text)
	c := scanContribution(s)
	if err := s.Done(); err != nil {
		found := text[s.Offset():]
		return Contribution{}, fmt.Errorf("%w: %w, found %s", ErrForbidden, err, quote(string(found[:min(len(found), maxQuoted+1)])))
	}
	return c, nil
}

func scanContribution(s *canonical.Scanner) (c Contribution) {
	s.Literal(`{"date-range":{"end-datetime":`)
	end := s.Str(len(time.RFC3339))
	s.Literal(`,"start-datetime":`)
	begin := s.Str(len(time.RFC3339))
	at, err := time.Parse(time.RFC3339, begin)
	c.Day = DayOf(at)
	if err != nil || begin != c.Day.Begin().Format(time.RFC3339) || end != c.Day.End().Format(time.RFC3339) || c.Day < 0 {
		s.Fail("the range is not one whole UTC day")
	}
	s.Literal(`},"policies":[`)
	if !s.Try("]") {
		for more := s.Err() == nil; more; more = s.More("]") {
			e := scanContributed(s)
			if n := len(c.Entries); n > 0 && c.Entries[n-1].compare(e) >= 0 {
				s.Fail("entries are sorted by domain and type, each once")
			}
			c.Entries = append(c.Entries, e)
		}
	}
	s.Literal(`,"report-id":`)
	c.ID = s.Str(32)
	if !isID(c.ID) {
		s.Fail("report-id is not 32 lower-case hex digits")
	}
	s.Literal(`}`)
	return c
}

func isID(id string) bool {
	return len(id) == 32 && !slices.ContainsFunc([]byte(id), func(c byte) bool { return (c < '0' || c > '9') && (c < 'a' || c > 'f') })
}

func scanContributed(s *canonical.Scanner) (e Contributed) {
	s.Literal(`{"failure-details":[`)
	if !s.Try("]") {
		for more := s.Err() == nil; more; more = s.More("]") {
			d := scanContributedDetail(s)
			if n := len(e.Details); n > 0 && e.Details[n-1].compare(d) >= 0 {
				s.Fail("failure-details are sorted by result and MX, each once")
			}
			e.Details = append(e.Details, d)
		}
	}
	s.Literal(`,"policy":{"policy-domain":`)
	domain, err := policy.ParseDomain(s.Str(253))
	if err != nil {
		s.Fail("policy-domain is no domain in canonical form")
	}
	e.Domain = domain
	e.LookUps = s.Try(lookUps)
	s.Literal(`,"policy-type":`)
	known := false
	if e.Type, known = ParsePolicyType(s.Str(32)); !known {
		s.Fail("policy-type is not one of RFC 8460's")
	}
	s.Literal(`},"summary":{"total-failure-session-count":`)
	e.Failed = s.Int()
	s.Literal(`,"total-successful-session-count":`)
	e.Successful = s.Int()
	s.Literal(`}}`)
	e.check(s)
	return e
}

func (e Contributed) check(s *canonical.Scanner) {
	if !isBucket(e.Failed) || !isBucket(e.Successful) {
		s.Fail("a number of sessions is not a bucket")
	}
	if e.Failed == 0 && e.Successful == 0 {
		s.Fail("a domain with fewer than %d sessions", MinSessions)
	}
	for _, d := range e.Details {
		if d.Failed > e.Failed {
			s.Fail("more failures of one kind than there are")
		}
	}
}

func scanContributedDetail(s *canonical.Scanner) (d ContributedDetail) {
	s.Literal(`{"failed-session-count":`)
	if d.Failed = s.Int(); d.Failed == 0 || !isBucket(d.Failed) {
		s.Fail("failed-session-count is not a bucket")
	}
	s.Literal(`,`)
	if s.Try(`"receiving-mx-hostname":`) {
		if d.MX = MXKind(s.Str(32)); d.MX != ListedPattern && d.MX != UnlistedMX {
			s.Fail("receiving-mx-hostname is neither %q nor %q", ListedPattern, UnlistedMX)
		}
		s.Literal(`,`)
	}
	s.Literal(`"result-type":`)
	known := false
	if d.Result, known = ParseResultType(s.Str(32)); !known {
		s.Fail("result-type is not one of RFC 8460's")
	}
	s.Literal(`}`)
	return d
}

func (e Contributed) compare(f Contributed) int {
	return cmp.Or(cmp.Compare(e.Domain.String(), f.Domain.String()), cmp.Compare(e.Type, f.Type))
}

func (d ContributedDetail) compare(e ContributedDetail) int {
	return cmp.Or(cmp.Compare(d.Result, e.Result), cmp.Compare(d.MX, e.MX))
}

// Report returns c as a report, for Tallies and for readers of reports. Its MX hosts are MXKinds. Entries of look-ups are not in
// it: they count no sessions.
func (c Contribution) Report() *Report {
	r := &Report{ID: c.ID, Begin: c.Day.Begin(), End: c.Day.End()}
	for _, e := range c.Entries {
		if e.LookUps {
			continue
		}
		p := Policy{Type: e.Type, Domain: e.Domain, Successful: e.Successful, Failed: e.Failed}
		for _, d := range e.Details {
			p.Details = append(p.Details, Detail{Result: d.Result, ReceivingMX: string(d.MX), Failed: d.Failed})
		}
		r.Policies = append(r.Policies, p)
	}
	return r
}
