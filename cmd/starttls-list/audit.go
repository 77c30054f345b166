package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/starttls-everywhere/policylist/cmd/internal/term"
	"github.com/starttls-everywhere/policylist/mirror"
	"github.com/starttls-everywhere/policylist/mirror/audit"
	"github.com/starttls-everywhere/policylist/policy"
	"github.com/starttls-everywhere/policylist/transparency"
)

const auditLong = `Audit reads a mirror's log from its first entry and compares everything that the mirror serves with what the
entries say: every tile and the root that the log signed; every release by the rules that clients apply, each list
rebuilt and compared with its signed digest; release proofs, lists, evidence, policy.json and the pointers; content
types and cache headers, where the mirror has headers; and, where it can be listed, what no release put there. URL is
https://…, a folder, file:///folder or s3://bucket/prefix.

Several mirrors are auditedMirror one after the other and then compared: one that lags behind is told, and two that show two
signed histories of one log are a fork, whose evidence is kept in the folder --evidence.

The trust version in --trust, usually the list's first, is where belief begins; later ones are followed on the mirror.
Each finding names the object and has a code that "starttls-list code" explains. Entries without effect, as an abandoned
attempt or a thief of a key leaves them, are warnings. --write DIR writes every policy.json that was ever published, as
the log's entries make it, to DIR/policy-<release>.json, to compare with copies from elsewhere.

Exit codes: 0 no errors, 1 errors, 2 a mirror could not be read to the end, 3 wrong usage, 4 internal error,
50 two signed histories, of which the evidence was kept.`

const auditExample = `  $ starttls-list audit public --trust trust/1
  public: list.operator.example/2026, release 1: 6 log entries replayed (… a second), 1 list rebuilt, 11 objects compared
  public: no errors, no warnings`

// auditFlags are the options of audit.
type auditFlags struct {
	trust, write, evidence string
	json                   bool
}

// needsMirror are the arguments of a command that asks mirrors: the address of one at least.
func needsMirror(who string) cobra.PositionalArgs {
	return func(c *cobra.Command, args []string) error {
		if len(args) == 0 {
			return usage(c, fmt.Errorf("%s needs the address of a mirror", who))
		}
		return nil
	}
}

func newAuditCommand() *cobra.Command {
	var f auditFlags
	c := &cobra.Command{
		Use: "audit URL… --trust FILE", Short: "replays a mirror from its first log entry and compares all it serves",
		Long: auditLong, Example: auditExample,
		Args: needsMirror("an audit"),
		RunE: func(c *cobra.Command, args []string) error { return runAudit(c, args, f) },
	}
	c.Flags().StringVar(&f.trust, "trust", "", "file with the signed trust version to start from")
	c.Flags().StringVar(&f.write, "write", "", "folder for every policy.json that the log makes")
	c.Flags().StringVar(&f.evidence, "evidence", ".", "folder for the evidence of two histories")
	c.Flags().BoolVar(&f.json, "json", false, "print the report as JSON")
	return c
}

// auditedMirror is one mirror's audit.
type auditedMirror struct {
	audit.Audited
	took time.Duration
	err  error
}

func runAudit(c *cobra.Command, urls []string, f auditFlags) error {
	switch {
	case f.trust == "":
		return usage(c, errors.New("an audit needs --trust FILE: what the mirror itself serves proves nothing"))
	case f.write != "" && len(urls) > 1:
		return usage(c, errors.New("--write takes one mirror"))
	}
	sources, err := openSources(c.Context(), urls)
	if err != nil {
		return err
	}
	trust, err := readTrustFile(f.trust)
	if err != nil {
		return err
	}
	var mirrors []auditedMirror
	for _, s := range sources {
		mirrors = append(mirrors, auditedMirror{Audited: audit.Audited{Name: s.Name, Mirror: s.Reader}})
	}
	var errs []error
	findings := []policy.Finding{}
	for i := range mirrors {
		m := &mirrors[i]
		auditOne(c, m, trust, f)
		findings = append(findings, m.Report.Findings...)
		errs = append(errs, m.err)
	}
	between, forks, evidence, err := compareMirrors(c, mirrors, f)
	err = errors.Join(append(errs, err)...)
	if f.json && len(mirrors) == 1 {
		err = errors.Join(err, printAuditJSON(c, mirrors[0].json()))
	} else if f.json {
		err = errors.Join(err, printAuditJSON(c, jsonOfMany(mirrors, between, evidence)))
	} else {
		term.Findings(c.OutOrStdout(), between)
	}
	if forks > 0 {
		return &term.Exit{Code: exitFork, Err: errors.Join(errors.New("the log has two histories"), err), Hint: "publish the evidence: " + strings.Join(evidence, ", ")}
	}
	return auditExit(err, append(findings, between...))
}

