package main

import (
	"encoding/json"
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/starttls-everywhere/policylist/cmd/internal/term"
	"github.com/starttls-everywhere/policylist/pipeline"
	"github.com/starttls-everywhere/policylist/pipeline/signing"
	"github.com/starttls-everywhere/policylist/policy"
)

const releaseLong = `Release carries the list from its source to its mirrors: check, probe, sign, log, publish, and fetch it back from
each mirror as a client would. Every run makes a release: with nothing new, or with errors in the source, it renews
the last list, so that no client's list expires. Run it at least daily, from a timer.

A new or changed domain that fails its probe is held: its last published policy stays, or it stays absent, and the
rest goes out. Where nobody could look at the whole list within 24 hours, nothing new goes in, and an alarm says so (exit
1); the list is renewed all the same. A run that was interrupted is completed by the next one, with the same bytes.

With [gate] enabled the change table decides instead: changes wait until they are proven for as long as the table says,
entries that no longer work are demoted, owners leave by their own word, and the releases of a day carry no more changes
than their budget, and none that clients would take for a thief's and keep back. What the gate holds leaves the exit code as it
is; starttls-list pending shows it. With --accept-budget, two maintainers' word, all that waits for the budget goes out now, and the
finding release.startles tells where clients then wait for "starttls-policy update --accept RELEASE".

Where the trust names witnesses, all are asked to cosign the log's checkpoint. Without their quorum the release stays
logged and unpublished (exit 4), and the next run asks again, or makes the next release on top of it.

With --keyless the release gets, beside its signatures by keys, a bundle by Fulcio and a timestamp authority that names
who made it (policy.json.keyless.sigstore.json, [keyless] in the configuration). One that cannot be made is missing with a
warning; nothing waits for it longer than 30 seconds. --release-key and --log-key name other keys than [keys] does, such as
those of a job in the cloud.

With [site] enabled each mirror gets the list's pages as well. Nothing waits for them longer than the configuration says:
pages that could not be made or written are told of (release.site), leave the exit code as it is, and come with the next
release.

With --dry-run and the state on S3 it tries what the store's conditional writes are worth, says whether the
configuration has to name the only publisher, and who has the lease until when. If the state is lost, see recover.

Exit codes: 0 released, 1 released without what the source's errors or failing probes keep back, 2 released on some
mirrors only or held for inconclusive probes, 3 usage, 4 nothing was released.`

const releaseExample = `  $ starttls-list release --config mylist/policylist.toml
  release 1 of list.operator.example/2026: 5 domains, 5 changes, log size 6
    add.enforce       good.example  enforce  [mx.good.example]
    …
    mirror public: published and verified
    not witnessed: the trust asks for no witness`

// Exit codes of release beyond the common ones.
const exitPartly = exitInconclusive

func newReleaseCommand() *cobra.Command {
	var config string
	var dry, final, accept, noKey, asJSON bool
	var keys keyFlags
	c := &cobra.Command{
		Use: "release --config FILE", Short: "checks, probes, signs, logs and publishes the list", Long: releaseLong, Example: releaseExample,
		Args: exactly(0),
		RunE: func(c *cobra.Command, _ []string) error {
			switch {
			case dry && final:
				return usage(c, errors.New("--dry-run and --final exclude each other"))
			case dry:
				return runPlan(c, config, &keys, accept, asJSON)
			}
			return runRelease(c, config, releaseFlags{keys: &keys, final: final, accept: accept, keyless: noKey, asJSON: asJSON})
		},
	}
	c.Flags().StringVar(&config, "config", configName, "configuration file, as init writes it")
	c.Flags().BoolVar(&dry, "dry-run", false, "say what would be released, and change nothing")
	c.Flags().BoolVar(&final, "final", false, "end the list: publish an empty one that tells clients to drop everything")
	c.Flags().BoolVar(&accept, "accept-budget", false, "let this release exceed its budget of changes: two maintainers agreed to all that the gate holds for it")
	c.Flags().BoolVar(&noKey, "keyless", false, "add a bundle that names who released, by Fulcio and a timestamp authority")
	c.Flags().BoolVar(&asJSON, "json", false, "print the result as JSON")
	keys.add(c.Flags())
	return c
}

// releaseFlags say how to release.
type releaseFlags struct {
	keys                           *keyFlags
	final, accept, keyless, asJSON bool
}

