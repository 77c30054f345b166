package audit

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/starttls-everywhere/policylist/mirror"
	"github.com/starttls-everywhere/policylist/policy"
)

// Audited is one of several mirrors of a list, after its audit.
type Audited struct {
	Name   string
	Mirror mirror.Reader
	Report Report
}

// Compare holds mirrors against the one with the newest release: an older state is a lag, and a state that is no prefix
// of the newest is a fork, whose evidence comes with it. Findings name the mirror as their file. The error wraps
// ErrUnreachable: some mirrors could not be compared; the findings are true all the same.
func Compare(ctx context.Context, mirrors []Audited) (findings []policy.Finding, forks []*mirror.ForkError, err error) {
	found := slices.DeleteFunc(slices.Clone(mirrors), func(m Audited) bool { return m.Report.newest == nil })
	if len(found) < 2 {
		return nil, nil, nil
	}
	newest := slices.MaxFunc(found, func(a, b Audited) int {
		return cmp.Or(cmp.Compare(a.Report.newest.Release, b.Report.newest.Release), cmp.Compare(a.Report.Size, b.Report.Size))
	})
	var errs []error
	for _, m := range found {
		fork, err := contradicts(ctx, m, newest)
		if err != nil {
			errs = append(errs, fmt.Errorf("%w: %s against %s: %w", ErrUnreachable, m.Name, newest.Name, err))
		}
		if fork != nil {
			forks = append(forks, fork)
			findings = append(findings, finding(MirrorsFork, m.Name, "against "+newest.Name))
			continue
		}
		if f, ok := lag(m, newest); ok {
			findings = append(findings, f)
		}
	}
	slices.SortFunc(findings, policy.Finding.Compare)
	return findings, forks, errors.Join(errs...)
}

// lag is what a mirror's distance to the newest release is worth.
func lag(m, newest Audited) (policy.Finding, bool) {
	leaf, best := m.Report.newest, newest.Report.newest
	if leaf.Release == best.Release {
		return policy.Finding{}, false
	}
	behind := best.Timestamp.Sub(leaf.Timestamp)
	code := MirrorLags
	if behind > youngFor {
		code = MirrorStuck
	}
	return finding(code, m.Name, fmt.Sprintf("release %d, %s has %d, made %s later", leaf.Release, newest.Name, best.Release, behind)), true
}

// contradicts compares two trees of one log; logs of other origins are of other times. Which of the two is larger
// decides whose tiles can show that the other is a prefix.
func contradicts(ctx context.Context, a, b Audited) (*mirror.ForkError, error) {
	x, y := a.Report.checkpoint, b.Report.checkpoint
	if x.Origin != y.Origin || x.Tree == y.Tree {
		return nil, nil
	}
	larger := b.Mirror
	if x.Tree.N > y.Tree.N {
		x, y, larger = y, x, a.Mirror
	}
	err := mirror.CheckConsistent(ctx, larger, x.Tree, string(x.Note), y)
	var fork *mirror.ForkError
	if errors.As(err, &fork) {
		return fork, nil
	}
	return nil, err
}
