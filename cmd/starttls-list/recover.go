package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/spf13/cobra"
	"golang.org/x/mod/sumdb/tlog"
	xterm "golang.org/x/term"

	"github.com/starttls-everywhere/policylist/cmd/internal/term"
	"github.com/starttls-everywhere/policylist/pipeline"
	"github.com/starttls-everywhere/policylist/transparency/trillianlog"
)

const recoverLong = `Recover rebuilds the publisher's state (a folder, or a place on S3) from mirrors when it is lost, so that the next
release goes on with the same history: the next number, the same log, no second tree for anybody to find.

It first shows what it found, and writes only after that, when you agree (--yes, or the newest release's number typed
on a terminal). With --dry-run it writes nothing. It looks at every configured mirror, at those that --from names, at
the Trillian server where one is configured, and asks the trust's witnesses what they have cosigned. It takes the
largest tree that the log has signed anywhere, replays it from the first entry by the rules of clients and auditors, and
compares its root with the signed one. No mirror is believed, and none needs to be whole. What was logged, spread to a
mirror and not published yet is taken along, since witnesses may have cosigned it; the next release completes it.

It refuses when mirrors show two histories (evidence goes to --evidence), when a mirror gives no answer or holds what
this list's log has not signed (leave it out with --without NAME once you know why), when a witness has cosigned more
than can be found, and when there is a state that is not just an older one. --replace replaces that one too, when it is
damaged or of no more use; whatever is replaced is kept. Interrupted at any moment, it is run again.

Keys, trust versions, source and configuration are not part of the state. Keep copies of them elsewhere. Where a release takes
its keys by --release-key and --log-key, recover takes the same.

Exit codes: 0 recovered, or with --dry-run: could be; 1 refused: see above; 2 a mirror or the log server gives no
answer; 3 wrong usage, or not confirmed; 4 internal, or another publisher is at work; 50 the log has two histories.`

const recoverExample = `  $ starttls-list recover --config mylist/policylist.toml --dry-run
  mirrors:
    public: release 1, 6 log entries: CHOSEN, it is the only mirror that holds this log
  list.operator.example/2026: 6 log entries replayed from the first; 1 release, all valid; root … as signed
    release 1 of …, expires …: 5 domains
  state: there is none
  cannot be recovered:
    …
  would recover release 1; nothing was changed
  $ starttls-list recover --config mylist/policylist.toml --yes
  …
  recovered: the next release is number 2`

// recoverFlags are the options of recover.
type recoverFlags struct {
	config, evidence          string
	from, without             []string
	dry, yes, replace, asJSON bool
	keys                      keyFlags
}

func newRecoverCommand() *cobra.Command {
	var f recoverFlags
	c := &cobra.Command{
		Use: "recover --config FILE", Short: "rebuilds a lost state from mirrors", Long: recoverLong, Example: recoverExample,
		Args: exactly(0),
		RunE: func(c *cobra.Command, _ []string) error {
			if f.dry && f.yes {
				return usage(c, errors.New("--dry-run and --yes exclude each other"))
			}
			return runRecover(c, f)
		},
	}
	c.Flags().StringVar(&f.config, "config", configName, "configuration file, as init writes it")
	c.Flags().BoolVar(&f.dry, "dry-run", false, "show what would be recovered, and write nothing")
	c.Flags().BoolVar(&f.yes, "yes", false, "write after showing, without asking")
	c.Flags().StringArrayVar(&f.from, "from", nil, "another mirror to look at: https://, folder or s3://; may be repeated")
	c.Flags().StringArrayVar(&f.without, "without", nil, "name of a configured mirror that does not count; may be repeated")
	c.Flags().BoolVar(&f.replace, "replace", false, "replace a state that is damaged or as new as the mirrors")
	c.Flags().StringVar(&f.evidence, "evidence", ".", "folder for what proves two histories")
	c.Flags().BoolVar(&f.asJSON, "json", false, "print what was found as JSON")
	f.keys.add(c.Flags())
	return c
}

// errNotConfirmed means that nobody agreed to what was shown.
var errNotConfirmed = errors.New("nothing was written: what is above was not confirmed")

func runRecover(c *cobra.Command, f recoverFlags) error {
	p, cfg, err := openConfigured(c, f.config, &f.keys)
	if err != nil {
		return err
	}
	o := pipeline.RecoverOptions{
		Without: f.without, Replace: f.replace, Evidence: f.evidence, DryRun: f.dry, Open: openTileLog, Engine: cfg.recoverEngine(),
	}
	if err := checkWithout(c, p, f); err != nil {
		return err
	}
	if o.From, err = openSources(c.Context(), f.from); err != nil {
		return err
	}
	bar := newProgress(c.ErrOrStderr())
	o.Progress = bar.show
	shown := false
	o.Confirm = func(found *pipeline.Recovery) error {
		bar.end()
		if shown = true; !f.asJSON {
			printRecovery(c.OutOrStdout(), found)
		}
		return confirmRecovery(c, found, f)
	}
	found, err := p.Recover(c.Context(), o)
	bar.end()
	switch {
	case f.asJSON:
		err = errors.Join(err, printRecoveryJSON(c.OutOrStdout(), found, err, err == nil && !f.dry))
	case !shown:
		printRecovery(c.OutOrStdout(), found)
	case err == nil && f.dry:
		fmt.Fprintf(c.OutOrStdout(), "would recover release %d; nothing was changed\n", newestRecovered(found))
	case err == nil:
		printRecovered(c.OutOrStdout(), found)
	}
	return recoverExit(err)
}

