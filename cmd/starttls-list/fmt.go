package main

import (
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/starttls-everywhere/policylist/cmd/internal/term"
	"github.com/starttls-everywhere/policylist/pipeline"
)

func newFmtCommand() *cobra.Command {
	var only bool
	cmd := &cobra.Command{
		Use:   "fmt [--check] SOURCE",
		Short: "bring a source list into its normal form",
		Long: `Fmt rewrites the files of a source list: entries sorted, one a line, names in lower case and as A-labels, MX patterns as
the list publishes them, those dropped that another pattern covers. Notes stay. It prints the name of each file that it
changed, and replaces files whole, so that a crash leaves the old one or the new one. A file with an error in it stays as it
is, and fmt says why.

Exit codes: 0 done, 1 a file could not be formatted or, with --check, would change, 3 wrong usage, 4 internal error.`,
		Example: `  $ starttls-list fmt --check list
  list: 3 files, all in normal form`,
		Args: exactly(1),
		RunE: func(c *cobra.Command, args []string) error { return format(c, args[0], only) },
	}
	cmd.Flags().BoolVar(&only, "check", false, "write nothing, only say which files would change")
	return cmd
}

func format(c *cobra.Command, source string, only bool) error {
	files, err := pipeline.Format(c.Context(), source, !only)
	if errors.Is(err, pipeline.ErrSource) {
		return &term.Exit{Code: exitUsage, Err: err, Hint: "SOURCE is a directory with list.json, or one file in the 0.1 format"}
	}
	if errors.Is(err, pipeline.ErrChangedMeanwhile) {
		return &term.Exit{Code: exitFail, Err: err, Hint: "run it again"}
	}
	if err != nil {
		return err
	}
	changed, refused := 0, 0
	for _, f := range files {
		switch {
		case f.Err != nil:
			refused++
			fmt.Fprintf(c.ErrOrStderr(), "%s: %s\n", term.Escape(f.Path), term.Escape(f.Err.Error()))
		case f.Changed:
			changed++
			fmt.Fprintln(c.OutOrStdout(), term.Escape(f.Path))
		}
	}
	if changed+refused == 0 {
		fmt.Fprintf(c.OutOrStdout(), "%s: %s, all in normal form\n", term.Escape(source), term.Plural(len(files), "file"))
	}
	if refused > 0 || only && changed > 0 {
		return &term.Exit{Code: exitFail}
	}
	return nil
}
