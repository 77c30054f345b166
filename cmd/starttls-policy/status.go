package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/starttls-everywhere/policylist/mirror/socketmap"
)

func newStatus(a *app) *cobra.Command {
	prometheus, logs := false, []string(nil)
	c := &cobra.Command{
		Use:   "status [--log FILE]... [--prometheus]",
		Short: "tell how old the lists are, what the last update found, and whether the mail server's table is right",
		Long: `Status reads what is held and asks nobody. With [testing] in the configuration it also tells how deliveries to listed domains
went, and what would have failed under enforcement; that is counted here, and sent to nobody unless [feedback] tells of it.

` + exitHelp + `
While everything is switched off ("disable"): 60, after 50 and 1.`,
		Example: `  $ starttls-policy status
  example: release 1; fresh, 3 domains in force
    made 2026-03-01T12:00:00Z (60 min ago), expires 2026-03-15T12:00:00Z (in 13 days)
    not witnessed: trust version 1 asks for no witness, so a copy made for you alone would go unnoticed
    last confirmed by a mirror 2026-03-01T13:00:00Z (0 min ago); last update 2026-03-01T13:00:00Z
  postfix: texthash:/var/lib/starttls-policy/postfix-tls-policy as it should be`,
		Args: arguments(0, 0),
		RunE: func(c *cobra.Command, _ []string) error {
			if prometheus {
				return a.statusMetrics(c.Context())
			}
			return a.status(c.Context(), logs)
		},
	}
	c.Flags().StringArrayVar(&logs, "log", nil, "count deliveries in this mail log, text or gzip, instead of the configured one; may be repeated, oldest first")
	c.Flags().BoolVar(&prometheus, "prometheus", false, "print metrics for Prometheus instead; the exit code is 0 however the lists stand")
	return c
}

// statusMetrics leaves the judgement to whoever reads the metrics: a collector drops what comes with an exit code.
func (a *app) statusMetrics(ctx context.Context) error {
	cfg, err := a.loadConfig()
	if err != nil {
		return err
	}
	lists, err := a.openLists(cfg)
	if err != nil {
		return err
	}
	_, err = a.stdout.Write(a.staticMetricsText(ctx, cfg, lists))
	return err
}

func (a *app) status(ctx context.Context, logs []string) error {
	cfg, err := a.loadConfig()
	if err != nil {
		return err
	}
	lists, err := a.openLists(cfg)
	if err != nil {
		return err
	}
	last := loadLastUpdate(cfg.State)
	report := updateReport{Time: last.Time}
	for _, l := range lists {
		r := statusOf(l, last)
		report.Lists, report.Exit = append(report.Lists, r), worse(report.Exit, r.Exit)
	}
	out := statusReport{updateReport: report, Off: readSwitch(cfg.State), Overrides: localReport(cfg.Overrides, a.now())}
	var tableRight, exportsRight bool
	out.Table, tableRight = a.tableState(ctx, cfg, lists)
	out.Files, exportsRight = a.exportStates(cfg, lists)
	if !tableRight || !exportsRight {
		out.Exit = worse(out.Exit, exitFailed)
	}
	if out.Off != nil {
		out.Exit = worse(out.Exit, exitOff)
	}
	out.Own = a.ownStatus(ctx, cfg, lists)
	if out.Testing, err = a.testingStatus(cfg, logs); err != nil {
		return err
	}
	out.Feedback = a.feedbackStatus(cfg)
	if a.json {
		return errors.Join(writeJSON(a.stdout, out), exit(out.Exit))
	}
	a.printStatus(out, cfg)
	return exit(out.Exit)
}

// statusReport is what status prints. What it has of updateReport tells of now, but for Time.
type statusReport struct {
	updateReport
	Table     string          `json:"table,omitempty"`
	Files     []string        `json:"files,omitempty"`
	Off       *switchedOff    `json:"off,omitempty"`
	Overrides []string        `json:"overrides,omitempty"`
	Testing   *testingReport  `json:"testing,omitempty"`
	Feedback  *feedbackReport `json:"feedback,omitempty"`
}

