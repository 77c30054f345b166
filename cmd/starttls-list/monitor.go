package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/starttls-everywhere/policylist/cmd/internal/term"
	"github.com/starttls-everywhere/policylist/mirror/audit"
	"github.com/starttls-everywhere/policylist/mirror/durable"
	"github.com/starttls-everywhere/policylist/policy"
)

const monitorLong = `Monitor watches a mirror: it reads the log's entries since it last looked, holds them against the signed root, judges
them by the rules that clients apply, and alerts. URL is https://…, a folder, file:///folder or s3://bucket/prefix.

Alerts: policies that were removed, or weakened (enforce to testing, more or other hosts), of all domains, or only of
those named with --domain, of which every other change is told too; log entries without effect; releases outside the
rules; new trust versions; a list that is stale (48 hours) or expired; witnesses that fell silent; a mirror that goes back
or serves what does not verify; and two signed histories, of which the evidence is kept. "starttls-list code CODE"
explains each. What stays so is told once a day.

Alerts go to standard output, to the program in --on-alert (split at spaces, no shell; JSON on its standard input, one
minute), and to the --webhook (POST of JSON, three tries, no redirects). The place in the log, kept in the --state file,
moves only after all of them took the alerts; until then they are told again, with the same "id". Without --state a
run knows nothing of the one before, and can only tell of the present; so a timer needs --state. A first run replays the
log from its first entry and tells of the present, too; the history is what "audit" is for.

Without --interval it looks once. With --interval it goes on until it is interrupted or finds two histories.

Exit codes: 0 nothing to tell, 1 alerts (also those told earlier that are still so), 2 the mirror could not be read, or
alerts were not delivered, 3 wrong usage, 4 internal error, 50 two signed histories, of which the evidence was kept.`

const monitorExample = `  $ starttls-list monitor public --trust trust/1 --state monitor.state
  public: list.operator.example/2026, release 1, 6 log entries: no alerts; first look, only the present was checked
  $ starttls-list monitor public --trust trust/1 --state monitor.state
  public: list.operator.example/2026, release 1, 6 log entries: no alerts`

// exitFork is also what starttls-policy update ends with when it holds two signed, inconsistent statements.
const exitFork = 50

// monitorFlags are the options of monitor.
type monitorFlags struct {
	trust, state, evidence, onAlert, webhook string
	domains                                  []string
	once, json                               bool
	interval                                 time.Duration
}

func newMonitorCommand() *cobra.Command {
	var f monitorFlags
	c := &cobra.Command{
		Use: "monitor URL --trust FILE", Short: "watches a mirror and alerts about what changes",
		Long: monitorLong, Example: monitorExample, Args: exactly(1),
		RunE: func(c *cobra.Command, args []string) error { return runMonitor(c, args[0], f) },
	}
	c.Flags().StringVar(&f.trust, "trust", "", "file with the signed trust version to start from")
	c.Flags().StringArrayVar(&f.domains, "domain", nil, "watch this domain, and every change of it (may be repeated)")
	c.Flags().StringVar(&f.state, "state", "", "file that keeps the place in the log between runs")
	c.Flags().StringVar(&f.evidence, "evidence", ".", "folder for the evidence of two histories")
	c.Flags().BoolVar(&f.once, "once", false, "look once (the default)")
	c.Flags().DurationVar(&f.interval, "interval", 0, "look again after this time, at least a minute, until interrupted")
	c.Flags().StringVar(&f.onAlert, "on-alert", "", "program to run for alerts, with its arguments")
	c.Flags().StringVar(&f.webhook, "webhook", "", "address to post alerts to")
	c.Flags().BoolVar(&f.json, "json", false, "print lines of JSON: the alerts if any, in the form that hooks get, then the round")
	return c
}

func runMonitor(c *cobra.Command, url string, f monitorFlags) error {
	m, err := newMonitor(c, url, f)
	if err != nil {
		return err
	}
	if f.interval == 0 {
		return monitorRound(c, m, f)
	}
	ticks := time.NewTicker(f.interval)
	defer ticks.Stop()
	for {
		err := monitorRound(c, m, f)
		var exit *term.Exit
		switch {
		case c.Context().Err() != nil:
			return nil
		case errors.As(err, &exit) && (exit.Code == exitFork || exit.Code == exitUsage || exit.Code == exitInternal), err != nil && exit == nil:
			return err
		case err != nil && exit.Err != nil:
			term.Report(c.ErrOrStderr(), "starttls-list", err, exitInternal)
		}
		select {
		case <-ticks.C:
		case <-c.Context().Done():
			return nil
		}
	}
}

