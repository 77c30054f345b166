package pipeline

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/starttls-everywhere/policylist/pipeline/probe"
	"github.com/starttls-everywhere/policylist/policy"
	"github.com/starttls-everywhere/policylist/policy/gate"
)

// Known is what is known of a list's domains besides its source: what the vantages saw, and what the log says. The bots go
// by it.
type Known struct {
	checked  Checked
	settings gate.Settings
	hear     func(*gate.Input) // adds what the gate is told of a domain besides
	now      time.Time
	of       func(policy.Domain) (knownDomain, error)
}

// knownDomain is what is known of one domain.
type knownDomain struct {
	logged               bool           // Published and log are of the log; else nothing is known but what the source says
	published            *policy.Policy // what the list says, nil: nothing
	looks                []gate.Look    // oldest first
	log                  []gate.Logged  // oldest first
	registered, reviewed time.Time      // see track
	held                 []byte         // the entry, canonical, that the newest evidence holds the domain against; nil: unknown
}

// ErrSourceErrors says that a source has errors: nobody knows what it means, so no bot touches it.
var ErrSourceErrors = errors.New("the source has errors")

// checkedFor reads a source that is to be edited.
func checkedFor(ctx context.Context, source string) (Checked, error) {
	t, err := readTree(source)
	if err != nil {
		return Checked{}, err
	}
	if t.single != nil {
		return Checked{}, fmt.Errorf("%w: %s is one file in the 0.1 format, which cannot say who manages an entry; make it a directory", ErrSource, source)
	}
	c, err := checkTree(ctx, t)
	if err == nil && policy.HasErrors(c.Findings()) {
		err = fmt.Errorf("%w: %s", ErrSourceErrors, source)
	}
	return c, err
}

// Known reads the publisher's state: what its gate remembers, and the log. It needs Source, State or Vault, Trust, Now, and
// Evidence where vantages look; no key. It changes nothing.
func (p *Publisher) Known(ctx context.Context) (*Known, error) {
	checked, err := checkedFor(ctx, p.Source)
	if err != nil {
		return nil, err
	}
	if p.Gate == nil {
		return nil, ErrNoGate
	}
	last, t, err := p.peek(ctx)
	if err != nil {
		return nil, err
	}
	if err := last.ended(); err != nil {
		return nil, err
	}
	list := last.list()
	var told Probed
	p.readFeedback(&told)
	hear := func(in *gate.Input) { p.Gate.hear(in, told.feedback) }
	return &Known{checked, p.gateSettings(checked), hear, p.Now(), func(d policy.Domain) (knownDomain, error) {
		k := knownDomain{logged: true}
		if listed, ok := list.Lookup(d); ok {
			k.published = &listed
		}
		tr, err := t.of(d)
		if err == nil {
			k.registered, k.reviewed = tr.Registered, tr.Reviewed
			k.looks, k.log, err = tr.history()
		}
		return k, err
	}}, nil
}

// KnownFrom goes by merged evidence, a file a scan, signed by the vantages that list.json names. What the log says nobody
// tells it, so it takes the source for what is published.
func KnownFrom(ctx context.Context, source string, scans []probe.EvidenceFile, now time.Time) (*Known, error) {
	checked, err := checkedFor(ctx, source)
	if err != nil {
		return nil, err
	}
	s := checked.Source().Settings()
	if len(s.Vantages) == 0 {
		return nil, fmt.Errorf("%w: list.json names no vantages, so nobody's evidence counts", probe.ErrEvidence)
	}
	domains := make(map[policy.Domain]knownDomain)
	newest := make(map[policy.Domain]time.Time)
	for _, file := range scans {
		err := readScan(ctx, file, s, func(m probe.Merged) {
			k := domains[m.Domain]
			if look := lookOfMerged(m, now); look.Voters > 0 {
				k.looks = append(k.looks, look)
			}
			if !m.At.Before(newest[m.Domain]) {
				newest[m.Domain], k.held = m.At, m.Policy
			}
			domains[m.Domain] = k
		})
		if err != nil {
			return nil, err
		}
	}
	for d, k := range domains {
		slices.SortStableFunc(k.looks, func(a, b gate.Look) int { return a.At.Compare(b.At) })
		k.looks = slices.CompactFunc(k.looks, func(a, b gate.Look) bool { return a.At.Equal(b.At) }) // a file given twice
		domains[d] = k
	}
	settings := gate.Settings{Vantages: len(s.Vantages), Quorum: max(1, s.Quorum)}
	return &Known{checked, settings, func(*gate.Input) {}, now, func(d policy.Domain) (knownDomain, error) {
		k := domains[d]
		if e, ok := checked.Source().Lookup(d); ok {
			k.published = &e.Policy
		}
		return k, nil
	}}, nil
}

// readScan verifies a merged file; what it says counts only when all of it is good.
func readScan(ctx context.Context, file probe.EvidenceFile, s policy.Settings, each func(probe.Merged)) error {
	joined, err := alreadyMerged([]probe.EvidenceFile{file})
	if err != nil {
		return err
	}
	if !joined {
		return fmt.Errorf("%s: %w: it is of one vantage: join them first, starttls-list probe merge", file.Name, probe.ErrEvidence)
	}
	in, err := file.Open()
	if err != nil {
		return err
	}
	defer in.Close()
	var all []probe.Merged
	o := probe.MergeOptions{Quorum: s.Quorum, Keys: s.VantageKeys(), Window: maxEvidenceAge}
	_, err = probe.VerifyMerged(in, probe.MaxMerged, o, func(m probe.Merged) error {
		all = append(all, m)
		return ctx.Err()
	})
	if err != nil {
		return fmt.Errorf("%s: %w", file.Name, err)
	}
	for _, m := range all {
		each(m)
	}
	return nil
}
