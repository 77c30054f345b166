package tlsrpt

import (
	"context"
	"os"
	"strings"

	"go.etcd.io/bbolt"

	"github.com/starttls-everywhere/policylist/pipeline/tlsrpt/cells"
	"github.com/starttls-everywhere/policylist/policy/tlsrpt"
)

// How many days the store keeps what (PRIVACY.md): documents as they came, and everything that was counted.
const (
	KeepRaw     = 7
	KeepTallies = 90
)

// Pruned is what Prune took away.
type Pruned struct {
	Days    []string      // of documents
	Entries int           // rows, contributions, counts and keys
	Domains []string      // enrolments that ended as long ago as tallies last
	Months  []cells.Month // whose secrets were deleted
}

// Prune deletes what is older than the store keeps. It is cheap when there is nothing to do.
func (s *Store) Prune(ctx context.Context) (Pruned, error) {
	var out Pruned
	now := s.opts.Now()
	today := tlsrpt.DayOf(now)
	days, err := s.rawDays()
	if err != nil {
		return out, err
	}
	err = s.update(ctx, func(tx *bbolt.Tx) error {
		out = Pruned{}
		meta := tx.Bucket(bucketMeta)
		for _, day := range days {
			if day <= today-KeepRaw {
				out.Days = append(out.Days, day.String())
				if err := meta.Delete([]byte(rawKey + day.String())); err != nil {
					return err
				}
			}
		}
		if err := pruneBodies(meta, today-KeepRaw); err != nil {
			return err
		}
		for _, b := range []struct {
			name []byte
			last tlsrpt.Day
		}{
			{bucketTallies, today - KeepTallies}, {bucketContributions, today - KeepTallies}, {bucketCounts, today - KeepTallies},
			{bucketSeen, today - maxReportAge - 1}, // an older report is refused, and so need not be known
		} {
			n, err := pruneBucket(tx.Bucket(b.name), b.last.String())
			if err != nil {
				return err
			}
			out.Entries += n
		}
		out.Domains, err = pruneDomains(tx, today)
		return err
	})
	if err != nil {
		return out, err
	}
	for _, day := range out.Days {
		if err := os.Remove(s.path(rawName, day+".jsonl")); err != nil && !os.IsNotExist(err) {
			return out, storeError(err)
		}
	}
	out.Months, err = s.closeOldMonths(ctx, today)
	return out, err
}

// rawDays are the days of which there are documents, also those that a kill left behind their transaction.
func (s *Store) rawDays() (days []tlsrpt.Day, err error) {
	entries, err := os.ReadDir(s.path(rawName))
	if err != nil {
		return nil, storeError(err)
	}
	for _, e := range entries {
		name, ok := strings.CutSuffix(e.Name(), ".jsonl")
		if day, err := tlsrpt.ParseDay(name); ok && err == nil {
			days = append(days, day)
		}
	}
	return days, nil
}

// pruneBucket deletes entries whose keys begin with a day up to last.
func pruneBucket(b *bbolt.Bucket, last string) (n int, err error) {
	var keys [][]byte
	c := b.Cursor()
	for k, _ := c.First(); k != nil && string(k[:min(len(k), len(last))]) <= last; k, _ = c.Next() {
		keys = append(keys, k)
	}
	for _, k := range keys { // not while the cursor walks, which would skip some
		if err := b.Delete(k); err != nil {
			return n, err
		}
		n++
	}
	return n, nil
}

// pruneBodies forgets what reporters' lines took on days up to last.
func pruneBodies(meta *bbolt.Bucket, last tlsrpt.Day) error {
	end := bodiesKey + last.String()
	var keys [][]byte
	c := meta.Cursor()
	for k, _ := c.Seek([]byte(bodiesKey)); k != nil && string(k[:min(len(k), len(end))]) <= end; k, _ = c.Next() {
		keys = append(keys, k)
	}
	for _, k := range keys {
		if err := meta.Delete(k); err != nil {
			return err
		}
	}
	return nil
}

// pruneDomains forgets domains whose record has been without their URI for as long as their tallies last.
func pruneDomains(tx *bbolt.Tx, today tlsrpt.Day) (gone []string, err error) {
	b := tx.Bucket(bucketDomains)
	err = b.ForEach(func(k, v []byte) error {
		e, err := readEnrolment(string(k), v)
		if err != nil {
			return err
		}
		since := e.Added
		if e.Seen.After(since) {
			since = e.Seen
		}
		if e.State != Enrolled && tlsrpt.DayOf(since) <= today-KeepTallies {
			gone = append(gone, string(k))
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	for _, name := range gone {
		if err := b.Delete([]byte(name)); err != nil {
			return nil, err
		}
	}
	return gone, nil
}
