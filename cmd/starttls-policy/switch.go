package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/starttls-everywhere/policylist/mirror/durable"
)

// switchFile stands in the state folder while everything is switched off.
const switchFile = "disabled"

// switchedOff is what the file says.
type switchedOff struct {
	Since  string `json:"since"`
	Reason string `json:"reason"`
}

// lookSwitch tells whether the file is there, whatever it is: a link into nowhere will do. An error says that nobody can tell.
func lookSwitch(state string) (off bool, err error) {
	_, err = os.Lstat(filepath.Join(state, switchFile))
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	return err == nil, err
}

// readSwitch returns nil while nothing is switched off. A file that cannot be read says "off" as well: somebody meant it.
// Where not even the folder can be looked at, nor can the lists, so that what was made from them stays.
func readSwitch(state string) *switchedOff {
	if off, _ := lookSwitch(state); !off {
		return nil
	}
	data, err := durable.ReadFile(filepath.Join(state, switchFile))
	var s switchedOff
	if err == nil {
		err = json.Unmarshal(data, &s)
	}
	if off, errLook := lookSwitch(state); !off && errLook == nil {
		return nil // put back just now
	}
	if err != nil {
		s.Reason = fmt.Sprintf("the file %s cannot be read: %v", switchFile, err)
	}
	return &s
}

// watchSwitch looks at the file at most ten times a second, however often it is asked. While nobody can tell whether it is
// there, say because the folder's mode was changed, the switch stays as it was: that is no reason to let go of all policies.
func watchSwitch(state string) func() bool {
	var looked atomic.Int64 // nanoseconds since begin
	var off atomic.Bool
	begin := time.Now()
	look := func() {
		if now, err := lookSwitch(state); err == nil {
			off.Store(now)
		}
	}
	look()
	return func() bool {
		now := int64(time.Since(begin))
		if last := looked.Load(); now-last > int64(100*time.Millisecond) && looked.CompareAndSwap(last, now) {
			look()
		}
		return off.Load()
	}
}

func newDisable(a *app) *cobra.Command {
	var reason string
	c := &cobra.Command{
		Use:   "disable --reason TEXT",
		Short: "switch all policies off at once, until \"enable\"",
		Long: `Disable is the kill switch: from now on no domain has a policy. "serve" answers NOTFOUND to every question within a tenth
of a second, and the Postfix table is emptied; mail goes out as the mail server's own settings say. Lists are updated as
before, so that "enable" needs no network. The daemon logs both, every update says it, and "status" tells since when, and why.
A mistake in the configuration does not stop it; where that keeps the files from being found that mail servers read, it says
so and ends with 2. Where everything is off already, the first reason stays.

Exit codes: 0 done, 1 something local failed, 2 wrong usage or configuration.`,
		Example: `  $ starttls-policy disable --reason a.example-unreachable
  all policies are off until "starttls-policy enable": a.example-unreachable
  $ starttls-policy enable
  all policies are in force again`,
		Args: arguments(0, 0),
		RunE: func(c *cobra.Command, _ []string) error {
			if reason == "" {
				return usage(c, errors.New("--reason is needed: whoever finds it switched off will want to know why"))
			}
			return a.switchOff(c.Context(), reason)
		},
	}
	c.Flags().StringVar(&reason, "reason", "", "why, for whoever reads it later")
	return c
}

func newEnable(a *app) *cobra.Command {
	return &cobra.Command{
		Use:   "enable",
		Short: "undo \"disable\"",
		Long: `Enable puts the policies in force again that "disable" switched off, by the lists as they are held now.

Exit codes: 0 done, or nothing to do; 1 something local failed; 2 wrong usage or configuration.`,
		Example: `  $ starttls-policy enable
  nothing is switched off`,
		Args: arguments(0, 0),
		RunE: func(c *cobra.Command, _ []string) error { return a.switchOn(c.Context()) },
	}
}

func (a *app) switchOff(ctx context.Context, reason string) error {
	cfg, errConfig := a.loadConfig()
	if errors.Is(errConfig, errNoConfig) {
		return errConfig
	}
	known := true
	if errConfig != nil {
		cfg, known = salvageConfig(a.configPath)
	}
	if before := readSwitch(cfg.State); before != nil && before.Since != "" {
		line(a.stdout, "all policies are off since %s, until \"starttls-policy enable\": %s", before.Since, before.Reason)
	} else if err := a.pull(cfg.State, reason); err != nil {
		return errors.Join(errConfig, err)
	}
	if !known {
		return errors.Join(errConfig, errors.New("the daemon answers NOTFOUND; what mail servers read of files stays full, for these are not known"))
	}
	if errConfig != nil {
		line(a.stderr, "starttls-policy: warning: %v", flat{errConfig})
	}
	return a.rewriteTable(ctx, cfg)
}

// pull writes the file. On a full disk an empty one will do: the switch is there by its name, and the reason is lost.
func (a *app) pull(state, reason string) error {
	data, err := json.Marshal(switchedOff{Since: stamp(a.now()), Reason: reason})
	if err != nil {
		return err
	}
	if err := os.MkdirAll(state, 0o755); err != nil {
		return err
	}
	path := filepath.Join(state, switchFile)
	if err := durable.WriteFile(path, append(data, '\n'), 0o644); err != nil {
		f, errEmpty := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|syscall.O_NONBLOCK, 0o644)
		if errEmpty != nil {
			return errors.Join(err, errEmpty)
		}
		f.Close()
		line(a.stderr, "starttls-policy: warning: since when and why could not be written: %v", err)
	}
	line(a.stdout, "all policies are off until \"starttls-policy enable\": %s", reason)
	return nil
}

func (a *app) switchOn(ctx context.Context) error {
	cfg, err := a.loadConfig()
	if err != nil {
		return err
	}
	err = os.Remove(filepath.Join(cfg.State, switchFile))
	if errors.Is(err, fs.ErrNotExist) {
		line(a.stdout, "nothing is switched off")
		return nil
	}
	if err != nil {
		return err
	}
	line(a.stdout, "all policies are in force again")
	return a.rewriteTable(ctx, cfg)
}

// rewriteTable makes the Postfix table and the exports what they should be now. An update that runs meanwhile does the same at its end.
func (a *app) rewriteTable(ctx context.Context, cfg config) error {
	lists, err := a.openLists(cfg)
	if err != nil {
		return err
	}
	_, err = a.writeExports(cfg, lists)
	if table := a.newTable(ctx, cfg, lists); table != nil {
		err = errors.Join(table.write(ctx), err)
	}
	return errors.Join(err, a.writeTextfile(ctx, cfg, lists))
}