// acceptBudget passes --accept-budget on.
func acceptBudget(p *pipeline.Publisher, accept bool) error {
	switch {
	case !accept:
		return nil
	case p.Gate == nil:
		return &term.Exit{Code: exitUsage, Err: errors.New("--accept-budget: no gate has a budget here"), Hint: "set enabled in [gate]"}
	}
	p.Gate.AcceptBudget = true
	return nil
}

// openPublisher reads the configuration; what is wrong in it is the caller's mistake.
func openPublisher(c *cobra.Command, path string) (*pipeline.Publisher, error) {
	p, _, err := openConfigured(c, path, &keyFlags{})
	return p, err
}

// openConfigured is openPublisher with other keys, and with the configuration itself.
func openConfigured(c *cobra.Command, path string, keys *keyFlags) (*pipeline.Publisher, *config, error) {
	cfg, err := readConfig(path)
	if err == nil {
		err = keys.replace(cfg)
	}
	if errors.Is(err, errEmptyKey) {
		return nil, nil, usage(c, err)
	}
	if err != nil {
		return nil, nil, &term.Exit{Code: exitUsage, Err: err, Hint: "starttls-list init writes a configuration that explains every key"}
	}
	p, err := cfg.publisher(c)
	if errors.Is(err, signing.ErrRemote) {
		return nil, nil, &term.Exit{Code: exitInternal, Err: err, Hint: releaseHint(err)} // an outage is no mistake of the caller's
	}
	if err != nil {
		return nil, nil, &term.Exit{Code: exitUsage, Err: fmt.Errorf("%s: %w", path, err), Hint: configHint(err)}
	}
	return p, cfg, nil
}

func runRelease(c *cobra.Command, path string, f releaseFlags) error {
	p, cfg, err := openConfigured(c, path, f.keys)
	if err != nil {
		return err
	}
	if err := acceptBudget(p, f.accept); err != nil {
		return err
	}
	if f.keyless {
		if p.Keyless, err = cfg.keyless(); err != nil {
			return &term.Exit{Code: exitUsage, Err: fmt.Errorf("%s: %w", path, err), Hint: "starttls-list init writes a configuration that explains every key"}
		}
	}
	make := p.Release
	if f.final {
		make = p.Final
	}
	out, err := make(c.Context())
	if out != nil && out.Leaf() != nil {
		if f.asJSON {
			printReleaseJSON(c.OutOrStdout(), out)
		} else {
			printRelease(c.OutOrStdout(), out)
			term.Findings(c.ErrOrStderr(), out.Findings)
		}
	}
	if err != nil {
		return &term.Exit{Code: exitInternal, Err: err, Hint: releaseHint(err)}
	}
	return releaseExit(out)
}

// releaseExit is the exit code of a release that went out.
func releaseExit(out *pipeline.Published) error {
	code := exitPass
	for _, m := range out.Mirrors {
		if m.Err != nil {
			code = exitPartly
		}
	}
	for _, h := range out.Held {
		if h.Verdict == "fail" {
			code = exitFail
		} else if code == exitPass && !h.ByGate() { // what waits for its time is in order
			code = exitPartly
		}
	}
	for _, f := range out.Findings {
		if f.Severity == policy.Error {
			code = exitFail
		}
	}
	if code == exitPass {
		return nil
	}
	return &term.Exit{Code: code}
}

func runPlan(c *cobra.Command, config string, keys *keyFlags, accept, asJSON bool) error {
	keys.dry = true
	p, _, err := openConfigured(c, config, keys)
	if err != nil {
		return err
	}
	if err := acceptBudget(p, accept); err != nil {
		return err
	}
	w := c.OutOrStdout()
	store, err := lookAtVault(c, p, asJSON)
	if err != nil {
		return err
	}
	plan, checked, err := p.Plan(c.Context())
	if err != nil {
		return &term.Exit{Code: exitInternal, Err: err, Hint: releaseHint(err)}
	}
	findings := plan.Told(checked)
	if asJSON {
		j := map[string]any{"changes": changesJSON(plan.Changes()), "held": pipeline.HeldJSON(plan.Held()), "count": plan.List().Len(), "findings": findings}
		if store != nil {
			j["state"] = store
		}
		return json.NewEncoder(w).Encode(j)
	}
	fmt.Fprintf(w, "would release %d domains with %s; nothing was changed\n", plan.List().Len(), term.Plural(len(plan.Changes()), "change"))
	printChanges(w, plan.Changes())
	printHeld(w, plan.Held())
	term.Findings(c.ErrOrStderr(), findings)
	return releaseExit(&pipeline.Published{Held: plan.Held(), Findings: findings})
}
