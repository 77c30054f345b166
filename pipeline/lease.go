package pipeline

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/starttls-everywhere/policylist/mirror"
)

// lease says which run may publish. Its epoch counts takeovers and never falls; state.json carries the epoch of the run
// that wrote it, which fences the one before.
//
// until is a time of the store's clock, which comes with each of its answers: whoever writes it and whoever reads it
// look at the same clock, so that theirs may be as wrong as they like. Only where a store does not tell its time do the
// publishers' own clocks count, and then a lease is respected for another maxSkew after its end.
//
// The lease keeps two publishers from working against each other for nothing. It is not what prevents a fork: a run that
// slept through its lease and wakes up finds state.json changed, whatever any clock says.
type lease struct {
	Epoch int64     `json:"epoch"`
	Owner string    `json:"owner"` // the configured publisher, "" where none is
	Run   string    `json:"run"`   // random: one run of it
	Until time.Time `json:"until"`
}

// maxLease caps lease.json.
const maxLease = 4096

func (v *Vault) term() time.Duration {
	if v.Term > 0 {
		return v.Term
	}
	return DefaultTerm
}

// readLease returns the lease, its bytes (nil when there is none), and the time.
func (v *Vault) readLease(ctx context.Context) (l lease, raw []byte, at time.Time, err error) {
	raw, at, err = v.Store.GetTime(ctx, leasePath, maxLease)
	if mirror.IsAbsent(err) {
		return l, nil, at, nil
	}
	if err != nil {
		return l, nil, at, err
	}
	if err := json.Unmarshal(raw, &l); err != nil || l.Epoch < 1 {
		if v.mending {
			return lease{}, raw, at, nil
		}
		return l, nil, at, fmt.Errorf("%w: %s: %.100q", ErrVault, leasePath, raw)
	}
	return l, raw, at, nil
}

// take takes the lease, unless another run holds it.
func (v *Vault) take(ctx context.Context) error {
	held, raw, at, err := v.readLease(ctx)
	if err != nil {
		return err
	}
	if err := errors.Join(v.sameOwner(held, raw), v.free(held, raw, at)); err != nil {
		return err
	}
	if at.IsZero() {
		at = v.now()
	}
	v.lease = lease{Epoch: max(held.Epoch, v.contents.Epoch) + 1, Owner: v.Publisher, Run: rand.Text()[:8]}
	return v.swapLease(ctx, raw, at.Add(v.term()))
}

// named demands a configured name where the store cannot decide between two publishers.
func (v *Vault) named() error {
	if v.conditions.Hold() || v.Publisher != "" {
		return nil
	}
	return fmt.Errorf("%w: %s; so name the only publisher in the configuration", ErrPublisher, v.conditions)
}

// sameOwner demands that it is the name that the lease has; raw is nil when there is no lease.
func (v *Vault) sameOwner(held lease, raw []byte) error {
	if raw == nil || v.conditions.Hold() || held.Owner == v.Publisher {
		return nil
	}
	return fmt.Errorf("%w: the lease is %q's, this is %q, and the store cannot keep two apart: %s", ErrPublisher, held.Owner, v.Publisher, v.conditions)
}

// free tells whose the lease is while it lasts.
func (v *Vault) free(held lease, raw []byte, at time.Time) error {
	end, at := v.ends(held, at)
	if raw == nil || !at.Before(end) {
		return nil
	}
	return fmt.Errorf("%w: run %s of publisher %q, until %s unless it ends before", ErrLeased, held.Run, held.Owner, end.UTC().Format(time.RFC3339))
}

// ends returns when a lease is over for others, and the time to compare that with; at is the store's, zero for none.
func (v *Vault) ends(l lease, at time.Time) (end, now time.Time) {
	if at.IsZero() {
		return l.Until.Add(maxSkew), v.now()
	}
	return l.Until, at
}

// swapLease writes the lease with a new end.
func (v *Vault) swapLease(ctx context.Context, old []byte, until time.Time) error {
	next := v.lease
	next.Until = until.UTC().Truncate(time.Second)
	raw, err := json.Marshal(next)
	if err != nil {
		return err
	}
	err = v.Store.Swap(ctx, privateObject(leasePath, append(raw, '\n')), old)
	if errors.Is(err, mirror.ErrConflict) {
		return fmt.Errorf("%w: %w", ErrLeased, err)
	}
	if err == nil {
		v.lease = next
	}
	return err
}

// Check comes before each step that others can see. It renews the lease when half of it is over.
func (v *Vault) Check(ctx context.Context) error {
	held, raw, at, err := v.readLease(ctx)
	if err != nil {
		return err
	}
	if raw == nil || held.Epoch != v.lease.Epoch || held.Run != v.lease.Run {
		return fmt.Errorf("%w: run %s of publisher %q, with epoch %d after %d", ErrFenced, held.Run, held.Owner, held.Epoch, v.lease.Epoch)
	}
	if at.IsZero() {
		at = v.now()
	}
	if at.Add(v.term() / 2).Before(held.Until) {
		return nil
	}
	if err = v.swapLease(ctx, raw, at.Add(v.term())); errors.Is(err, ErrLeased) {
		return fmt.Errorf("%w: %w", ErrFenced, err)
	}
	return err
}

// give ends the lease, so that the next run need not wait for its end.
func (v *Vault) give(ctx context.Context) error {
	held, raw, _, err := v.readLease(ctx)
	if err != nil || raw == nil || held.Epoch != v.lease.Epoch || held.Run != v.lease.Run {
		return err // what somebody else took is not ours to give
	}
	return v.swapLease(ctx, raw, time.Unix(0, 0))
}
