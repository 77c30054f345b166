package pipeline

import "context"

// SetMaxEvidence lowers the most that evidence may have; what it returns puts it back.
func SetMaxEvidence(n int64) (restore func()) {
	before := maxObservations
	maxObservations = n
	return func() { maxObservations = before }
}

// ReleaseChecked is Release of a source that was checked before, so that the two can be measured apart.
func (p *Publisher) ReleaseChecked(ctx context.Context, c Checked) (*Published, error) {
	return p.release(ctx, func() (Checked, error) { return c, nil })
}
