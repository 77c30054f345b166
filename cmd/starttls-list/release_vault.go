package main

import (
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/starttls-everywhere/policylist/cmd/internal/term"
	"github.com/starttls-everywhere/policylist/mirror"
	"github.com/starttls-everywhere/policylist/pipeline"
)

// vaultJSON is what release --dry-run --json says of a state on S3.
type vaultJSON struct {
	Conditions mirror.Conditions `json:"conditions"`
	Hold       bool              `json:"hold"`      // a publisher's name is optional
	Verdict    string            `json:"verdict"`   // the same in words
	Probed     string            `json:"probed"`    // when; "" for never
	Publisher  string            `json:"publisher"` // the configured one
	Empty      bool              `json:"empty"`     // there is no state yet
	Lease      leaseJSON         `json:"lease"`
	Refused    string            `json:"refused,omitempty"` // why a release would be turned away now
	ProbeError string            `json:"probe_error,omitempty"`
}

type leaseJSON struct {
	Held  bool   `json:"held"`
	Owner string `json:"owner"`
	Run   string `json:"run"` // "" when there never was a lease
	Epoch int64  `json:"epoch"`
	Until string `json:"until"` // while it is held
}

// lookAtVault probes the store of a state on S3 and prints what it found, nil for a state in a folder.
func lookAtVault(c *cobra.Command, p *pipeline.Publisher, asJSON bool) (*vaultJSON, error) {
	if p.Vault == nil {
		return nil, nil
	}
	s, err := p.Vault.Status(c.Context(), p.Now)
	if err != nil {
		return nil, &term.Exit{Code: exitInternal, Err: fmt.Errorf("the state: %w", err), Hint: leaseHint(err)}
	}
	j := describeVault(s, p.Vault.Publisher)
	if !asJSON {
		printVault(c, j, s)
	}
	return j, nil
}

func describeVault(s pipeline.VaultStatus, publisher string) *vaultJSON {
	j := &vaultJSON{
		Conditions: s.Conditions, Hold: s.Conditions.Hold(), Verdict: s.Conditions.String(), Publisher: publisher, Empty: s.Empty,
		Lease: leaseJSON{Held: s.Held, Owner: s.Owner, Run: s.Run, Epoch: s.Epoch},
	}
	if s.Held {
		j.Lease.Until = s.Until.UTC().Format(time.RFC3339)
	}
	if s.Probed.IsZero() {
		j.Verdict = "what conditional writes are worth is not known"
	} else {
		j.Probed = s.Probed.UTC().Format(time.RFC3339)
	}
	if s.Refusal != nil {
		j.Refused = s.Refusal.Error()
	}
	if s.ProbeErr != nil {
		j.ProbeError = s.ProbeErr.Error()
	}
	return j
}

func printVault(c *cobra.Command, j *vaultJSON, s pipeline.VaultStatus) {
	w := c.OutOrStdout()
	name := func(owner string) string {
		if owner == "" {
			return "a publisher without a name"
		}
		return fmt.Sprintf("publisher %q", owner)
	}
	fmt.Fprintf(w, "state on S3: %s\n", j.Verdict)
	if s.ProbeErr != nil {
		fmt.Fprintf(w, "  NOT probed now: %s\n", term.Lines(s.ProbeErr.Error(), "    "))
	}
	switch {
	case j.Probed == "":
	case j.Hold && j.Publisher == "":
		fmt.Fprintln(w, "  any run with these keys may publish, one at a time: publisher in the configuration is optional here")
	case j.Hold:
		fmt.Fprintf(w, "  this is %s\n", name(j.Publisher))
	case j.Publisher == "":
		fmt.Fprintln(w, "  nothing is released until publisher in the configuration names the only one")
	default:
		fmt.Fprintf(w, "  only %s may release\n", name(j.Publisher))
	}
	switch {
	case j.Lease.Run == "":
		fmt.Fprintln(w, "  lease: never taken")
	case j.Lease.Held:
		fmt.Fprintf(w, "  lease: run %s of %s has it until %s\n", term.Escape(j.Lease.Run), name(j.Lease.Owner), j.Lease.Until)
	default:
		fmt.Fprintf(w, "  lease: free; run %s of %s had it last\n", term.Escape(j.Lease.Run), name(j.Lease.Owner))
	}
	if s.Refusal != nil {
		fmt.Fprintf(w, "  a release now would be turned away: %s\n", term.Lines(s.Refusal.Error(), "    "))
	}
}

// leaseHint says what to do about errors of a state on S3.
func leaseHint(err error) string {
	switch {
	case errors.Is(err, pipeline.ErrFenced):
		return "this run did nothing that counts since it lost the lease; run the command again when the other publisher is done"
	case errors.Is(err, pipeline.ErrLeased):
		return "wait for the other run; if it died, its lease ends at the time above"
	case errors.Is(err, pipeline.ErrPublisher):
		return "set publisher in the configuration of the one publisher, and run no other; starttls-list release --dry-run shows whose the lease is"
	case errors.Is(err, pipeline.ErrVault):
		return "restore state.json and blob/ from a version or copy of the bucket, or let starttls-list recover --replace rebuild the state from a mirror"
	}
	return ""
}
