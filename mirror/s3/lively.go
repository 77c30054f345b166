package s3

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"
)

var (
	// errBroken means that an answer's body was not read to its end. What its status line says of the object may then be
	// something else: a 404 that would have gone on with NoSuchBucket does not mean that a mirror is empty.
	errBroken = errors.New("the answer broke off")
	errSilent = errors.New("the store stopped sending")
)

// lively is an answer's body whose sender may pause, but not for long: then the request is cancelled. Error documents,
// which the SDK reads by itself, need it as much as objects do: the deadline of a whole operation is made for the largest
// object that it may bring.
type lively struct {
	io.ReadCloser
	timer    *time.Timer
	patience time.Duration
	cancel   context.CancelCauseFunc
}

func newLively(body io.ReadCloser, patience time.Duration, cancel context.CancelCauseFunc) *lively {
	return &lively{body, time.AfterFunc(patience, func() { cancel(errSilent) }), patience, cancel}
}

func (l *lively) Read(p []byte) (int, error) {
	n, err := l.ReadCloser.Read(p)
	if !l.timer.Reset(l.patience) && err != nil && err != io.EOF {
		err = fmt.Errorf("%w: %w", errSilent, err)
	}
	if err != nil && err != io.EOF {
		err = fmt.Errorf("%w: %w", errBroken, err)
	}
	return n, err
}

func (l *lively) Close() error {
	l.timer.Stop()
	err := l.ReadCloser.Close()
	l.cancel(nil)
	return err
}
