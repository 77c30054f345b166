package tlsrpt

import (
	"context"
	"encoding/binary"
	"strings"

	"go.etcd.io/bbolt"

	"github.com/starttls-everywhere/policylist/policy/tlsrpt"
)

// Count names what the store counts by day of arrival, for status.
type Count string

const (
	CountReports       Count = "reports"         // reports by authenticated submitters, which count
	CountShown         Count = "shown"           // reports by anybody, which are kept and shown
	CountDuplicates    Count = "duplicates"      // the same report again
	CountForeign       Count = "foreign"         // reports, or parts of one, about domains that are not enrolled
	CountEmpty         Count = "empty"           // reports that count no session, such as those without policies
	CountUnreadable    Count = "unreadable"      // what was no report
	CountContributions Count = "contributions"   // contributions taken
	CountRefused       Count = "refused"         // contributions by unknown keys, out of form or out of time
	CountLimited       Count = "limited"         // requests turned away for being too many
	CountUnattributed  Count = "unattributed"    // reports with sessions to a domain that nothing names
	CountUnknownTokens Count = "unknown-address" // requests for an address that there is not
)

// Counts are all counts, in the order of status.
func Counts() []Count {
	return []Count{CountReports, CountShown, CountContributions, CountDuplicates, CountForeign, CountUnattributed, CountEmpty,
		CountUnreadable, CountRefused, CountLimited, CountUnknownTokens}
}

func (t *transaction) count(name Count, by int64) error {
	key := []byte(tlsrpt.DayOf(t.now).String() + "\x00" + string(name))
	bucket := t.Bucket(bucketCounts)
	n, err := rawSize(bucket.Get(key))
	if err != nil {
		return err
	}
	return bucket.Put(key, binary.BigEndian.AppendUint64(nil, uint64(n+by)))
}

// AddCounts adds what was counted elsewhere to today's counts.
func (s *Store) AddCounts(ctx context.Context, counts map[Count]int64) error {
	return s.submit(ctx, func(t *transaction) (refusal, failure error) {
		for name, n := range counts {
			if err := t.count(name, n); err != nil {
				return nil, err
			}
		}
		return nil, nil
	})
}

// DayCounts returns what was counted from one day of arrival to another, both included.
func (s *Store) DayCounts(ctx context.Context, from, to tlsrpt.Day) (map[Count]int64, error) {
	out := map[Count]int64{}
	return out, s.scan(ctx, bucketCounts, from, to, func(_ tlsrpt.Day, key string, value []byte) error {
		n, err := rawSize(value)
		out[Count(key)] += n
		return err
	})
}

// scan visits the entries of a bucket whose keys begin with a day from one to another, in their order.
func (s *Store) scan(ctx context.Context, bucket []byte, from, to tlsrpt.Day, visit func(day tlsrpt.Day, key string, value []byte) error) error {
	return s.view(ctx, func(tx *bbolt.Tx) error {
		c := tx.Bucket(bucket).Cursor()
		for k, v := c.Seek([]byte(from.String())); k != nil; k, v = c.Next() {
			text, key, _ := strings.Cut(string(k), "\x00")
			day, err := tlsrpt.ParseDay(text)
			if err != nil {
				return storeDamage(bucket, err)
			}
			if day > to {
				return nil
			}
			if err := visit(day, key, v); err != nil {
				return err
			}
		}
		return nil
	})
}