func (a *app) printStatus(out statusReport, cfg config) {
	for _, r := range out.Lists {
		r.print(a.stdout, a.now())
		if r.Checked != "" {
			line(a.stdout, "  last confirmed by a mirror %s (%s ago); last update %s", r.Checked, since(r.Checked, a.now()), orNever(out.Time))
		}
		if r.Error != "" {
			line(a.stdout, "  error: %s", r.Error)
		}
	}
	for _, o := range out.Overrides {
		line(a.stdout, "override %s", o)
	}
	if out.Off != nil {
		line(a.stdout, "ALL POLICIES ARE OFF since %s, until \"starttls-policy enable\": %s", orNever(out.Off.Since), out.Off.Reason)
	}
	if out.Table != "" {
		line(a.stdout, "postfix: %s:%s %s", cfg.Postfix.Type, cfg.Postfix.Map, out.Table)
	}
	for _, s := range out.Files {
		line(a.stdout, "%s", s)
	}
	if out.Own != nil {
		out.Own.print(a.stdout)
	}
	if out.Testing != nil {
		out.Testing.print(a.stdout)
	}
	if out.Feedback != nil {
		out.Feedback.print(a.stdout)
	}
}

// statusOf is the list as it is held, with what the last update found at the mirrors and in the log.
func statusOf(l list, last updateReport) listReport {
	o, err := l.client.Load()
	r := describe(l, o, o.List.Len())
	r.Exit = exitOf(o, err)
	if err != nil {
		r.Error = flat{err}.Error()
	}
	r.takeLast(last)
	return r
}

// takeLast adds what the last update met.
func (r *listReport) takeLast(last updateReport) {
	for _, before := range last.Lists {
		if before.Name == r.Name {
			r.Problems, r.Alarms, r.MoreAlarms, r.Evidence = before.Problems, before.Alarms, before.MoreAlarms, before.Evidence
			r.takeError(before)
		}
	}
	if r.Evidence != "" {
		r.Exit = worse(r.Exit, exitSecurity)
	}
}

// takeError remembers what the last update failed of. A mirror that did not answer shows in the freshness soon enough;
// a disk or a postmap that failed does not.
func (r *listReport) takeError(before listReport) {
	if before.Error == "" || r.Error != "" {
		return
	}
	r.Error = "the last update failed: " + before.Error
	if before.Exit == exitFailed {
		r.Exit = worse(r.Exit, exitFailed)
	}
}

// tableState compares the Postfix table with what it should be. Both results are empty without a table.
func (a *app) tableState(ctx context.Context, cfg config, lists []list) (state string, right bool) {
	t := a.newTable(ctx, cfg, lists)
	if t == nil {
		return "", true
	}
	text, err := t.text()
	same, errRead := false, error(nil)
	if text != nil && err == nil {
		same, errRead = text.isIn(string(cfg.Postfix.Map))
	} else {
		_, errRead = os.Stat(string(cfg.Postfix.Map))
	}
	switch {
	case t.report.Warning != "":
		return "is NOT USABLE: " + t.report.Warning, false
	case t.report.Unanswered != "":
		return "cannot be judged: " + t.report.Unanswered, false
	case err != nil:
		return "cannot be checked: " + err.Error(), false
	case errors.Is(errRead, fs.ErrNotExist):
		return "is MISSING: Postfix would defer all mail; run starttls-policy update", t.report.Incomplete
	case errRead != nil:
		return "cannot be read: " + errRead.Error(), false
	case text == nil:
		return "left as it is, for what belongs there is not known", true
	case !same:
		return "is OUT OF DATE; run starttls-policy update", false
	case !current(*cfg.Postfix, text):
		return "is right, but its compiled form is missing or made from another text; run starttls-policy update", false
	}
	return "as it should be", true
}

// localReport is one line for each override that holds, sorted.
func localReport(overrides socketmap.Overrides, now time.Time) []string {
	var out []string
	for d, o := range overrides {
		if _, ok := overrides.Find(d, now); !ok {
			continue
		}
		does, ends := "no policy", ""
		if len(o.Policy.MXs) > 0 {
			does = strings.Join(patterns(o.Policy), " ")
		}
		if !o.Until.IsZero() {
			ends = ", until " + o.Until.AddDate(0, 0, -1).Format(time.DateOnly)
		}
		out = append(out, fmt.Sprintf("%s: %s (%s%s)", d, does, o.Reason, ends))
	}
	slices.Sort(out)
	return out
}

func orNever(s string) string {
	if s == "" {
		return "never"
	}
	return s
}
