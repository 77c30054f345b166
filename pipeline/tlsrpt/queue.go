package tlsrpt

import (
	"context"
	"sync"

	"go.etcd.io/bbolt"
)

// maxBatch is how many writes share one transaction. To make one durable takes the disk as long as to make hundreds.
const maxBatch = 256

// write is one caller's part of a transaction. apply decides first and changes then: with a refusal, which is this caller's
// answer, it has changed nothing; a failure ends the whole transaction.
type write struct {
	apply func(*transaction) (refusal, failure error)
	done  chan error
}

// queue holds the writes that wait for a transaction. While one runs, those that come meanwhile make the next.
type queue struct {
	mu      sync.Mutex
	waiting []*write
	led     bool // somebody takes writes from the queue
}

// submit runs apply in a transaction with others, and returns when that is on disk, or has failed. It goes on although ctx
// ends: whether the document is stored has to be known.
func (s *Store) submit(ctx context.Context, apply func(*transaction) (refusal, failure error)) error {
	w := &write{apply: apply, done: make(chan error, 1)}
	q := &s.queue
	q.mu.Lock()
	q.waiting = append(q.waiting, w)
	lead := !q.led
	q.led = true
	q.mu.Unlock()
	if lead {
		go s.lead(context.WithoutCancel(ctx))
	}
	return <-w.done
}

// lead runs transactions until nobody waits.
func (s *Store) lead(ctx context.Context) {
	q := &s.queue
	for {
		q.mu.Lock()
		batch := q.waiting[:min(len(q.waiting), maxBatch)]
		q.waiting = q.waiting[len(batch):]
		q.led = len(batch) > 0
		q.mu.Unlock()
		if len(batch) == 0 {
			return
		}
		refusals := make([]error, len(batch))
		err := s.update(ctx, func(tx *bbolt.Tx) error { return s.applyAll(tx, batch, refusals) })
		for i, w := range batch {
			if err != nil {
				w.done <- err
			} else {
				w.done <- refusals[i]
			}
		}
	}
}

func (s *Store) applyAll(tx *bbolt.Tx, batch []*write, refusals []error) error {
	t, err := s.begin(tx)
	if err != nil {
		return err
	}
	for i, w := range batch {
		var failure error
		if refusals[i], failure = w.apply(t); failure != nil {
			return failure
		}
	}
	return t.finish()
}
