package main

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"github.com/starttls-everywhere/policylist/cmd/internal/term"
	"github.com/starttls-everywhere/policylist/pipeline/tlsrpt"
	"github.com/starttls-everywhere/policylist/pipeline/tlsrpt/cells"
	"github.com/starttls-everywhere/policylist/policy"
	rfc8460 "github.com/starttls-everywhere/policylist/policy/tlsrpt"
)

const tlsrptTableLong = `Table makes the tables of feedback that are due, in the folder that tables in [tlsrpt] names, and shows the newest, or that
of another week: how often TLS failed on the way to which domains, as enough reporters saw it. A table is made four days
after its week, once, and never changes; the next release publishes it with its evidence. "tlsrpt serve" makes them, too.

Shares are none, rare (up to 1 in 100), some (up to 10), many (up to 50) and most. Of whom too few reported there is
"insufficient data", and it is not said how few.

Exit codes: 0 done, 3 usage, 4 internal, 75 the store is in use.`

const tlsrptTableExample = `  $ starttls-list tlsrpt table --config policylist.toml
  week from … to …: no domains, no providers, all else is insufficient data`

// tableFlags are the options of tlsrpt table.
type tableFlags struct {
	config, week string
	json         bool
}

func newTLSRPTTableCommand() *cobra.Command {
	var f tableFlags
	c := &cobra.Command{
		Use: "table [DOMAIN] --config FILE", Short: "makes the tables of feedback that are due, and shows the newest", Long: tlsrptTableLong, Example: tlsrptTableExample,
		Args: func(c *cobra.Command, args []string) error {
			if len(args) > 1 {
				return usage(c, fmt.Errorf("%d domains given, one is shown at a time", len(args)))
			}
			return nil
		},
		RunE: func(c *cobra.Command, args []string) error { return runTLSRPTTable(c, args, f) },
	}
	c.Flags().StringVar(&f.config, "config", configName, "configuration file with [tlsrpt]")
	c.Flags().StringVar(&f.week, "week", "", "show the table of the week that begins on this day, such as 2026-01-08")
	c.Flags().BoolVar(&f.json, "json", false, "print the table's bytes, as they are published")
	return c
}

func runTLSRPTTable(c *cobra.Command, args []string, f tableFlags) error {
	var only policy.Domain
	var err error
	if len(args) == 1 {
		if only, err = policy.NormalizeDomain(args[0]); err != nil {
			return usage(c, err)
		}
		if f.json {
			return usage(c, errors.New("DOMAIN and --json exclude each other: a table has one form"))
		}
	}
	if f.week != "" {
		if _, err := cells.ParseWeek(f.week); err != nil {
			return usage(c, fmt.Errorf("--week: %w", err))
		}
	}
	cfg, store, err := openTLSRPT(f.config, true)
	if err != nil {
		return err
	}
	if cfg.TLSRPT.Tables == "" {
		return &term.Exit{Code: exitUsage, Err: fmt.Errorf("%s: [tlsrpt] tables is not set: no feedback is published", f.config), Hint: "set it to a folder; its parent exists"}
	}
	listed, err := cfg.listed(c.Context())
	if err != nil {
		return &term.Exit{Code: exitUsage, Err: err, Hint: "list in [tlsrpt] names a policy.json"}
	}
	if _, err := store.MakeTables(c.Context(), cfg.path(cfg.TLSRPT.Tables), listed); err != nil {
		return tlsrptError(err)
	}
	data, err := readTable(cfg.path(cfg.TLSRPT.Tables), f.week)
	if errors.Is(err, fs.ErrNotExist) {
		return &term.Exit{Code: exitUsage, Err: err, Hint: "a week's table is made four days after its last day"}
	}
	if err != nil {
		return &term.Exit{Code: exitInternal, Err: err}
	}
	if f.json {
		_, err := fmt.Fprintf(c.OutOrStdout(), "%s\n", data)
		return err
	}
	table, err := cells.Parse(data)
	if err != nil {
		return &term.Exit{Code: exitInternal, Err: err, Hint: "restore the file from a backup, or from the evidence of a release; it is never made twice"}
	}
	printTable(c.OutOrStdout(), table, only)
	return nil
}

// readTable takes the newest table of a folder, or that of a week.
func readTable(folder, week string) ([]byte, error) {
	if week == "" {
		_, data, err := tlsrpt.NewestTable(folder)
		return data, err
	}
	return readFile(filepath.Join(folder, week+".json"), cells.MaxTableBytes)
}

func printTable(w io.Writer, t cells.Table, only policy.Domain) {
	if !only.IsZero() {
		row, ok := t.Row(only)
		fmt.Fprintf(w, "%s from %s to %s: %s\n", only, t.Week.First(), t.Week.Last(), cellsText(row, ok))
		return
	}
	fmt.Fprintf(w, "week from %s to %s: %s, %s, all else is %s\n", t.Week.First(), t.Week.Last(),
		term.Plural(len(t.Domains), "domain"), term.Plural(len(t.Providers), "provider"), cells.Insufficient)
	for _, r := range t.Domains {
		fmt.Fprintf(w, "%s: %s\n", r.Name, cellsText(r.Cells, true))
	}
	for _, r := range t.Providers {
		fmt.Fprintf(w, "other domains at %s: %s\n", r.Name, cellsText(r.Cells, true))
	}
}

// cellsText leaves out classes of which there are none.
func cellsText(c cells.Cells, ok bool) string {
	if !ok {
		return cells.Insufficient
	}
	var words []string
	for _, class := range rfc8460.Classes() {
		if b := c.Of(class); b != cells.None {
			words = append(words, fmt.Sprintf("%s %s", b, class))
		}
	}
	return strings.Join(words, ", ")
}
