package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"strconv"

	"github.com/spf13/cobra"

	"github.com/starttls-everywhere/policylist/cmd/internal/term"
	"github.com/starttls-everywhere/policylist/mirror"
	"github.com/starttls-everywhere/policylist/mirror/durable"
)

type rollbackOptions struct {
	list    string // "" with one list
	release int64  // 0: the one before
	reason  string
	until   untilDate
	undo    bool
	show    bool
}

// rollbackReport is what rollback prints: one list, what is in force of it, and where it could go.
type rollbackReport struct {
	List    string       `json:"list"`
	Release int64        `json:"release"` // in force
	Pinned  *pinReport   `json:"pinned,omitempty"`
	Earlier []keptReport `json:"earlier,omitempty"`
}

// pinReport says why an earlier list is in force.
type pinReport struct {
	Release int64  `json:"release"`
	Newest  int64  `json:"newest"` // which is verified and waits
	Since   string `json:"since"`
	Until   string `json:"until"`
	Reason  string `json:"reason"`
}

// keptReport is an earlier list.
type keptReport struct {
	Release   int64  `json:"release"`
	Timestamp string `json:"timestamp"`
	Expires   string `json:"expires"`
	Domains   int64  `json:"domains"`
}

func newRollback(a *app) *cobra.Command {
	var o rollbackOptions
	var until string
	c := &cobra.Command{
		Use:   "rollback [RELEASE] --reason TEXT | --undo | --show",
		Short: "put an earlier list in force, for as long as it is valid",
		Long: `Rollback puts an earlier list in force, that of RELEASE or the one before the present: a list that was verified here and has
not expired. Every list that a change replaced is kept, with its proof, 16 of them and 256 MB at the most; of releases
without a change only the last. The proof is verified again.

Updates go on meanwhile: they verify and store newer releases, and nothing that was ever seen of the log is forgotten. The
newest list is in force again after --undo, or by itself after the day --until, at the latest when the earlier list expires.
Until then "status" warns, and the list counts as stale.

Exit codes: 0 done; 1 there is no such list, or something local failed; 2 wrong usage or configuration.`,
		Example: `  $ starttls-policy rollback --show
  example: release 1, the newest, is in force
    no earlier list is kept
  $ starttls-policy rollback --undo
  example: release 1, the newest, is in force`,
		Args: arguments(0, 1),
		RunE: func(c *cobra.Command, args []string) error {
			if err := o.take(args, until, c.Flags().Changed("reason")); err != nil {
				return usage(c, err)
			}
			cfg, err := a.loadConfig()
			if err != nil {
				return err
			}
			if o.list == "" && len(cfg.Lists) > 1 && !o.show {
				return usage(c, errors.New("with several lists --list is needed"))
			}
			return a.rollback(c.Context(), cfg, o)
		},
	}
	c.Flags().StringVar(&o.list, "list", "", "which list; needed when there are several")
	c.Flags().StringVar(&o.reason, "reason", "", "why, for whoever reads it later")
	c.Flags().StringVar(&until, "until", "", "last day of it in UTC, such as 2027-01-31 (default: while the list is valid)")
	c.Flags().BoolVar(&o.undo, "undo", false, "put the newest list in force again")
	c.Flags().BoolVar(&o.show, "show", false, "show the earlier lists that are kept, and change nothing")
	return c
}

// take checks what the flags say together.
func (o *rollbackOptions) take(args []string, until string, reasoned bool) (err error) {
	goes := len(args) > 0 || until != "" || reasoned
	switch {
	case o.undo && o.show || (o.undo || o.show) && goes:
		return errors.New("--undo and --show stand alone")
	case o.undo || o.show:
		return nil
	case o.reason == "":
		return errors.New("--reason is needed: whoever finds an old list in force will want to know why")
	}
	if len(args) > 0 {
		if o.release, err = strconv.ParseInt(args[0], 10, 64); err != nil || o.release < 1 {
			return fmt.Errorf("%q is no release: it is a number from 1", args[0])
		}
	}
	if until != "" {
		return o.until.UnmarshalText([]byte(until))
	}
	return nil
}

