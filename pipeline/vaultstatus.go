package pipeline

import (
	"context"
	"errors"
	"time"

	"github.com/starttls-everywhere/policylist/mirror"
)

// VaultStatus is what can be said of a vault without taking its lease.
type VaultStatus struct {
	Conditions mirror.Conditions // what the store's conditional writes are worth
	Probed     time.Time         // when that was found out; zero: never
	ProbeErr   error             // why it could not be found out just now; Conditions are then those of an earlier run
	Empty      bool              // there is no state yet

	Held  bool      // another run may publish only after Until, unless it gives the lease back before
	Owner string    // publisher that had the lease last, "" for one without a name
	Run   string    // of it; "" when there never was a lease
	Epoch int64     // takeovers so far
	Until time.Time // end of the lease, by the store's clock

	// Refusal is why a release of this publisher would be turned away now: it wraps ErrPublisher or ErrLeased; nil for no
	// reason.
	Refusal error
}

// Status probes the store, below a path of its own that it removes again, and reads who has the lease. It changes
// nothing of the state.
func (v *Vault) Status(ctx context.Context, now func() time.Time) (VaultStatus, error) {
	var s VaultStatus
	v.now = now
	err := v.load(ctx)
	if err != nil && !errors.Is(err, ErrVault) { // a damaged state is told by whoever needs it
		return s, err
	}
	s.Empty = v.raw == nil
	if p := v.contents.Probe; p != nil {
		s.Conditions, s.Probed = p.Conditions, p.Time
	}
	if found, err := v.Conditions(ctx, now()); err != nil {
		s.ProbeErr = err // credentials that may only read are enough to look
	} else {
		s.Conditions, s.Probed = found, now()
	}
	held, raw, at, err := v.readLease(ctx)
	if err != nil {
		return s, err
	}
	s.Owner, s.Run, s.Epoch, s.Until = held.Owner, held.Run, held.Epoch, held.Until
	v.conditions = s.Conditions
	leased := v.free(held, raw, at)
	s.Held = leased != nil
	if s.Probed.IsZero() {
		s.Refusal = errors.Join(s.ProbeErr, leased)
	} else {
		s.Refusal = errors.Join(v.named(), v.sameOwner(held, raw), leased)
	}
	return s, nil
}
