package main

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"

	"github.com/starttls-everywhere/policylist/cmd/internal/term"
	"github.com/starttls-everywhere/policylist/mirror/durable"
	"github.com/starttls-everywhere/policylist/pipeline"
	"github.com/starttls-everywhere/policylist/pipeline/signing"
)

const initLong = `Init makes everything that a list operator needs in the folder DIR: keys, the first trust version, a configuration
with every key explained, and a small example list to replace.

  DIR/policylist.toml   configuration
  DIR/list/             the list's source: list.json and fragments; keep it in Git
  DIR/keys/             private keys, encrypted; root.key belongs offline from now on
  DIR/trust/1           whose signatures count
  DIR/state/            the publisher's memory: log, outbox, journal
  DIR/public/           where release publishes until the configuration says otherwise

The keys' password comes from COSIGN_PASSWORD, else from --password-file, else from a prompt. Where the first two are
there, they must say the same. Nothing that exists is overwritten.

Exit codes: 0 done, 3 usage, 4 internal.`

const initExample = `  $ COSIGN_PASSWORD=correct-horse starttls-list init mylist --origin list.operator.example/2026
  mylist is ready: list list.operator.example/2026
    fingerprint of its trust: …
  Next:
    starttls-list release --config mylist/policylist.toml`

func newInitCommand() *cobra.Command {
	var origin, passwordFile string
	c := &cobra.Command{
		Use: "init DIR", Short: "makes keys, trust, configuration and an example list", Long: initLong, Example: initExample,
		Args: exactly(1),
		RunE: func(c *cobra.Command, args []string) error { return runInit(c, args[0], origin, passwordFile) },
	}
	c.Flags().StringVar(&origin, "origin", "", "name of the list and its log: a host name, a slash, a path (default that of the example list)")
	c.Flags().StringVar(&passwordFile, "password-file", "", "file whose only line is the password of the keys")
	return c
}

func runInit(c *cobra.Command, dir, origin, passwordFile string) error {
	config := filepath.Join(dir, configName)
	switch _, err := os.Lstat(config); {
	case err == nil:
		return &term.Exit{Code: exitUsage, Err: fmt.Errorf("%s exists", config), Hint: "choose another folder: nothing is overwritten"}
	case !errors.Is(err, fs.ErrNotExist):
		return &term.Exit{Code: exitUsage, Err: err, Hint: "DIR is a folder, which is made when it is absent"}
	}
	password, err := newPassword(passwordFile, c.InOrStdin(), c.ErrOrStderr())
	if err != nil {
		return err
	}
	trust, err := pipeline.Setup(dir, pipeline.SetupOptions{Origin: origin, Password: password, Now: time.Now()})
	switch {
	case errors.Is(err, pipeline.ErrExists):
		return &term.Exit{Code: exitUsage, Err: err, Hint: "choose another folder: nothing is overwritten"}
	case errors.Is(err, pipeline.ErrOrigin):
		return &term.Exit{Code: exitUsage, Err: err, Hint: "an origin looks like list.operator.example/2026"}
	case err != nil:
		return err
	}
	if err := durable.WriteFile(config, []byte(configText), 0o644); err != nil {
		return err
	}
	fmt.Fprintf(c.OutOrStdout(), "%s is ready: list %s\n  fingerprint of its trust: %x\nNext:\n  starttls-list release --config %s\n",
		term.Escape(dir), trust.Origin, trust.Digest(), term.Escape(config))
	return nil
}

// newPassword gets the password for new keys.
func newPassword(file string, stdin io.Reader, stderr io.Writer) ([]byte, error) {
	password, err := passwordSource(file, stdin, stderr).Read("new keys")
	if errors.Is(err, signing.ErrNoPassword) {
		return nil, &term.Exit{Code: exitUsage, Err: errors.New("no password for the new keys"),
			Hint: "set COSIGN_PASSWORD, give --password-file, or run this on a terminal"}
	}
	if errors.Is(err, signing.ErrTwoPasswords) {
		return nil, &term.Exit{Code: exitUsage, Err: err, Hint: "unset COSIGN_PASSWORD or leave --password-file out"}
	}
	if err != nil {
		return nil, &term.Exit{Code: exitUsage, Err: err, Hint: "the password file has one line, the password"}
	}
	return password, nil
}
