package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/starttls-everywhere/policylist/cmd/internal/term"
	"github.com/starttls-everywhere/policylist/mirror"
	"github.com/starttls-everywhere/policylist/mirror/durable"
)

// updateReport is what update prints, and what status reads again.
type updateReport struct {
	Time    string         `json:"time"`
	Lists   []listReport   `json:"lists"`
	Postfix *tableReport   `json:"postfix,omitempty"`
	Exports []exportReport `json:"exports,omitempty"`
	Own     *ownReport     `json:"own_policies,omitempty"`
	Log     *logReport     `json:"log,omitempty"`
	Exit    int            `json:"exit"`
	Counts  updateCounts   `json:"counts"`
}

type updateOptions struct {
	list   string // "" for all
	accept int64
	method string
}

func newUpdate(a *app) *cobra.Command {
	var o updateOptions
	cmd := &cobra.Command{
		Use:   "update [--accept RELEASE] [--method auto|delta|snapshot] [--list NAME]",
		Short: "fetch and verify the newest release of every list, and write what the mail server reads",
		Long: `Update asks the mirrors of each list for its newest release, verifies it and puts it in force: list, proof, Postfix
table. Run it every six hours from a timer. On any failure what is held stays in force until it expires.

A release that touches more than a fifth of the list (and at least 20 domains) at once is held back, for a stolen key
would do that; --accept lets that one release pass.

` + exitHelp,
		Example: `  $ starttls-policy update
  example: release 1, nothing new at https://list.example/; fresh, 3 domains in force
    made 2026-03-01T12:00:00Z (60 min ago), expires 2026-03-15T12:00:00Z (in 13 days)
    not witnessed: trust version 1 asks for no witness, so a copy made for you alone would go unnoticed
  postfix: texthash:/var/lib/starttls-policy/postfix-tls-policy as it was, dialect sni: 2 lines, 1 wider than the list; 1 testing`,
		Args: arguments(0, 0),
		RunE: func(c *cobra.Command, _ []string) error {
			if _, ok := methods[o.method]; !ok {
				return usage(c, fmt.Errorf("there is no method %q", o.method))
			}
			cfg, err := a.loadConfig()
			if err != nil {
				return err
			}
			if o.accept != 0 && o.list == "" && len(cfg.Lists) > 1 {
				return usage(c, errors.New("with several lists --accept needs --list as well"))
			}
			return a.updateAndPrint(c.Context(), cfg, o)
		},
	}
	cmd.Flags().Int64Var(&o.accept, "accept", 0, "let this release pass although it changes very much")
	cmd.Flags().StringVar(&o.method, "method", "auto", "auto, delta (entries of the log) or snapshot (the whole list)")
	cmd.Flags().StringVar(&o.list, "list", "", "only this list")
	return cmd
}

var methods = map[string]mirror.Method{"auto": mirror.Auto, "delta": mirror.Delta, "snapshot": mirror.Snapshot}

func (a *app) updateAndPrint(ctx context.Context, cfg config, o updateOptions) error {
	report, err := a.update(ctx, cfg, o)
	if err != nil {
		return err
	}
	if a.json {
		err = writeJSON(a.stdout, report)
	} else {
		a.printUpdate(report)
	}
	return errors.Join(err, a.closeUpdate(report))
}

func (a *app) printUpdate(r updateReport) {
	for _, l := range r.Lists {
		l.print(a.stdout, a.now())
	}
	if r.Postfix != nil {
		r.Postfix.print(a.stdout)
	}
	for _, x := range r.Exports {
		x.print(a.stdout)
	}
	if r.Own != nil {
		r.Own.print(a.stdout)
	}
	if r.Log != nil {
		r.Log.print(a.stdout)
	}
}

// closeUpdate says last what failed, and chooses the exit code.
func (a *app) closeUpdate(r updateReport) error {
	for _, l := range r.Lists {
		if l.Error != "" {
			a.complain("list %s: %s", l.Name, l.Error)
		}
	}
	return exit(r.Exit)
}

