package tlsrpt

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"

	"github.com/starttls-everywhere/policylist/policy"
	"github.com/starttls-everywhere/policylist/policy/tlsrpt"
)

// How old a report may be when it comes, and how far its day may be ahead. Senders send within a day and retry for one more
// (RFC 8460 section 5.5); what lies longer in somebody's folder still counts. A day ahead is a sender in another time zone.
const (
	maxReportAge   = 30
	maxReportAhead = 1
)

// Via is the way that a document came.
type Via string

const (
	ViaMail  Via = "mail"  // RFC 8460 section 5.3
	ViaHTTPS Via = "https" // RFC 8460 section 5.4
	ViaFile  Via = "file"  // by the operator's hand
)

// Document is a report on its way into the store.
type Document struct {
	Report *tlsrpt.Report // read and attributed
	Body   []byte         // as received, gzip or JSON
	Via    Via
	// Submitter is who is proven to have sent it; zero for nobody. Only then it counts.
	Submitter policy.Domain
	// Recipient is whose address it was sent to: it counts for no other domain. Zero: for any that is enrolled.
	Recipient policy.Domain
}

// Outcome is what became of a document.
type Outcome struct {
	// Counted are the domains whose tallies have grown: those that count when Authenticated, else those that are only shown.
	Counted       []policy.Domain
	Authenticated bool
	Duplicates    int // domains of which it said the same before
	Foreign       int // domains that are not enrolled; what it says of them is dropped
	Unattributed  int64
	Empty         bool // it counts no session at all
}

// Refusals of a document; each is its sender's mistake.
var (
	ErrNoDay     = errors.New("the report has no date range")
	ErrOutOfTime = errors.New("the report's day is out of time")
)

// Add stores a document. It is durable when Add returns nil, also for a duplicate. Errors are those of a store, ErrNoDay
// and ErrOutOfTime.
func (s *Store) Add(ctx context.Context, d Document) (Outcome, error) {
	var out Outcome
	day, ok := d.Report.Day()
	if !ok {
		return out, ErrNoDay
	}
	if today := tlsrpt.DayOf(s.opts.Now()); day < today-maxReportAge || day > today+maxReportAhead {
		return out, fmt.Errorf("%w: %s is not of the last %d days", ErrOutOfTime, day, maxReportAge)
	}
	tallies := tlsrpt.Tallies(d.Report)
	line := newLine(d)
	err := s.submit(ctx, func(t *transaction) (refusal, failure error) {
		out = Outcome{Authenticated: !d.Submitter.IsZero(), Empty: true}
		var fresh []tlsrpt.Tally
		for _, tally := range tallies {
			if tally.Sessions > 0 || len(tally.Policies) > 0 {
				out.Empty = false
			}
			switch known, err := t.sort(&out, d, tally); {
			case err != nil:
				return nil, err
			case known:
				fresh = append(fresh, tally)
			}
		}
		if len(fresh) > 0 {
			if refusal, failure = t.keepLine(line, out, fresh); refusal != nil || failure != nil {
				return refusal, failure
			}
		}
		for _, tally := range fresh {
			if err := t.tally(d, tally); err != nil {
				return nil, err
			}
			out.Counted = append(out.Counted, tally.Domain)
		}
		return nil, t.countOutcome(out)
	})
	return out, err
}

// sort decides what becomes of one domain's part of a document, and reports whether it is new.
func (t *transaction) sort(out *Outcome, d Document, tally tlsrpt.Tally) (fresh bool, err error) {
	if tally.Domain.IsZero() {
		out.Unattributed += tally.Sessions
		return false, nil
	}
	e, err := t.enrolment(tally.Domain)
	switch {
	case err != nil:
		return false, err
	case e == nil || e.State != Enrolled, !d.Recipient.IsZero() && tally.Domain != d.Recipient:
		out.Foreign++
		return false, nil
	case t.Bucket(bucketSeen).Get(seenKey(d, tally)) != nil:
		out.Duplicates++
		return false, nil
	}
	return true, nil
}

// seenKey is the key of one domain's part of a report. A report without a proven submitter has a key of its own kind, with
// whom it names: else whoever guesses a report-id could send a false report first, and the true one would be a duplicate.
func seenKey(d Document, tally tlsrpt.Tally) []byte {
	key := tally.Day.String() + "\x00"
	digest := d.Report.Key(d.Submitter, tally.Domain).Digest()
	if d.Submitter.IsZero() {
		h := sha256.Sum256([]byte("shown\n" + digest + "\n" + d.Report.Organization))
		digest = hex.EncodeToString(h[:])
	}
	return []byte(key + digest)
}

// tally adds a document's tally to what is stored.
func (t *transaction) tally(d Document, tally tlsrpt.Tally) error {
	row := Row{Authenticated: !d.Submitter.IsZero(), Reporter: d.Submitter.String(), Reports: 1, Tally: tally}
	if !row.Authenticated {
		row.Reporter = printable(d.Report.Organization, maxReporter)
	}
	if err := t.addRow(row); err != nil {
		return err
	}
	return t.Bucket(bucketSeen).Put(seenKey(d, tally), nil)
}

// counts is what a document adds to the counts.
func (out Outcome) counts() map[Count]int64 {
	counts := map[Count]int64{CountDuplicates: int64(out.Duplicates), CountForeign: int64(out.Foreign)}
	switch {
	case len(out.Counted) > 0 && out.Authenticated:
		counts[CountReports] = 1
	case len(out.Counted) > 0:
		counts[CountShown] = 1
	case out.Empty:
		counts[CountEmpty] = 1
	}
	if out.Unattributed > 0 {
		counts[CountUnattributed] = 1
	}
	return counts
}

func (t *transaction) countOutcome(out Outcome) error {
	for name, n := range out.counts() {
		if n == 0 {
			continue
		}
		if err := t.count(name, n); err != nil {
			return err
		}
	}
	return nil
}

// printable makes text of a report fit for canonical JSON, keys and terminals: at most limit bytes of printable ASCII, others
// as a question mark.
func printable(s string, limit int) string {
	out := make([]byte, 0, min(len(s), limit))
	for _, r := range s {
		if len(out) == limit {
			break
		}
		if r < 0x20 || r > 0x7e {
			r = '?'
		}
		out = append(out, byte(r))
	}
	return string(out)
}
