package main

import (
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/starttls-everywhere/policylist/cmd/internal/term"
	"github.com/starttls-everywhere/policylist/mirror/audit"
	"github.com/starttls-everywhere/policylist/mirror/durable"
	"github.com/starttls-everywhere/policylist/policy"
)

const freshnessLong = `Freshness asks mirrors what a client that joins today would get, with the client itself, and says how long clients can
live on it: for a monitoring system, run every quarter of an hour or so. URL is https://…, a folder, file:///folder or
s3://bucket/prefix. Belief begins with the trust version in --trust, usually the list's first.

It tells of a list that was not renewed when it was due, is stale, at half of its life or expired; of a trust version
that ends soon; of witnesses that fell silent; of a mirror that lags behind the others, serves what does not verify, or
cannot be read; of this machine's clock, if it is behind; and of two signed histories, of which the evidence is kept in
the folder --evidence. Each finding has a code that "starttls-list code" explains. mirror/audit/FRESHNESS.md in the
sources says how to run it from Nagios, Prometheus and cron.

--textfile writes metrics for node_exporter's textfile collector, whatever was found.

Exit codes: 0 all is well, or the list has ended; 1 critical: clients notice, or soon will; 2 a mirror could not be
read, and nothing else is critical; 3 wrong usage; 4 internal error; 10 warnings only; 50 two signed histories, of which
the evidence was kept.`

const freshnessExample = `  $ starttls-list freshness public --trust trust/1
  public: list.operator.example/2026, release 1 of … ago, expires in 14.0 days, log size 6; trust version 1 for … days
  public: nothing to tell`

// exitWarned is freshness with warnings only.
const exitWarned = 10

// freshnessFlags are the options of freshness.
type freshnessFlags struct {
	trust, evidence, textfile string
	json                      bool
	timeout                   time.Duration
	limits                    audit.Limits
}

func newFreshnessCommand() *cobra.Command {
	f := freshnessFlags{limits: audit.DefaultLimits()}
	c := &cobra.Command{
		Use: "freshness URL… --trust FILE", Short: "says how long clients can live on what mirrors have",
		Long: freshnessLong, Example: freshnessExample,
		Args: needsMirror("freshness"),
		RunE: func(c *cobra.Command, args []string) error { return runFreshness(c, args, f) },
	}
	flags, l := c.Flags(), &f.limits
	flags.StringVar(&f.trust, "trust", "", "file with the signed trust version to start from")
	flags.StringVar(&f.evidence, "evidence", ".", "folder for the evidence of two histories")
	flags.StringVar(&f.textfile, "textfile", "", "file for metrics, named *.prom")
	flags.BoolVar(&f.json, "json", false, "print the report as JSON")
	flags.DurationVar(&f.timeout, "timeout", 2*time.Minute, "how long one mirror may take")
	flags.DurationVar(&l.ReleaseOld, "release-old", l.ReleaseOld, "warn of a newest release older than this")
	flags.DurationVar(&l.ReleaseStale, "release-stale", l.ReleaseStale, "critical: a release, or the witnesses' quorum for it, older than this")
	flags.Float64Var(&l.Life, "life", l.Life, "critical: this part of the list's life has passed without a renewal")
	flags.DurationVar(&l.TrustSoon, "trust-soon", l.TrustSoon, "warn of a trust version that expires within this time")
	flags.DurationVar(&l.TrustLast, "trust-last", l.TrustLast, "critical: a trust version that expires within this time")
	flags.DurationVar(&l.CosignatureOld, "cosignature-old", l.CosignatureOld, "warn of a witness that has not cosigned for this time")
	flags.DurationVar(&l.MirrorLags, "mirror-lags", l.MirrorLags, "warn of a mirror that lacks a release for this time")
	flags.DurationVar(&l.MirrorStuck, "mirror-stuck", l.MirrorStuck, "critical: a mirror this much older than another")
	return c
}