// update updates the lists one after the other. An error is one that kept it from starting; how each list fared is in
// the report.
func (a *app) update(ctx context.Context, cfg config, o updateOptions) (updateReport, error) {
	report := updateReport{Time: stamp(a.now())}
	lists, err := a.openLists(cfg)
	if err != nil {
		return report, err
	}
	if o.list != "" && !named(lists, o.list) {
		return report, &term.Exit{Code: exitUsage, Err: fmt.Errorf("%s has no list %q", a.configPath, o.list)}
	}
	unlock, err := lockUpdates(cfg.State)
	if err != nil {
		return report, err
	}
	defer unlock()
	a.sweepTables(cfg)
	table := a.newTable(ctx, cfg, lists)
	if table != nil && len(lists) > 1 {
		// A list that has expired must not wait until the mirrors of those before it have answered. What fails here
		// fails again below, and is told there.
		_ = table.write(ctx)
	}
	early, _ := a.writeExports(cfg, lists) // for the same reason, also with one list
	tableWritten := report.updateLists(ctx, lists, table, o)
	report.Own = a.askDomains(ctx, cfg, lists) // the list is in force already, and nobody waits for it
	if table != nil {
		// Nothing to do unless the file was touched, the settings changed, a domain's own policy did, or a list gave no view.
		if tableWritten && table.write(ctx) != nil {
			report.Exit = worse(report.Exit, exitFailed)
		}
		if table.report.Unanswered != "" {
			report.Exit = worse(report.Exit, exitFailed)
		}
		report.Postfix = &table.report
	}
	if report.Own != nil {
		report.Own.take(ctx, a, cfg, lists)
	}
	exports, err := a.writeExports(cfg, lists)
	if err != nil {
		report.Exit = worse(report.Exit, exitFailed)
	}
	for i := range exports {
		exports[i].Written = exports[i].Written || early[i].Written
	}
	report.Exports, report.Log = exports, a.readLog(cfg)
	a.keepReport(ctx, cfg, lists, &report)
	return report, nil
}

// lockUpdates makes the state folder and keeps every other update out of it.
func lockUpdates(state string) (unlock func(), err error) {
	if err := os.MkdirAll(state, 0o755); err != nil {
		return nil, err
	}
	unlock, err = durable.Lock(filepath.Join(state, stateLock))
	if errors.Is(err, durable.ErrLocked) {
		return nil, failed(err, "another update is running; this one has nothing to do. If that never ends, fuser -v tells who it is")
	}
	return unlock, err
}

// updateLists updates those that were asked for, one after the other; table may be nil. It returns false when the table could
// not be written, which the reports of the lists say.
func (r *updateReport) updateLists(ctx context.Context, lists []list, table *table, o updateOptions) (tableWritten bool) {
	tableWritten = true
	for i, l := range lists {
		if o.list != "" && o.list != l.name {
			continue
		}
		l.client.Method, l.client.Accept = methods[o.method], o.accept
		if table != nil {
			l.client.Sinks = []mirror.Sink{table.sink(ctx, i)}
		}
		one, err := updateOne(ctx, l)
		if errors.Is(err, errTable) {
			tableWritten = false
		}
		r.Lists, r.Exit = append(r.Lists, one), worse(r.Exit, one.Exit)
	}
	return tableWritten
}

// keepReport counts the update, and leaves its report and the metrics on the disk. A full disk must not keep anybody from
// reading what was found, so what goes wrong is told and changes the exit code alone.
func (a *app) keepReport(ctx context.Context, cfg config, lists []list, r *updateReport) {
	r.Counts = loadLastUpdate(cfg.State).Counts.plus(*r)
	for _, keep := range []func() error{
		func() error { return r.save(cfg.State) },
		func() error { return a.writeTextfile(ctx, cfg, lists) },
	} {
		if err := keep(); err != nil {
			a.complain("%v", err)
			r.Exit = worse(r.Exit, exitFailed)
		}
	}
}

func updateOne(ctx context.Context, l list) (listReport, error) {
	if _, err := l.client.Chain(); err != nil {
		// Update would say only that it cannot lock a folder that is not there.
		return listReport{Name: l.name, Freshness: mirror.None, Error: flat{err}.Error(), Exit: exitFailed}, err
	}
	o, err := l.client.Update(ctx)
	if err != nil {
		// What stays in force is what is held.
		if held, errLoad := l.client.Load(); errLoad == nil {
			o.List = held.List
		}
	}
	r := describe(l, o, o.List.Len())
	r.Exit = exitOf(o, err)
	if err != nil {
		r.Error = flat{err}.Error()
	}
	return r, err
}

func named(lists []list, name string) bool {
	for _, l := range lists {
		if l.name == name {
			return true
		}
	}
	return false
}
