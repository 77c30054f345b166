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
	"github.com/starttls-everywhere/policylist/transparency"
)

const initLong = `Init makes everything that a list operator needs in the folder DIR: keys, the first trust version, a configuration
with every key explained, and a small example list to replace.

  DIR/policylist.toml   configuration
  DIR/list/             the list's source: list.json and fragments; keep it in Git
  DIR/keys/             private keys, encrypted; root.key belongs offline from now on
  DIR/trust/1           whose signatures count
  DIR/state/            the publisher's memory: log, outbox, journal
  DIR/public/           where release publishes until the configuration says otherwise

With --repository REPO the public part, list, trust and configuration, goes there, together with workflows for GitHub, forms
and a SETUP.md that says what else has to be set; keys and state stay in DIR, which must not lie in REPO. The change table
decides from the first release on, by the evidence of the vantages that list.json names: of one, whose key is made in DIR, so
that nobody is demoted or removed automatically before there is a second. Without DIR the configuration names keys in a KMS
and places on S3, to be filled in, and list.json no vantage yet. The workflows are those of policylist at the commit or release
--ref, by default this program's.

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
	var r repositoryInit
	c := &cobra.Command{
		Use: "init DIR | init [DIR] --repository REPO", Short: "makes keys, trust, configuration and an example list, or a whole list repository",
		Long: initLong, Example: initExample,
		RunE: func(c *cobra.Command, args []string) error {
			switch {
			case len(args) > 1 || len(args) == 0 && r.public == "":
				return usage(c, errors.New("name one folder DIR, or --repository, or both"))
			case r.public == "" && r.ref != "":
				return usage(c, errors.New("--ref belongs to --repository"))
			case r.public == "":
				return runInit(c, args[0], origin, passwordFile)
			}
			if len(args) == 1 {
				r.private = args[0]
			}
			r.origin = origin
			return runInitRepository(c, &r, passwordFile)
		},
	}
	c.Flags().StringVar(&r.public, "repository", "", "folder of the list's own Git repository, which is made when absent")
	c.Flags().StringVar(&r.ref, "ref", "", "commit hash or release of policylist that the workflows take (default: this program's)")
	c.Flags().StringVar(&origin, "origin", "", "name of the list and its log: a host name, a slash, a path (default that of the example list)")
	c.Flags().StringVar(&passwordFile, "password-file", "", "file whose only line is the password of the keys")
	return c
}

// runInitRepository makes a list's repository, and, with a folder for them, its keys.
func runInitRepository(c *cobra.Command, r *repositoryInit, passwordFile string) error {
	if err := r.check(c); err != nil {
		return err
	}
	out := c.OutOrStdout()
	if r.private != "" {
		trust, err := makeKeys(c, r.private, r.origin, passwordFile)
		if err != nil {
			return err
		}
		r.origin = trust.Origin
		fmt.Fprintf(out, "%s has the keys of list %s\n  fingerprint of its trust: %x\n", term.Escape(r.private), trust.Origin, trust.Digest())
	}
	if err := r.write(); errors.Is(err, pipeline.ErrOrigin) {
		return &term.Exit{Code: exitUsage, Err: err, Hint: originHint}
	} else if err != nil {
		return err
	}
	if r.private != "" {
		fmt.Fprintf(out, "  its only vantage, %q, signs with %s: until list.json names a second one, nobody is demoted or removed automatically\n",
			vantageName, term.Escape(filepath.Join(r.private, filepath.FromSlash(vantageKeyFile))))
	}
	fmt.Fprintf(out, "%s is ready: a repository for list %s, with workflows of policylist %s\nNext:\n  read %s\n", term.Escape(r.public),
		r.origin, r.ref, term.Escape(filepath.Join(r.public, "SETUP.md")))
	return nil
}

func runInit(c *cobra.Command, dir, origin, passwordFile string) error {
	config := filepath.Join(dir, configName)
	switch _, err := os.Lstat(config); {
	case err == nil:
		return &term.Exit{Code: exitUsage, Err: fmt.Errorf("%s exists", config), Hint: "choose another folder: nothing is overwritten"}
	case !errors.Is(err, fs.ErrNotExist):
		return &term.Exit{Code: exitUsage, Err: err, Hint: "DIR is a folder, which is made when it is absent"}
	}
	trust, err := makeKeys(c, dir, origin, passwordFile)
	if err != nil {
		return err
	}
	if err := durable.WriteFile(config, []byte(configText), 0o644); err != nil {
		return err
	}
	fmt.Fprintf(c.OutOrStdout(), "%s is ready: list %s\n  fingerprint of its trust: %x\nNext:\n  starttls-list release --config %s\n",
		term.Escape(dir), trust.Origin, trust.Digest(), term.Escape(config))
	return nil
}

const originHint = "an origin looks like list.operator.example/2026"

// makeKeys makes an operator's folder.
func makeKeys(c *cobra.Command, dir, origin, passwordFile string) (*transparency.Trust, error) {
	password, err := newPassword(passwordFile, c.InOrStdin(), c.ErrOrStderr())
	if err != nil {
		return nil, err
	}
	trust, err := pipeline.Setup(dir, pipeline.SetupOptions{Origin: origin, Password: password, Now: time.Now()})
	switch {
	case errors.Is(err, pipeline.ErrExists):
		return nil, &term.Exit{Code: exitUsage, Err: err, Hint: "choose another folder: nothing is overwritten"}
	case errors.Is(err, pipeline.ErrOrigin):
		return nil, &term.Exit{Code: exitUsage, Err: err, Hint: originHint}
	}
	return trust, err
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