// check finds what is wrong with the options.
func (f freshnessFlags) check() error {
	l := f.limits
	for _, x := range []struct {
		name string
		d    time.Duration
	}{{"timeout", f.timeout}, {"release-old", l.ReleaseOld}, {"release-stale", l.ReleaseStale}, {"trust-soon", l.TrustSoon}, {"trust-last", l.TrustLast},
		{"cosignature-old", l.CosignatureOld}, {"mirror-lags", l.MirrorLags}, {"mirror-stuck", l.MirrorStuck}} {
		if x.d <= 0 {
			return fmt.Errorf("--%s %s: it takes a time above zero, such as 30h", x.name, x.d)
		}
	}
	switch {
	case f.trust == "":
		return errors.New("freshness needs --trust FILE: what a mirror itself serves proves nothing")
	case !(l.Life > 0 && l.Life <= 1):
		return fmt.Errorf("--life %v: it is a part, above 0 and at most 1", l.Life)
	case f.textfile != "" && filepath.Ext(f.textfile) != ".prom":
		return fmt.Errorf("--textfile %q: the collector reads no names but *.prom", f.textfile)
	}
	return nil
}

func runFreshness(c *cobra.Command, urls []string, f freshnessFlags) error {
	if err := f.check(); err != nil {
		return usage(c, err)
	}
	mirrors, err := openSources(c.Context(), urls)
	if err != nil {
		return err
	}
	trust, err := readTrustFile(f.trust)
	if err != nil {
		return err
	}
	look := audit.Freshness{Mirrors: mirrors, Trust: trust, Limits: f.limits, Deadline: f.timeout, Now: time.Now}
	report, err := look.Look(c.Context())
	if err != nil {
		return err
	}
	return f.tell(c, report)
}

// tell prints, writes metrics and evidence, and decides the exit code.
func (f freshnessFlags) tell(c *cobra.Command, report audit.FreshnessReport) error {
	var evidence []string
	var err error
	for _, fork := range report.Forks {
		path, werr := audit.KeepEvidence(f.evidence, fork)
		if err = errors.Join(err, werr); werr == nil {
			evidence = append(evidence, path)
		}
	}
	exit := freshnessExit(report)
	if f.textfile != "" {
		err = errors.Join(err, durable.WriteFile(f.textfile, freshnessMetrics(report, exit), 0o644))
	}
	if f.json {
		err = errors.Join(err, printAuditJSON(c, struct {
			audit.FreshnessReport
			Evidence []string `json:"evidence"`
			ExitCode int      `json:"exit-code"`
		}{report, append([]string{}, evidence...), exit}))
	} else {
		for _, m := range report.Mirrors {
			printFreshness(c.OutOrStdout(), m, report.Time)
		}
	}
	switch {
	case exit == exitFork:
		return &term.Exit{Code: exit, Err: errors.Join(errors.New("the log has two histories"), err), Hint: "publish the evidence: " + strings.Join(evidence, ", ")}
	case err != nil:
		return err
	case exit != exitPass:
		return &term.Exit{Code: exit}
	}
	return nil
}

// freshnessExit is the worst of what was found. A mirror that nothing is known of comes before warnings about others.
func freshnessExit(report audit.FreshnessReport) int {
	code := exitPass
	for _, f := range report.Findings() {
		switch {
		case f.Code == audit.FreshFork:
			return exitFork
		case f.Severity == policy.Error:
			code = exitFail
		case code == exitFail || f.Severity == policy.Notice:
		case f.Code == audit.FreshUnreachable:
			code = exitInconclusive
		case code == exitPass:
			code = exitWarned
		}
	}
	return code
}

func printFreshness(w io.Writer, m *audit.MirrorFreshness, now time.Time) {
	name := term.Escape(m.Mirror)
	if m.Release > 0 {
		fmt.Fprintf(w, "%s: %s, release %d of %s ago, expires in %s, log size %d; trust version %d for %s\n", name, term.Escape(m.Origin), m.Release,
			audit.Spell(now.Sub(m.Timestamp)), audit.Spell(m.Expires.Sub(now)), m.Size, m.Trust, audit.Spell(m.TrustExpires.Sub(now)))
	}
	for _, x := range m.Cosigned {
		if !x.Time.IsZero() {
			fmt.Fprintf(w, "%s: witness %s cosigned %s ago\n", name, term.Escape(x.Witness), audit.Spell(now.Sub(x.Time)))
		}
	}
	if b := m.Behind; b.Releases > 0 {
		fmt.Fprintf(w, "%s: behind by %s, %d log entries\n", name, term.Plural(int(b.Releases), "release"), b.Entries)
	}
	term.Findings(w, m.Findings)
	if len(m.Findings) == 0 {
		fmt.Fprintf(w, "%s: nothing to tell\n", name)
	}
}
