package main

import (
	"cmp"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/starttls-everywhere/policylist/cmd/internal/term"
	"github.com/starttls-everywhere/policylist/mirror/audit"
	"github.com/starttls-everywhere/policylist/pipeline"
	"github.com/starttls-everywhere/policylist/pipeline/probe"
	"github.com/starttls-everywhere/policylist/pipeline/tlsrpt"
	"github.com/starttls-everywhere/policylist/policy"
	"github.com/starttls-everywhere/policylist/policy/gate"
	"github.com/starttls-everywhere/policylist/policy/proof"
)

// codes is every code that this program may print, sorted.
func codes() []policy.Code {
	all := slices.Concat(policy.Codes(), gate.Codes(), proof.Codes(), probe.Codes(), pipeline.Codes(), tlsrpt.Codes(), audit.Codes())
	slices.SortFunc(all, func(a, b policy.Code) int { return cmp.Compare(a.ID, b.ID) })
	return all
}

func newCodeCommand() *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "code [CODE]",
		Short: "explain a code of a finding or of a log entry",
		Long: `Code explains one of the dotted codes that findings, evidence and the log carry, or lists all of them.

Exit codes: 0 done, 3 no such code or wrong usage.`,
		Example: `  $ starttls-list code mode.missing
  mode.missing: a policy has no mode
  severity: error
  rules: R18
  fix: say "mode": "testing" or "mode": "enforce"; there is no default`,
		Args: func(c *cobra.Command, args []string) error {
			if len(args) > 1 {
				return usage(c, fmt.Errorf("%d codes given, one is explained at a time", len(args)))
			}
			return nil
		},
		RunE: func(c *cobra.Command, args []string) error { return explainCode(c, args, asJSON) },
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return cmd
}

func explainCode(c *cobra.Command, args []string, asJSON bool) error {
	chosen := codes()
	if len(args) == 1 {
		chosen = slices.DeleteFunc(chosen, func(x policy.Code) bool { return x.ID != args[0] })
		if len(chosen) == 0 {
			return &term.Exit{Code: exitUsage, Err: fmt.Errorf("there is no code %q", args[0]), Hint: "starttls-list code lists all"}
		}
	}
	out := c.OutOrStdout()
	if asJSON {
		e := json.NewEncoder(out)
		e.SetIndent("", "  ")
		e.SetEscapeHTML(false)
		if len(args) == 1 {
			return e.Encode(chosen[0])
		}
		return e.Encode(chosen)
	}
	if len(args) == 0 {
		for _, x := range chosen {
			fmt.Fprintf(out, "%-24s %-8s %s\n", x.ID, x.Severity, x.Summary)
		}
		return nil
	}
	x := chosen[0]
	rules := ""
	if len(x.Rules) > 0 {
		rules = "rules: " + strings.Join(x.Rules, ", ") + "\n"
	}
	what := "fix"
	if x.Severity == policy.Reason {
		what = "when"
	}
	_, err := fmt.Fprintf(out, "%s: %s\nseverity: %s\n%s%s: %s\n", x.ID, x.Summary, x.Severity, rules, what, x.Fix)
	return err
}
