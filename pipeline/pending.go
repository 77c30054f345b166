package pipeline

import (
	"context"
	"errors"
)

// ErrNoGate means that no gate decides about this list.
var ErrNoGate = errors.New("no gate decides about this list")

// Pending tells which changes are held now, by what earlier releases saw: it looks at nobody, and changes nothing. Waits
// without Until are decided anew at each release.
func (p *Publisher) Pending(ctx context.Context) (Probed, Checked, error) {
	var out Probed
	if p.Gate == nil {
		return out, Checked{}, ErrNoGate
	}
	checked, err := Check(ctx, p.Source)
	if err != nil {
		return out, checked, err
	}
	last, t, err := p.peek(ctx)
	if err != nil {
		return out, checked, err
	}
	if err := last.ended(); err != nil {
		return out, checked, err
	}
	out.tracks = t
	p.readFeedback(&out)
	p.readRegistrations(ctx, &out)
	return out, checked, p.decide(checked, last, &out, nil)
}
