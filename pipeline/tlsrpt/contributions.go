package tlsrpt

import (
	"bytes"
	"cmp"
	"compress/gzip"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"

	"github.com/starttls-everywhere/policylist/pipeline/tlsrpt/cells"
	"github.com/starttls-everywhere/policylist/policy"
	"github.com/starttls-everywhere/policylist/policy/tlsrpt"
)

// Refusals of a contribution.
var (
	// ErrClosed says that the month's secret is gone: nobody can be told from anybody in it any more.
	ErrClosed = errors.New("the month of the contribution is closed")
	// ErrSecond says that there is one of this contributor and day.
	ErrSecond = errors.New("there is a contribution of this contributor and day")
)

// Contributed is a contribution as it is kept. Within a month a pseudonym is one contributor; those of different months have
// nothing to do with each other.
type Contributed struct {
	Pseudonym string // 32 hex digits
	tlsrpt.Contribution
}

// Contribute stores what a contributor, whose signature was verified, tells of one day. Its name is not kept. Errors are those
// of a store, ErrOutOfTime, ErrClosed and ErrSecond.
func (s *Store) Contribute(ctx context.Context, contributor policy.Domain, c tlsrpt.Contribution) error {
	today := tlsrpt.DayOf(s.opts.Now())
	if c.Day >= today || c.Day < today-tlsrpt.MaxContributionAge {
		return fmt.Errorf("%w: %s is not over, or more than %d days ago", ErrOutOfTime, c.Day, tlsrpt.MaxContributionAge)
	}
	body, err := tlsrpt.MarshalContribution(c)
	if err != nil {
		return err
	}
	if body, err = packed(bytes.TrimRight(body, " ")); err != nil {
		return err
	}
	secret, err := s.monthSecret(ctx, cells.MonthOf(c.Day))
	if err != nil {
		return err
	}
	return s.submit(ctx, func(t *transaction) (refusal, failure error) {
		bucket, key := t.Bucket(bucketContributions), []byte(c.Day.String()+"\x00"+pseudonym(secret, contributor))
		switch {
		case t.closed(cells.MonthOf(c.Day)):
			return ErrClosed, nil
		case bucket.Get(key) != nil:
			return ErrSecond, t.count(CountDuplicates, 1)
		case t.taken+int64(len(body)) > s.opts.Space:
			return fmt.Errorf("%w: it may take %d bytes", ErrFull, s.opts.Space), nil
		}
		t.taken += int64(len(body))
		if err := bucket.Put(key, body); err != nil {
			return nil, err
		}
		return nil, t.count(CountContributions, 1)
	})
}

// pseudonym is one for all names of an organisation: whoever has a domain has as many names below it as it likes, and would be
// three contributors by itself.
func pseudonym(secret []byte, contributor policy.Domain) string {
	mac := hmac.New(sha256.New, secret)
	mac.Write([]byte("policylist pseudonym v1\n" + cmp.Or(policy.SoldDomain(contributor), contributor.String())))
	return hex.EncodeToString(mac.Sum(nil)[:16])
}

// Contributions calls yield with what was contributed of the days from one to another, both included, by day. yield must not
// call the store.
func (s *Store) Contributions(ctx context.Context, from, to tlsrpt.Day, yield func(Contributed) error) error {
	return s.scan(ctx, bucketContributions, from, to, func(_ tlsrpt.Day, key string, value []byte) error {
		text, err := unpacked(value)
		var c tlsrpt.Contribution
		if err == nil {
			c, err = tlsrpt.ValidateContribution(tlsrpt.Pad(text))
		}
		if err != nil {
			return storeDamage(bucketContributions, err)
		}
		return yield(Contributed{key, c})
	})
}

// packed is a document as it is stored: gzip, a twentieth of what it is, for 90 days of all contributors have to find room.
func packed(text []byte) ([]byte, error) {
	var out bytes.Buffer
	w := gzip.NewWriter(&out)
	if _, err := w.Write(text); err != nil {
		return nil, err
	}
	err := w.Close()
	return out.Bytes(), err
}

func unpacked(value []byte) ([]byte, error) {
	r, err := gzip.NewReader(bytes.NewReader(value))
	if err != nil {
		return nil, err
	}
	return io.ReadAll(io.LimitReader(r, tlsrpt.MaxContribution+1))
}
