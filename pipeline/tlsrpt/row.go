package tlsrpt

import (
	"bytes"
	"context"
	"encoding/json"
	"strings"

	"github.com/starttls-everywhere/policylist/policy"
	"github.com/starttls-everywhere/policylist/policy/tlsrpt"
)

// maxReporter cuts whom a report without proof names.
const maxReporter = 64

// How many reporters a domain has on one day; further ones share a row that only is shown. There are a few dozen senders of
// reports, and a stranger can make up any number of names, or sign for any number of domains.
const (
	maxShownReporters = 64
	maxReporters      = 1024
	otherReporters    = "(others)"
)

// Row is what one reporter said of one domain on one UTC day.
type Row struct {
	Authenticated bool   // it counts; else it is only shown
	Reporter      string // the submitter's domain when authenticated, else the organisation that the report names, in ASCII
	Reports       int64
	tlsrpt.Tally
}

// Rows calls yield with the rows of the reports' days from one to another, both included, by day, then domain. Those that are
// only shown are among them. What yield takes is its own; it must not call the store.
func (s *Store) Rows(ctx context.Context, from, to tlsrpt.Day, yield func(Row) error) error {
	return s.scan(ctx, bucketTallies, from, to, func(day tlsrpt.Day, key string, value []byte) error {
		row, err := readRow(day, key, value)
		if err != nil {
			return storeDamage(bucketTallies, err)
		}
		return yield(row)
	})
}

// rowKey is day NUL domain NUL a|s NUL reporter: a for authenticated, s for shown.
func rowKey(r Row) []byte {
	kind := "s"
	if r.Authenticated {
		kind = "a"
	}
	return []byte(strings.Join([]string{r.Day.String(), r.Domain.String(), kind, r.Reporter}, "\x00"))
}

// rowJSON is a row's value.
type rowJSON struct {
	Reports  int64        `json:"reports"`
	Sessions int64        `json:"sessions"`
	Failed   int64        `json:"failed"`
	Policies []policyJSON `json:"policies"`
}

type policyJSON struct {
	Type       tlsrpt.PolicyType `json:"type"`
	Successful int64             `json:"ok"`
	Failed     int64             `json:"failed"`
	Results    []resultJSON      `json:"results,omitempty"`
}

type resultJSON struct {
	Result   tlsrpt.ResultType `json:"type"`
	Sessions int64             `json:"n"`
}

func (t *transaction) addRow(row Row) error {
	key := rowKey(row)
	bucket := t.Bucket(bucketTallies)
	old := bucket.Get(key)
	if old == nil && t.crowded(row) {
		row.Authenticated, row.Reporter = false, otherReporters
		key = rowKey(row)
		old = bucket.Get(key)
	}
	if old != nil {
		_, rest, _ := strings.Cut(string(key), "\x00")
		before, err := readRow(row.Day, rest, old)
		if err != nil {
			return storeDamage(bucketTallies, err)
		}
		row.Reports += before.Reports
		row.Tally = tlsrpt.Merge(before.Tally, row.Tally)
	}
	value, err := json.Marshal(jsonOfRow(row))
	if err != nil {
		return err
	}
	return bucket.Put(key, value)
}

// crowded reports whether the day's domain has as many reporters of row's kind as there may be.
func (t *transaction) crowded(row Row) bool {
	limit := maxShownReporters
	if row.Authenticated {
		limit = maxReporters
	}
	name := row.Reporter
	row.Reporter = ""
	prefix := rowKey(row)
	c, n := t.Bucket(bucketTallies).Cursor(), 0
	for k, _ := c.Seek(prefix); bytes.HasPrefix(k, prefix); k, _ = c.Next() {
		if n++; n >= limit {
			return name != otherReporters
		}
	}
	return false
}

func jsonOfRow(row Row) rowJSON {
	out := rowJSON{Reports: row.Reports, Sessions: row.Sessions, Failed: row.Failed}
	for _, p := range row.Policies {
		q := policyJSON{Type: p.Type, Successful: p.Successful, Failed: p.Failed}
		for _, r := range p.Results {
			q.Results = append(q.Results, resultJSON(r))
		}
		out.Policies = append(out.Policies, q)
	}
	return out
}

// readRow takes the key behind the day.
func readRow(day tlsrpt.Day, key string, value []byte) (Row, error) {
	parts := strings.SplitN(key, "\x00", 3)
	for len(parts) < 3 {
		parts = append(parts, "")
	}
	domain, err := policy.ParseDomain(parts[0])
	if err != nil {
		return Row{}, err
	}
	var v rowJSON
	if err := json.Unmarshal(value, &v); err != nil {
		return Row{}, err
	}
	row := Row{Authenticated: parts[1] == "a", Reporter: parts[2], Reports: v.Reports}
	row.Tally = tlsrpt.Tally{Domain: domain, Day: day, Sessions: v.Sessions, Failed: v.Failed}
	for _, p := range v.Policies {
		q := tlsrpt.PolicyTally{Type: p.Type, Successful: p.Successful, Failed: p.Failed}
		for _, r := range p.Results {
			q.Results = append(q.Results, tlsrpt.ResultTally(r))
		}
		row.Policies = append(row.Policies, q)
	}
	return row, nil
}
