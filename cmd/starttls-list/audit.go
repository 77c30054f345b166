package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/starttls-everywhere/policylist/cmd/internal/term"
	"github.com/starttls-everywhere/policylist/mirror/audit"
	"github.com/starttls-everywhere/policylist/policy"
)

const auditLong = `Audit reads a mirror's log from its first entry and compares everything that the mirror serves with what the
entries say: every tile and the root that the log signed; every release by the rules that clients apply, each list
rebuilt and compared with its signed digest; release proofs, lists, evidence, policy.json and the pointers; and, where
the mirror can be listed, what no release put there. URL is https://…, a folder, file:///folder or s3://bucket/prefix.

The trust version in --trust, usually the list's first, is where belief begins; later ones are followed on the mirror.
Each finding names the object and has a code that "starttls-list code" explains. Entries without effect, as an abandoned
attempt or a thief of a key leaves them, are warnings.

Exit codes: 0 no errors, 1 errors, 2 the mirror could not be read to the end, 3 wrong usage, 4 internal error.`

const auditExample = `  $ starttls-list audit public --trust trust/1
  public: list.operator.example/2026, release 1: 6 log entries replayed (… a second), 1 list rebuilt, 11 objects compared
  public: no errors, no warnings`

func newAuditCommand() *cobra.Command {
	var trust string
	var asJSON bool
	c := &cobra.Command{
		Use: "audit URL --trust FILE", Short: "replays a mirror from its first log entry and compares all it serves",
		Long: auditLong, Example: auditExample, Args: exactly(1),
		RunE: func(c *cobra.Command, args []string) error { return runAudit(c, args[0], trust, asJSON) },
	}
	c.Flags().StringVar(&trust, "trust", "", "file with the signed trust version to start from")
	c.Flags().BoolVar(&asJSON, "json", false, "print the report as JSON")
	return c
}

func runAudit(c *cobra.Command, url, trustFile string, asJSON bool) error {
	if trustFile == "" {
		return usage(c, errors.New("an audit needs --trust FILE: what the mirror itself serves proves nothing"))
	}
	trust, err := readTrustFile(trustFile)
	if err != nil {
		return err
	}
	reader, err := openReader(c.Context(), url)
	if err != nil {
		return err
	}
	bar := newProgress(c.ErrOrStderr())
	began := time.Now()
	report, err := (&audit.Audit{Mirror: reader, Trust: trust, Progress: bar.show}).Run(c.Context())
	took := time.Since(began)
	bar.end()
	if asJSON {
		err = errors.Join(err, printAuditJSON(c, report, err, took))
	} else {
		printAudit(c, url, report, took)
	}
	switch {
	case errors.Is(err, audit.ErrTrustTooNew):
		return &term.Exit{Code: exitUsage, Err: err, Hint: "give the first trust version that the log was made under, usually trust/1"}
	case errors.Is(err, audit.ErrUnreachable):
		return &term.Exit{Code: exitInconclusive, Err: err, Hint: "audit again; what was found until then is above"}
	case err != nil:
		return err
	case policy.HasErrors(report.Findings):
		return &term.Exit{Code: exitFail}
	}
	return nil
}

// perSecond is 0 for a time too short to tell.
func perSecond(n int64, took time.Duration) int64 {
	if took <= 0 {
		return 0
	}
	return int64(float64(n) / took.Seconds())
}

func printAudit(c *cobra.Command, url string, r audit.Report, took time.Duration) {
	w := c.OutOrStdout()
	name := term.Escape(url)
	if r.Size > 0 {
		fmt.Fprintf(w, "%s: %s, release %d: %d log entries replayed (%d a second), %s rebuilt, %s compared\n", name, r.Origin, r.Release,
			r.Replayed, perSecond(r.Replayed, took), term.Plural(r.Releases, "list"), term.Plural(int(r.Objects), "object"))
	}
	term.Findings(w, r.Findings)
	if r.More > 0 {
		fmt.Fprintf(w, "%s: %d more log entries without effect\n", name, r.More)
	}
	fmt.Fprintf(w, "%s: %s\n", name, term.Count(r.Findings))
}

func printAuditJSON(c *cobra.Command, r audit.Report, err error, took time.Duration) error {
	if r.Findings == nil {
		r.Findings = []policy.Finding{}
	}
	j := struct {
		audit.Report
		Seconds   float64 `json:"seconds"`
		PerSecond int64   `json:"entries_per_second"`
		Error     string  `json:"error,omitempty"`
	}{Report: r, Seconds: took.Seconds(), PerSecond: perSecond(r.Replayed, took)}
	if err != nil {
		j.Error = err.Error()
	}
	e := json.NewEncoder(c.OutOrStdout())
	e.SetIndent("", "  ")
	e.SetEscapeHTML(false)
	return e.Encode(j)
}
