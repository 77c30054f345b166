package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"

	"github.com/starttls-everywhere/policylist/cmd/internal/term"
	"github.com/starttls-everywhere/policylist/pipeline"
	"github.com/starttls-everywhere/policylist/policy"
)

const pendingLong = `Pending shows every change that the list's gate holds, why, what would release it, and when it will be looked at again: the
earliest time at which it can go out, or, where nobody can tell, each release. It goes by what earlier releases saw, asks
nobody, and changes nothing. Changes that begin without a commit, as an owner's wish to leave, are among them.

It needs [gate] enabled in the configuration, and no key.

Exit codes: 0 done, whether anything is held or not; 3 usage, 4 internal.`

const pendingExample = `  $ starttls-list pending --config mylist/policylist.toml
  trial.example  strengthened  held since 2026-03-02T08:00:00Z, not before 2026-03-16T08:00:00Z
    gate.waiting: the MTA-STS policy has said so since 2026-03-02T08:00:00Z, and has to for 14 days: all is as it …
      fix: nothing: keep things as they are until then`

func newPendingCommand() *cobra.Command {
	var config string
	var asJSON bool
	c := &cobra.Command{
		Use: "pending --config FILE", Short: "shows which changes are held, why, and until when", Long: pendingLong, Example: pendingExample,
		Args: exactly(0),
		RunE: func(c *cobra.Command, _ []string) error { return runPending(c, config, asJSON) },
	}
	c.Flags().StringVar(&config, "config", configName, "configuration file, as init writes it")
	c.Flags().BoolVar(&asJSON, "json", false, "print the result as JSON")
	return c
}

func runPending(c *cobra.Command, config string, asJSON bool) error {
	p, err := onlooker(c, config, "")
	if err != nil {
		return err
	}
	plan, checked, err := p.Pending(c.Context())
	if errors.Is(err, pipeline.ErrNoGate) {
		return &term.Exit{Code: exitUsage, Err: err, Hint: "set enabled in [gate]; without it, release --dry-run says what its probe holds"}
	}
	if err != nil {
		return &term.Exit{Code: exitInternal, Err: err, Hint: releaseHint(err)}
	}
	if asJSON {
		return json.NewEncoder(c.OutOrStdout()).Encode(map[string]any{
			"held": pipeline.HeldJSON(plan.Held()), "ready": changesJSON(plan.Changes()), "findings": plan.Told(checked)})
	}
	printPending(c.OutOrStdout(), plan)
	term.Findings(c.ErrOrStderr(), plan.Told(checked))
	return nil
}

func printPending(w io.Writer, plan pipeline.Probed) {
	if len(plan.Held()) == 0 {
		fmt.Fprintln(w, "nothing is held")
	}
	for _, h := range plan.Held() {
		fmt.Fprintf(w, "%s  %s  %s\n", h.Change.Domain, h.Change.Class, heldText(h))
		printFindings(w, "  ", h.Found)
	}
	for _, ch := range plan.Changes() {
		fmt.Fprintf(w, "%s  %s: the next release makes it, if it sees the same\n", ch.Domain, ch.Reason)
	}
}

// heldText says since when and until when.
func heldText(h pipeline.Held) string {
	text := "held"
	if h.Automatic {
		text = "begun by itself, held"
	}
	if !h.Since.IsZero() {
		text += " since " + stamp(h.Since)
	}
	if h.Until.IsZero() {
		return text + ", looked at again at each release"
	}
	return text + ", not before " + stamp(h.Until)
}

func stamp(t time.Time) string { return t.UTC().Format(policy.TimeFormat) }

func printFindings(w io.Writer, indent string, findings []policy.Finding) {
	for _, f := range findings {
		fmt.Fprintf(w, "%s%s: %s\n%s  fix: %s\n", indent, f.Code, term.Escape(f.Summary), indent, term.Escape(f.Fix))
	}
}
