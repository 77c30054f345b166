package tlsrpt

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"

	"go.etcd.io/bbolt"

	"github.com/starttls-everywhere/policylist/pipeline/tlsrpt/cells"
	"github.com/starttls-everywhere/policylist/policy/tlsrpt"
)

// closedKey is the key in bucketMeta that says that a month's secret is gone for good; a new one would give a contributor
// a second pseudonym.
const closedKey = "closed/"

// monthLife is how long after its last day a month's secret stays at most, also when nobody publishes: the last contribution
// has come, and the last cell of seven days is over.
const monthLife = 14

func (t *transaction) closed(m cells.Month) bool {
	return t.Bucket(bucketMeta).Get([]byte(closedKey+m.String())) != nil
}

// monthSecret returns the 32 random bytes of a month, and makes them where there are none yet; ErrClosed when there are none any
// more.
func (s *Store) monthSecret(ctx context.Context, m cells.Month) ([]byte, error) {
	if err := errors.Join(s.writable(), s.stillOpen(ctx, m)); err != nil {
		return nil, err
	}
	path := s.path(monthsName, m.String())
	secret, err := readSecret(path, false)
	if errors.Is(err, fs.ErrNotExist) {
		begun, failed := s.begun(ctx, m)
		if failed != nil {
			return nil, failed
		}
		// Another process may have made it meanwhile, and stored the first of the month.
		secret, err = readSecret(path, !begun)
		if begun && errors.Is(err, fs.ErrNotExist) {
			return nil, fmt.Errorf("%w: the secret of %s is lost, and with another one everybody would count twice", ErrClosed, m)
		}
	}
	return secret, storeError(err)
}

// begun reports whether there is a contribution of the month.
func (s *Store) begun(ctx context.Context, m cells.Month) (yes bool, err error) {
	err = s.scan(ctx, bucketContributions, m.First(), m.Last(), func(tlsrpt.Day, string, []byte) error {
		yes = true
		return nil
	})
	return yes, err
}

// stillOpen is ErrClosed for a month that is closed.
func (s *Store) stillOpen(ctx context.Context, m cells.Month) error {
	return s.view(ctx, func(tx *bbolt.Tx) error {
		if (&transaction{Tx: tx}).closed(m) {
			return fmt.Errorf("%w: %s", ErrClosed, m)
		}
		return nil
	})
}

// CloseMonth takes no more contributions of a month, and then deletes its secret: from then on not even the operator can tell
// whose pseudonym is whose. For when the month's last cell is published. Closing it again does nothing.
func (s *Store) CloseMonth(ctx context.Context, m cells.Month) error {
	err := s.update(ctx, func(tx *bbolt.Tx) error {
		return tx.Bucket(bucketMeta).Put([]byte(closedKey+m.String()), []byte{1})
	})
	if err != nil {
		return err
	}
	return storeError(forget(s.path(monthsName, m.String())))
}

// closeOldMonths closes months whose time is over although nobody published them.
func (s *Store) closeOldMonths(ctx context.Context, today tlsrpt.Day) (closed []cells.Month, err error) {
	entries, err := os.ReadDir(s.path(monthsName))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, storeError(err)
	}
	for _, e := range entries {
		m, err := cells.ParseMonth(e.Name())
		if err != nil || today <= m.Last()+monthLife {
			continue
		}
		if err := s.CloseMonth(ctx, m); err != nil {
			return closed, err
		}
		closed = append(closed, m)
	}
	return closed, nil
}
