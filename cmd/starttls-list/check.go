package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"

	"github.com/spf13/cobra"

	"github.com/starttls-everywhere/policylist/cmd/internal/term"
	"github.com/starttls-everywhere/policylist/pipeline"
	"github.com/starttls-everywhere/policylist/policy"
)

func newCheckCommand() *cobra.Command {
	var base, format string
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "check [--base REV] [--format text|json|github] SOURCE",
		Short: "check a source list offline",
		Long: `Check reads a source list, a directory with list.json and fragments or one file in the 0.1 format, and holds it against
the schemas and the rules. It asks nobody: whether the servers do what the list says is for "starttls-list probe" to find.

With --base it compares with the source as it was at a Git revision, lists what changes for which domain (an edit of an
alias for each domain that uses it) and reports only what the change is to blame for.

Files below incidents/ tell what went wrong; they are no part of the list, and check alone reads them besides the site.

Exit codes: 0 no errors, 1 errors, 2 could not decide, 3 wrong usage, 4 internal error.`,
		Example: `  $ starttls-list check list
  list: 5 domains, no errors, no warnings`,
		Args: exactly(1),
		RunE: func(c *cobra.Command, args []string) error {
			if asJSON {
				format = "json"
			}
			return check(c, args[0], base, format)
		},
	}
	cmd.Flags().StringVar(&base, "base", "", "compare with this Git revision and report only what changed")
	cmd.Flags().StringVar(&format, "format", "text", "text for people, json, or github for annotations in a workflow")
	cmd.Flags().BoolVar(&asJSON, "json", false, "the same as --format json")
	return cmd
}

// exactly are the arguments of a command that takes n.
func exactly(n int) cobra.PositionalArgs { return term.Arguments(n, n, usage) }

func check(c *cobra.Command, source, base, format string) error {
	print, ok := map[string]func(io.Writer, report) error{"text": printText, "json": printJSON, "github": printGitHub}[format]
	if !ok {
		return usage(c, fmt.Errorf("there is no format %q", format))
	}
	checked, err := readSource(c, source, base)
	if err != nil {
		return err
	}
	incidents, err := pipeline.CheckIncidents(c.Context(), source, base)
	if err != nil {
		return err
	}
	found := slices.Concat(checked.Findings(), incidents)
	slices.SortFunc(found, policy.Finding.Compare)
	r := report{
		Source: source, Base: base, Verdict: "pass", Domains: len(checked.Source().Entries()),
		Findings: found, Changes: checked.Changes(), compared: checked.Compared(),
	}
	switch {
	case policy.HasErrors(r.Findings):
		r.Verdict = "fail"
	case len(r.Findings) > 0:
		r.Verdict = "warn"
	}
	if err := print(c.OutOrStdout(), r); err != nil {
		return err
	}
	if r.Verdict == "fail" {
		return &term.Exit{Code: exitFail}
	}
	return nil
}

// readSource checks and turns what kept the check from deciding into an exit code and a hint.
func readSource(c *cobra.Command, source, base string) (checked pipeline.Checked, err error) {
	if base == "" {
		checked, err = pipeline.Check(c.Context(), source)
	} else {
		checked, err = pipeline.CheckAgainst(c.Context(), source, base)
	}
	switch {
	case errors.Is(err, pipeline.ErrSource):
		err = &term.Exit{Code: exitUsage, Err: err, Hint: "SOURCE is a directory with list.json, or one file in the 0.1 format"}
	case errors.Is(err, pipeline.ErrNotRepository):
		err = &term.Exit{Code: exitUsage, Err: err, Hint: "run it inside the list's Git repository, or leave out --base"}
	case errors.Is(err, pipeline.ErrNoRevision):
		err = &term.Exit{Code: exitUsage, Err: err, Hint: "a shallow clone lacks older commits: git fetch --unshallow, or fetch the base branch"}
	case errors.Is(err, pipeline.ErrGit):
		err = &term.Exit{Code: exitInconclusive, Err: err}
	}
	return checked, err
}

// report is what check prints; schema/findings.schema.json describes its JSON.
type report struct {
	Source   string                `json:"source"`
	Base     string                `json:"base,omitempty"`
	Verdict  string                `json:"verdict"` // pass, warn (warnings only), fail
	Domains  int                   `json:"domains"`
	Findings []policy.Finding      `json:"findings"`
	Changes  []policy.SourceChange `json:"changes,omitempty"`
	compared bool
}

func printText(w io.Writer, r report) error {
	for _, c := range r.Changes {
		through := ""
		if c.Alias != "" {
			through = fmt.Sprintf(" (by the alias %q)", c.Alias)
		}
		fmt.Fprintf(w, "%s: %s%s\n", c.Domain, c.Class, term.Escape(through))
	}
	term.Findings(w, r.Findings)
	changes := ""
	if r.compared {
		changes = term.Plural(len(r.Changes), "change") + " since " + r.Base + ", "
	}
	_, err := fmt.Fprintf(w, "%s: %s, %s%s\n", term.Escape(r.Source), term.Plural(r.Domains, "domain"), term.Escape(changes), term.Count(r.Findings))
	return err
}

func printJSON(w io.Writer, r report) error {
	if r.Findings == nil {
		r.Findings = []policy.Finding{}
	}
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	e.SetEscapeHTML(false)
	return e.Encode(r)
}

func printGitHub(w io.Writer, r report) error {
	term.GitHub(w, r.Findings)
	_, err := fmt.Fprintf(w, "%s: %s\n", term.Escape(r.Source), term.Count(r.Findings))
	return err
}