// checkWithout finds mistyped names: a mirror that was to be left out would count.
func checkWithout(c *cobra.Command, p *pipeline.Publisher, f recoverFlags) error {
	names := map[string]bool{}
	for _, m := range p.Mirrors {
		names[m.Name] = true
	}
	for _, w := range f.without {
		if !names[w] {
			return usage(c, fmt.Errorf("--without: no configured mirror has the name %q", w))
		}
	}
	for i, ref := range f.from {
		for _, other := range f.from[:i] {
			if ref == other {
				return usage(c, fmt.Errorf("--from: %q is given twice", ref))
			}
		}
		if names[ref] {
			return usage(c, fmt.Errorf("--from: %q is the name of a configured mirror, which counts anyway", ref))
		}
	}
	return nil
}

// confirmRecovery asks on a terminal. The number is something that nobody types by habit.
func confirmRecovery(c *cobra.Command, found *pipeline.Recovery, f recoverFlags) error {
	if f.dry || f.yes {
		return nil
	}
	in, ok := c.InOrStdin().(*os.File)
	if !ok || !xterm.IsTerminal(int(in.Fd())) {
		return errNotConfirmed
	}
	want := fmt.Sprint(newestRecovered(found))
	fmt.Fprintf(c.ErrOrStderr(), "Type the number of the newest release, %s, to write the state: ", want)
	line, err := bufio.NewReader(in).ReadString('\n')
	if err != nil || strings.TrimSpace(line) != want {
		return errNotConfirmed
	}
	return nil
}

// recoverEngine asks a configured Trillian server for what it has beyond the mirrors.
func (c *config) recoverEngine() func(ctx context.Context, dir string, known tlog.Tree) (string, error) {
	if c.Log.Engine != engineTrillian {
		return nil
	}
	return func(ctx context.Context, dir string, known tlog.Tree) (string, error) {
		o, err := c.trillian(dir)
		if err != nil {
			return "", err
		}
		o.Known = known
		l, err := trillianlog.Open(ctx, dir, o)
		if errors.Is(err, trillianlog.ErrRewound) {
			return fmt.Sprintf("the Trillian tree %d has fewer entries than the mirrors: run starttls-list log fill before the next release", o.Tree), nil
		}
		if err != nil {
			return "", err
		}
		return "", l.Close()
	}
}

// recoverExit gives an error its exit code.
func recoverExit(err error) error {
	code := exitInternal
	is := func(targets ...error) bool {
		for _, t := range targets {
			if errors.Is(err, t) {
				return true
			}
		}
		return false
	}
	switch {
	case err == nil:
		return nil
	case is(errNotConfirmed):
		code = exitUsage
	case is(pipeline.ErrFork):
		code = exitFork
	case is(pipeline.ErrForeign, pipeline.ErrNothing, pipeline.ErrTail, pipeline.ErrTwoTails, pipeline.ErrKnown, pipeline.ErrNotOlder,
		pipeline.ErrStateAhead, pipeline.ErrTrustOld, pipeline.ErrKeys, trillianlog.ErrRoot, trillianlog.ErrLeaves, errEarlierLog):
		code = exitFail
	case is(pipeline.ErrUnjudged, trillianlog.ErrUnavailable):
		code = exitInconclusive
	case is(pipeline.ErrIncomplete):
		code = exitFail
	}
	return &term.Exit{Code: code, Err: err, Hint: recoverHint(err)}
}

// recoverHint says what to do about an error of recover.
func recoverHint(err error) string {
	for _, h := range []struct {
		err  error
		hint string
	}{
		{errNotConfirmed, "read it, then run the command again with --yes"},
		{pipeline.ErrFork, "the log has two histories; publish the evidence, and find out who else publishes with these keys. Only a new log heals it: transparency/README.md, Changing keys"},
		{pipeline.ErrStateAhead, "do not replace it: run starttls-list release, which goes on from it"},
		{pipeline.ErrNotOlder, "if release works there is nothing to recover; --replace takes it out of the way and keeps it"},
		{pipeline.ErrTrustOld, "trust versions are public; every mirror has all of them under trust/"},
		{pipeline.ErrKnown, "look for the missing entries: the old disk, the log server, a mirror that --from can name. If they are gone, no release of this log will be cosigned again: make a trust version with another log, transparency/README.md"},
		{pipeline.ErrTwoTails, "find out which of the two the witnesses have cosigned, and leave the other mirror out with --without"},
		{pipeline.ErrTail, "whoever has the log key signed that. Make a trust version with another log key and origin: transparency/README.md, Changing keys"},
		{pipeline.ErrIncomplete, "look for a mirror that has the entries and name it with --from; an older mirror will not do, because the newer tree was signed"},
		{pipeline.ErrForeign, "see what the mirror holds; if it is damaged, another copy of it may not be: name it with --from. Leave it out with --without only if it was not ahead of the others"},
		{pipeline.ErrUnjudged, "run it again when the mirror can be read; leave it out with --without NAME only if it was not ahead of the others"},
		{pipeline.ErrNothing, "name a copy of the list with --from; a list that was never released needs no recovery"},
		{pipeline.ErrChanged, "another publisher works on this state: look what it does, then run it again"},
	} {
		if errors.Is(err, h.err) {
			return h.hint
		}
	}
	return releaseHint(err)
}
