package tlsrpt

import (
	"errors"
	"fmt"
	"io/fs"
	"syscall"

	bolterrors "go.etcd.io/bbolt/errors"

	"github.com/starttls-everywhere/policylist/mirror/durable"
)

// What the store may answer beside success. All but ErrDamaged and ErrDenied pass by themselves.
var (
	// ErrBusy says that another process held the store for longer than Options.Wait.
	ErrBusy = errors.New("the store is in use by another process")
	// ErrFull says that the store has reached Options.Space, or its disk is full. Nothing was changed.
	ErrFull = errors.New("the store is full")
	// ErrDamaged says that a file of the store does not hold what a store holds.
	ErrDamaged = errors.New("the store is damaged")
	// ErrDenied says that the store belongs to another user.
	ErrDenied = errors.New("the store cannot be opened by this user")
)

// storeError says what an error of a file or of bbolt means to a caller.
func storeError(err error) error {
	switch {
	case err == nil, errors.Is(err, ErrBusy), errors.Is(err, ErrFull), errors.Is(err, ErrDamaged), errors.Is(err, ErrDenied):
		return err
	case errors.Is(err, bolterrors.ErrTimeout), errors.Is(err, durable.ErrLocked):
		return fmt.Errorf("%w: %w", ErrBusy, err)
	case errors.Is(err, syscall.ENOSPC), errors.Is(err, syscall.EDQUOT), errors.Is(err, syscall.EFBIG):
		return fmt.Errorf("%w: %w", ErrFull, err)
	case errors.Is(err, fs.ErrPermission):
		return fmt.Errorf("%w: %w", ErrDenied, err)
	case errors.Is(err, bolterrors.ErrInvalid), errors.Is(err, bolterrors.ErrChecksum), errors.Is(err, bolterrors.ErrVersionMismatch):
		return fmt.Errorf("%w: %w", ErrDamaged, err)
	}
	return err
}

// storeDamage says that an entry of a bucket is none.
func storeDamage(bucket []byte, err error) error {
	return fmt.Errorf("%w: in %s: %w", ErrDamaged, bucket, err)
}
