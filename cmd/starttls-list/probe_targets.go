package main

import (
	"cmp"
	"errors"
	"fmt"
	"slices"

	"github.com/spf13/cobra"

	"github.com/starttls-everywhere/policylist/cmd/internal/term"
	"github.com/starttls-everywhere/policylist/pipeline"
	"github.com/starttls-everywhere/policylist/pipeline/probe"
	"github.com/starttls-everywhere/policylist/policy"
)

// targets are the domains that the command line asks for, sorted, each once, of the wanted shard.
func (f *probeFlags) targets(c *cobra.Command, args []string) ([]probe.Target, error) {
	var targets []probe.Target
	var err error
	switch {
	case f.all && f.changed:
		return nil, usage(c, errors.New("--all and --changed exclude each other"))
	case f.changed != (f.base != ""):
		return nil, usage(c, errors.New("--changed and --base REV belong together"))
	case f.all || f.changed:
		if len(args) != 1 {
			return nil, usage(c, errors.New("name one source list"))
		}
		if targets, err = f.listed(c, args[0]); err == nil {
			targets, err = f.withPublished(c, targets)
		}
	case len(args) == 0:
		return nil, usage(c, errors.New("no domain given"))
	default:
		targets, err = named(c, args)
	}
	if err != nil {
		return nil, err
	}
	shard, err := probe.ParseShard(f.shard)
	if err != nil {
		return nil, usage(c, fmt.Errorf("--shard: %w", err))
	}
	return shard.Select(targets), nil
}

func named(c *cobra.Command, args []string) ([]probe.Target, error) {
	var domains []policy.Domain
	for _, arg := range args {
		d, err := policy.NormalizeDomain(arg)
		if err != nil {
			return nil, usage(c, err)
		}
		domains = append(domains, d)
	}
	slices.SortFunc(domains, func(a, b policy.Domain) int { return cmp.Compare(a.String(), b.String()) })
	var targets []probe.Target
	for _, d := range slices.Compact(domains) {
		targets = append(targets, probe.Target{Domain: d})
	}
	return targets, nil
}

// listed reads the source. One with errors is not probed: which entries are missing from it nobody knows.
func (f *probeFlags) listed(c *cobra.Command, source string) ([]probe.Target, error) {
	ctx := c.Context()
	var checked pipeline.Checked
	var err error
	if f.changed {
		checked, err = pipeline.CheckAgainst(ctx, source, f.base)
	} else {
		checked, err = pipeline.Check(ctx, source)
	}
	switch {
	case errors.Is(err, pipeline.ErrSource), errors.Is(err, pipeline.ErrNoRevision):
		return nil, usage(c, err)
	case err != nil:
		return nil, err
	case policy.HasErrors(checked.Findings()):
		return nil, &term.Exit{
			Code: exitFail, Err: fmt.Errorf("the source %s has errors", source), Hint: "starttls-list check " + source + " lists them",
		}
	}
	var targets []probe.Target
	if !f.changed {
		return targetsOf(checked.Entries()), nil
	}
	for _, ch := range checked.Changes() {
		if ch.New != nil {
			targets = append(targets, probe.Target{Domain: ch.Domain, Policy: *ch.New})
		}
	}
	return targets, nil
}

func targetsOf(entries []policy.Entry) (targets []probe.Target) {
	for _, e := range entries {
		targets = append(targets, probe.Target{Domain: e.Domain, Policy: e.Policy})
	}
	return targets
}