func (a *app) rollback(ctx context.Context, cfg config, o rollbackOptions) error {
	lists, err := a.openLists(cfg)
	if err != nil {
		return err
	}
	if o.list != "" && !named(lists, o.list) {
		return &term.Exit{Code: exitUsage, Err: fmt.Errorf("%s has no list %q", a.configPath, o.list)}
	}
	if o.show {
		return a.showEarlier(lists, o.list)
	}
	// One at a time with "update", which would write the tables by what it read before.
	unlock, err := durable.Lock(filepath.Join(cfg.State, stateLock))
	if err != nil {
		return failed(err, "an update is running; try again when it has ended")
	}
	defer unlock()
	for _, l := range lists {
		if o.list == "" || o.list == l.name {
			if err := l.goBack(o); err != nil {
				return err
			}
			report, err := l.rollbackReport()
			if err != nil {
				return err
			}
			err = a.rewriteTable(ctx, cfg)
			if a.json {
				return errors.Join(writeJSON(a.stdout, report), err)
			}
			report.print(a, false)
			return err
		}
	}
	return nil
}

// goBack changes what is in force of a list. What the mail server reads is written after it, and again by the next update:
// a crash in between changes nothing about what was asked for.
func (l list) goBack(o rollbackOptions) error {
	var err error
	if o.undo {
		err = l.client.Undo()
	} else {
		_, err = l.client.Rollback(o.release, o.reason, o.until.Time)
	}
	switch {
	case err == nil, o.undo && errors.Is(err, mirror.ErrNotPinned): // then it is as it was asked for
		return nil
	case errors.Is(err, durable.ErrLocked):
		return failed(err, "an update is running; try again when it has ended")
	case errors.Is(err, mirror.ErrNotKept):
		return failed(fmt.Errorf("list %s: %w", l.name, err), "starttls-policy rollback --show; to let go of one domain, write an [[override]]")
	}
	return failed(fmt.Errorf("list %s: %w", l.name, err), "")
}

func (l list) rollbackReport() (rollbackReport, error) {
	r := rollbackReport{List: l.name}
	o, err := l.client.Load()
	if err != nil {
		return r, failed(fmt.Errorf("list %s: %w", l.name, err), hintFor(err))
	}
	if o.Release != nil {
		r.Release = o.Release.Release
	}
	r.Pinned = pinOf(o)
	kept, err := l.client.Kept()
	if err != nil {
		return r, err
	}
	for _, k := range kept {
		if k.Release.Expires.After(l.client.Now()) {
			r.Earlier = append(r.Earlier, keptReport{k.Release.Release, stamp(k.Release.Timestamp), stamp(k.Release.Expires), k.Release.Count})
		}
	}
	return r, nil
}

func pinOf(o mirror.Outcome) *pinReport {
	if o.Pin == nil {
		return nil
	}
	return &pinReport{o.Pin.Release, o.Newest, stamp(o.Pin.Since), stamp(o.Pin.Until), o.Pin.Reason}
}

func (a *app) showEarlier(lists []list, name string) error {
	var all []rollbackReport
	for _, l := range lists {
		if name != "" && name != l.name {
			continue
		}
		r, err := l.rollbackReport()
		if err != nil {
			return err
		}
		all = append(all, r)
	}
	if a.json {
		return writeJSON(a.stdout, all)
	}
	for _, r := range all {
		r.print(a, true)
	}
	return nil
}

func (r rollbackReport) print(a *app, shown bool) {
	switch {
	case r.Pinned != nil:
		line(a.stdout, "%s: release %d is in force until %s, then the newest, %d: %s", r.List, r.Release, r.Pinned.Until, r.Pinned.Newest, r.Pinned.Reason)
	default:
		line(a.stdout, "%s: release %d, the newest, is in force", r.List, r.Release)
	}
	if shown && len(r.Earlier) == 0 {
		line(a.stdout, "  no earlier list is kept")
	}
	for _, k := range r.Earlier {
		if !shown {
			break
		}
		line(a.stdout, "  kept: release %d, %s, made %s, expires %s (%s)", k.Release, term.Plural(int(k.Domains), "domain"), k.Timestamp, k.Expires, until(k.Expires, a.now()))
	}
}

// print says it where lists are reported, in words that cannot be overlooked.
func (p pinReport) print(w io.Writer, list string) {
	line(w, "  PUT BACK to release %d since %s, until %s; the newest, %d, waits: %s", p.Release, p.Since, p.Until, p.Newest, p.Reason)
	line(w, "    to end it: starttls-policy rollback --undo --list %s", list)
}