func auditExit(err error, findings []policy.Finding) error {
	switch {
	case errors.Is(err, audit.ErrTrustTooNew):
		return &term.Exit{Code: exitUsage, Err: err, Hint: "give the first trust version that the log was made under, usually trust/1"}
	case errors.Is(err, audit.ErrUnreachable):
		return &term.Exit{Code: exitInconclusive, Err: err, Hint: "audit again; what was found until then is above"}
	case err != nil:
		return err
	case policy.HasErrors(findings):
		return &term.Exit{Code: exitFail}
	}
	return nil
}

func auditOne(c *cobra.Command, m *auditedMirror, trust *transparency.Trust, f auditFlags) {
	bar := newProgress(c.ErrOrStderr())
	a := audit.Audit{Mirror: m.Mirror, Trust: trust, Progress: bar.show}
	if f.write != "" {
		a.Lists = func(r *mirror.Release) error { return writeList(f.write, r) }
	}
	began := time.Now()
	m.Report, m.err = a.Run(c.Context())
	m.took = time.Since(began)
	bar.end()
	if !f.json {
		printAudit(c, m.Name, m.Report, m.took)
	}
}

// writeList writes one release's policy.json, whose digest the replay has compared with the signed one.
func writeList(folder string, r *mirror.Release) error {
	if err := os.MkdirAll(folder, 0o755); err != nil {
		return err
	}
	data, err := r.List.Bytes(r.Leaf.Header())
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(folder, fmt.Sprintf("policy-%d.json", r.Leaf.Release)), data, 0o644)
}

// compareMirrors also keeps the evidence of forks, whose files it returns.
func compareMirrors(c *cobra.Command, mirrors []auditedMirror, f auditFlags) (findings []policy.Finding, forks int, evidence []string, err error) {
	var plain []audit.Audited
	for _, m := range mirrors {
		plain = append(plain, m.Audited)
	}
	findings, found, err := audit.Compare(c.Context(), plain)
	for _, fork := range found {
		path, werr := audit.KeepEvidence(f.evidence, fork)
		if werr != nil {
			err = errors.Join(err, werr)
			continue
		}
		evidence = append(evidence, path)
	}
	return findings, len(found), evidence, err
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

// mirrorReport is one mirror's audit as --json prints it.
type mirrorReport struct {
	Mirror string `json:"mirror"`
	audit.Report
	Seconds   float64 `json:"seconds"`
	PerSecond int64   `json:"entries_per_second"`
	Error     string  `json:"error,omitempty"`
}

func (m auditedMirror) json() mirrorReport {
	j := mirrorReport{Mirror: m.Name, Report: m.Report, Seconds: m.took.Seconds(), PerSecond: perSecond(m.Report.Replayed, m.took)}
	if j.Findings == nil {
		j.Findings = []policy.Finding{}
	}
	if m.err != nil {
		j.Error = m.err.Error()
	}
	return j
}

// mirrorsReport is the audit of several mirrors.
type mirrorsReport struct {
	Mirrors  []mirrorReport   `json:"mirrors"`
	Findings []policy.Finding `json:"findings"` // of comparing them
	Evidence []string         `json:"evidence"` // files
}

func jsonOfMany(mirrors []auditedMirror, between []policy.Finding, evidence []string) mirrorsReport {
	j := mirrorsReport{Findings: append([]policy.Finding{}, between...), Evidence: append([]string{}, evidence...)}
	for _, m := range mirrors {
		j.Mirrors = append(j.Mirrors, m.json())
	}
	return j
}

func printAuditJSON(c *cobra.Command, j any) error {
	e := json.NewEncoder(c.OutOrStdout())
	e.SetIndent("", "  ")
	e.SetEscapeHTML(false)
	return e.Encode(j)
}