// newMonitor takes the flags apart.
func newMonitor(c *cobra.Command, url string, f monitorFlags) (*audit.Monitor, error) {
	switch {
	case f.trust == "":
		return nil, usage(c, errors.New("a monitor needs --trust FILE: what the mirror itself serves proves nothing"))
	case f.once && f.interval != 0:
		return nil, usage(c, errors.New("--once and --interval exclude each other"))
	case f.interval != 0 && f.interval < time.Minute:
		return nil, usage(c, fmt.Errorf("--interval %s: at least a minute, mirrors have others to serve", f.interval))
	}
	m := &audit.Monitor{Name: url, State: f.state, Evidence: f.evidence, Now: time.Now}
	var err error
	if m.Mirror, err = openReader(c.Context(), url); err != nil {
		return nil, err
	}
	if m.Trust, err = readTrustFile(f.trust); err != nil {
		return nil, err
	}
	for _, name := range f.domains {
		d, err := policy.ParseDomain(name)
		if err != nil {
			return nil, usage(c, fmt.Errorf("--domain: %w", err))
		}
		m.Domains = append(m.Domains, d)
	}
	m.Delivers = append(m.Delivers, alertPrinter{c.OutOrStdout(), f.json})
	if argv := strings.Fields(f.onAlert); len(argv) > 0 {
		m.Delivers = append(m.Delivers, audit.Command{Argv: argv, Output: c.ErrOrStderr()})
	}
	if f.webhook != "" {
		w, err := audit.NewWebhook(f.webhook, "starttls-list/"+version)
		if err != nil {
			return nil, usage(c, err)
		}
		m.Delivers = append(m.Delivers, w)
	}
	return m, nil
}

// alertPrinter is the delivery to standard output.
type alertPrinter struct {
	w    io.Writer
	json bool
}

func (p alertPrinter) Deliver(_ context.Context, m audit.Message) error {
	if p.json {
		return encodeLine(p.w, m)
	}
	for _, a := range m.Alerts {
		_, err := fmt.Fprintf(p.w, "%s: %s: %s: %s\n    fix: %s\n", term.Escape(m.Mirror), a.Severity, a.Code, term.Escape(a.Summary), term.Escape(a.Fix))
		if err != nil {
			return err
		}
		if a.Reason != "" {
			fmt.Fprintf(p.w, "    reason: %s\n", term.Escape(a.Reason))
		}
		if a.Evidence != "" {
			fmt.Fprintf(p.w, "    evidence: %s\n", term.Escape(a.Evidence))
		}
	}
	return nil
}

func monitorRound(c *cobra.Command, m *audit.Monitor, f monitorFlags) error {
	out, err := m.Round(c.Context())
	if f.json {
		if jerr := printRoundJSON(c.OutOrStdout(), out, err); jerr != nil {
			return jerr
		}
	} else if err == nil {
		printRound(c.OutOrStdout(), m, out)
	}
	switch {
	case out.Fork:
		return &term.Exit{Code: exitFork, Err: errors.Join(errors.New("the log has two histories"), err), Hint: "publish the evidence; starttls-policy verify --evidence confirms it"}
	case errors.Is(err, audit.ErrUnreachable):
		return &term.Exit{Code: exitInconclusive, Err: err, Hint: "the next round begins at the same place"}
	case errors.Is(err, audit.ErrUndelivered):
		return &term.Exit{Code: exitInconclusive, Err: err, Hint: "the next round tells them again"}
	case errors.Is(err, audit.ErrCursor):
		return &term.Exit{Code: exitUsage, Err: fmt.Errorf("%s: %w", f.state, err), Hint: "give each list a --state file of its own"}
	case errors.Is(err, durable.ErrLocked):
		return &term.Exit{Code: exitInternal, Err: err, Hint: "another monitor runs with this --state"}
	case err != nil:
		return err
	case len(out.Alerts)+len(out.Standing) > 0:
		return &term.Exit{Code: exitFail}
	}
	return nil
}

func printRound(w io.Writer, m *audit.Monitor, out audit.Round) {
	if out.Size == 0 {
		state := "nothing is published there yet"
		if len(out.Alerts) > 0 {
			state = term.Plural(len(out.Alerts), "alert")
		}
		fmt.Fprintf(w, "%s: %s\n", term.Escape(m.Name), state)
		return
	}
	fmt.Fprintf(w, "%s: %s, release %d, %d log entries: %s", term.Escape(m.Name), term.Escape(out.Origin), out.Release, out.Size, term.Plural(len(out.Alerts), "alert"))
	if out.More > 0 {
		fmt.Fprintf(w, ", %d more not shown", out.More)
	}
	if n := len(out.Standing); n > 0 {
		fmt.Fprintf(w, ", %d told before", n)
	}
	if out.First {
		fmt.Fprint(w, "; first look, only the present was checked")
		if m.State == "" {
			fmt.Fprint(w, " (without --state every run is the first)")
		}
	}
	fmt.Fprintln(w)
	if !out.First {
		return
	}
	listed := map[string]string{}
	for _, e := range out.Watched {
		listed[e.Domain.String()] = string(e.Policy.AppendJSON(nil))
	}
	for _, d := range m.Domains {
		state, ok := listed[d.String()]
		if !ok {
			state = "not listed"
		}
		fmt.Fprintf(w, "%s: %s: %s\n", term.Escape(m.Name), d, state)
	}
}

// printRoundJSON leaves out the alerts, which were printed when they were delivered.
func printRoundJSON(w io.Writer, out audit.Round, err error) error {
	j := struct {
		audit.Round
		Told  int    `json:"told"`
		Error string `json:"error,omitempty"`
	}{Round: out, Told: len(out.Alerts)}
	j.Alerts = []audit.Alert{}
	if j.Standing == nil {
		j.Standing = []audit.Alert{}
	}
	if err != nil {
		j.Error = err.Error()
	}
	return encodeLine(w, j)
}

func encodeLine(w io.Writer, v any) error {
	e := json.NewEncoder(w)
	e.SetEscapeHTML(false)
	return e.Encode(v)
}
