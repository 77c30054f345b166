package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/mod/sumdb/tlog"

	"github.com/starttls-everywhere/policylist/cmd/internal/term"
	"github.com/starttls-everywhere/policylist/mirror"
	"github.com/starttls-everywhere/policylist/pipeline"
	"github.com/starttls-everywhere/policylist/transparency/tilelog"
	"github.com/starttls-everywhere/policylist/transparency/trillianlog"
)

const logLong = `The log of a list is a folder in the publisher's state. Its leaves can be sequenced in this process, or by a Trillian
server of your own; what is published is the same. transparency/README.md tells how to move.`

const fillLong = `Fill moves the log to the Trillian server that [log] in the configuration names: it hands over the leaves that
the tree does not have yet, waits until they are integrated, and compares both roots. The tree must be new, or one that
an interrupted fill began. Then set engine = "trillian".

The way back is engine = "embedded": the folder always holds the whole log.

Exit codes: 0 the tree has the log, 1 it cannot (another log is in it, or no answer), 3 usage, 4 internal.`

const fillExample = `  $ starttls-list log fill --config mylist/policylist.toml
  tree … has the log: size 317, root …`

func newLogCommand() *cobra.Command {
	c := term.Group(&cobra.Command{
		Use: "log", Short: "moves the log to a Trillian server", Long: logLong,
	}, usage)
	c.Long += "\n\nExit codes: 0 done, 1 refused or no answer, 3 usage, 4 internal."
	c.Example = fillExample
	c.AddCommand(newLogFillCommand())
	return c
}

func newLogFillCommand() *cobra.Command {
	var config string
	var asJSON bool
	c := &cobra.Command{
		Use: "fill --config FILE", Short: "hands the log's leaves to the configured Trillian server", Long: fillLong, Example: fillExample,
		Args: exactly(0),
		RunE: func(c *cobra.Command, _ []string) error { return runFill(c, config, asJSON) },
	}
	c.Flags().StringVar(&config, "config", configName, "configuration file, as init writes it")
	c.Flags().BoolVar(&asJSON, "json", false, "print the result as JSON")
	return c
}

func runFill(cmd *cobra.Command, path string, asJSON bool) error {
	c, err := readConfig(path)
	if err != nil {
		return &term.Exit{Code: exitUsage, Err: err}
	}
	// Asked for before the engine is switched: everything about the server must be there by now.
	c.Log.Engine = engineTrillian
	if err := c.checkLog(); err != nil {
		return &term.Exit{Code: exitUsage, Err: fmt.Errorf("%s: %w", path, err)}
	}
	chain, err := mirror.ReadTrust(c.path(c.Trust))
	if err != nil {
		return err
	}
	p := &pipeline.Publisher{Trust: chain, Now: time.Now, Log: slog.New(slog.NewTextHandler(cmd.ErrOrStderr(), nil))}
	if err := c.setState(cmd.Context(), p); err != nil {
		return err
	}
	var o trillianlog.Options
	var tree tlog.Tree
	err = p.WithLogFolder(cmd.Context(), func(dir string) error {
		if o, err = c.trillian(dir); err == nil {
			tree, err = trillianlog.Fill(cmd.Context(), dir, o)
		}
		return err
	})
	if err != nil {
		return logExit(err)
	}
	if asJSON {
		return json.NewEncoder(cmd.OutOrStdout()).Encode(map[string]any{"tree": o.Tree, "size": tree.N, "root": tree.Hash.String()})
	}
	_, err = fmt.Fprintf(cmd.OutOrStdout(), "tree %d has the log: size %d, root %s\n", o.Tree, tree.N, tree.Hash)
	return err
}

// logHint says what to do about an engine's errors.
func logHint(err error) string {
	switch {
	case errors.Is(err, trillianlog.ErrUnavailable):
		return "nothing is lost: see that trillian_log_server runs and that [log] names it, then run the same command again"
	case errors.Is(err, trillianlog.ErrNotIntegrated):
		return "nothing is lost: see that trillian_log_signer runs, then run the same command again"
	case errors.Is(err, trillianlog.ErrRewound):
		return "if the tree is new and is to take over the log, run starttls-list log fill; else restore Trillian's database"
	case errors.Is(err, trillianlog.ErrRoot), errors.Is(err, trillianlog.ErrLeaves):
		return "nothing was signed; the log in the state folder is sound: engine = \"embedded\" goes on with it, see transparency/README.md"
	case errors.Is(err, trillianlog.ErrTree), errors.Is(err, errEarlierLog):
		return "tree in [log] names another log's tree"
	case errors.Is(err, tilelog.ErrConflict):
		return "two publishers append to one tree: stop one of them"
	}
	return leaseHint(err)
}

func logExit(err error) error { return &term.Exit{Code: exitFail, Err: err, Hint: logHint(err)} }
