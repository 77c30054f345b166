package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/starttls-everywhere/policylist/cmd/internal/soak"
	"github.com/starttls-everywhere/policylist/cmd/internal/term"
)

const demoLong = `Demo runs a whole list on this machine: a small internet on loopback, keys, two releases, a mail server's client, an
auditor, and three attacks that are refused. It needs no network, no root and nothing installed.

With --keep DIR everything that the demo made stays, for other people's tools to judge:

  DIR/public/       the mirror's objects
  DIR/trust/1       whose signatures count
  DIR/release.pub   public release key (PEM), for cosign
  DIR/openpgp.pub   public OpenPGP key, for gpgv (after gpg --dearmor)
  DIR/log.vkey      the log's verifier key, for log tools
  DIR/client/       what a mail server holds: list, Postfix map, state

With --soak TIME it tells no story but runs a list with everything that belongs to it: a publisher, three mirrors, one of them
in an S3 bucket where versitygw is found, three witnesses, a client, and a daemon that is asked all the time. Its own clock runs
fast, a release every quarter of an hour, several a second. Every minute something goes wrong for half a minute: publisher or
client are killed at work or find the disk full, a mirror is down, slow, cut short, set back or old, S3 errs, clocks step,
witnesses fall silent, files of a client break. The seed decides what; the same one brings the same faults in the same order,
not at the same release. What must never be is counted: a client with bytes that no release has, a release or change that is
lost or there twice, two histories, an answer that the held list does not give. And memory has to stay where it is.

Exit codes: 0 everything happened as it should, 1 something did not, 3 usage, 4 internal.`

const demoExample = `  $ starttls-list demo --keep demo
  …
  $ starttls-list audit demo/public --trust demo/trust/1
  $ starttls-list demo --soak 10m --seed 1`

// errDemo means that a step of the demo did not end as it should.
var errDemo = errors.New("the demo found something wrong")

func newDemoCommand() *cobra.Command {
	var keep string
	var o soakOptions
	c := &cobra.Command{
		Use: "demo", Short: "runs a whole list, its users and its attackers on this machine", Long: demoLong, Example: demoExample,
		Args: exactly(0),
		RunE: func(c *cobra.Command, _ []string) error {
			if o.part {
				return soak.RunPart(c.Context(), c.InOrStdin())
			}
			if err := o.check(c); err != nil {
				return err
			}
			return runDemo(c, keep, o)
		},
	}
	o.addFlags(c)
	c.Flags().StringVar(&keep, "keep", "", "leave everything in this folder, which must not exist or be empty")
	return c
}

func runDemo(c *cobra.Command, keep string, o soakOptions) error {
	dir := keep
	if keep == "" {
		tmp, err := os.MkdirTemp("", "policylist-demo-")
		if err != nil {
			return err
		}
		defer os.RemoveAll(tmp)
		dir = tmp
	} else if err := newFolder(keep); err != nil {
		return &term.Exit{Code: exitUsage, Err: err, Hint: "name a folder that does not exist yet"}
	}
	dir, err := filepath.Abs(dir)
	if err != nil {
		return err
	}
	if o.last > 0 {
		return runSoak(c, o, dir)
	}
	err = tellStory(c.Context(), c.OutOrStdout(), dir)
	if errors.Is(err, errDemo) {
		return &term.Exit{Code: exitFail, Err: err}
	}
	if err != nil {
		return err
	}
	if keep != "" {
		tellKept(c.OutOrStdout(), keep)
	}
	return nil
}

// newFolder makes a folder, or finds one that is empty.
func newFolder(path string) error {
	if err := os.MkdirAll(path, 0o755); err != nil {
		return err
	}
	names, err := os.ReadDir(path)
	if err == nil && len(names) > 0 {
		err = fmt.Errorf("%s is not empty", path)
	}
	return err
}

// tellStory runs the chapters in their order; each says what it does and checks that it happened.
func tellStory(ctx context.Context, w io.Writer, dir string) error {
	d := &demo{ctx: ctx, out: w, dir: dir}
	defer d.close()
	d.say("policylist demo: a STARTTLS policy list from source to mail server, all on this machine\n")
	for i, chapter := range []struct {
		title string
		run   func() error
	}{
		{"A small internet starts on loopback", d.startInternet},
		{"The list operator makes keys and the trust that names them", d.makeList},
		{"Release 1: the source is checked, its servers are probed, the list is signed, logged, published", d.firstRelease},
		{"A mail server joins, knowing only the fingerprint", d.joinClient},
		{"Release 2: one domain joins, one steps back to testing, and one asks for enforce just as its server breaks", d.secondRelease},
		{"Both ways to update end in the same bytes", d.updateBothWays},
		{"An auditor replays the log from its first entry", d.audit},
		{"Attack 1: a mirror puts another mail server into the list", d.attackList},
		{"Attack 2: a mirror serves the old release to hide the new one", d.attackRollback},
		{"Attack 3: a thief of the log key lists a mail server of his own", d.attackLogThief},
	} {
		d.say("\n%2d  %s\n", i+1, chapter.title)
		if err := chapter.run(); err != nil {
			return err
		}
	}
	d.say("\nAll of this happened as it should.\n")
	return os.RemoveAll(d.path("tmp"))
}

func tellKept(w io.Writer, dir string) {
	fmt.Fprintf(w, `
Kept in %[1]s. Judge it with other people's tools:
  cosign verify-blob --key %[1]s/release.pub --bundle %[1]s/public/policy.json.sigstore.json \
    --insecure-ignore-tlog %[1]s/public/policy.json
  gpg --dearmor < %[1]s/openpgp.pub > %[1]s/openpgp.gpg
  gpgv --keyring %[1]s/openpgp.gpg %[1]s/public/policy.json.asc %[1]s/public/policy.json
`, dir)
}
