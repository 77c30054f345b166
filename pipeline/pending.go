package pipeline

import (
	"context"
	"errors"

	"github.com/starttls-everywhere/policylist/policy"
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

// HeldJSON is what waits as "pending --json" has it, and as the pages of a release read it.
func HeldJSON(held []Held) []map[string]any {
	out := []map[string]any{}
	for _, h := range held {
		m := map[string]any{"domain": h.Change.Domain.String(), "class": h.Change.Class.String(), "verdict": h.Verdict, "codes": h.Codes, "findings": h.Found}
		if h.ByGate() {
			delete(m, "verdict")
			m["automatic"] = h.Automatic
		}
		if !h.Since.IsZero() {
			m["since"] = h.Since.UTC().Format(policy.TimeFormat)
		}
		if !h.Until.IsZero() {
			m["until"] = h.Until.UTC().Format(policy.TimeFormat)
		}
		out = append(out, m)
	}
	return out
}
