package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/starttls-everywhere/policylist/cmd/internal/term"
	"github.com/starttls-everywhere/policylist/pipeline"
	"github.com/starttls-everywhere/policylist/pipeline/probe"
)

// botEnd ends the help of each bot.
const botEnd = `

It goes by what the publisher knows (--config: what its gate remembers, and the log; no key is needed), or by merged scans of
some days (--evidence, as "probe merge" writes them), signed by the vantages that list.json names. It edits the fragments of
SOURCE in place, each replaced whole and in its normal form, and prints what it did as the message of a commit; what it
would have done and did not goes to the standard error. It does nothing on what could not be seen, on looks older than a
day, or against a maintainer's override. When there is nothing to do it says so; run twice, it does nothing the second
time, unless an entry takes two steps, of which each run makes one. It is made to run daily, before the release.

Exit codes: 0 done, or nothing to do; 1 the source has errors; 2 the evidence is no good, or somebody edited the source
meanwhile, and nothing was written; 3 usage, 4 internal.`

const syncLong = `Sync-mta-sts lets entries that are managed by MTA-STS follow the policy that their domain serves: its MX patterns, and its
mode where that weakens the entry. The change table then decides when the list follows: after 24 hours, as a rule. Mode and
MX patterns never change in one step. A policy that is absent, or could not be fetched, changes nothing; with mode none the
list lets the domain go, and its entry goes after that. To make an entry enforce is for "promote".` + botEnd

const promoteLong = `Promote sets entries from testing to enforce where the change table lets the next release make it: their MTA-STS policy or
their owner's proof in the DNS has asked for it, and mail has arrived, for long enough. It says which domains ask for it and
still wait, for what, and until when.` + botEnd

const demoteLong = `Demote lets the source follow what the list weakened or dropped by itself. An entry goes once the list has let it go, by its
owner's wish or because the domain is gone; it says testing once its owner asked for that in an emergency. What was demoted
because mail could not arrive stays as it was wanted for the 30 days in which the list restores it, and is given up then.
Without the log (--evidence) it makes itself the demotions and removals that the change table makes.` + botEnd

// botFlags are the flags of a bot as given.
type botFlags struct {
	config   string
	evidence []string
	dry      bool
	asJSON   bool
}

func newBotCommands() []*cobra.Command {
	return []*cobra.Command{
		newBotCommand("sync-mta-sts", "lets entries follow their domains' MTA-STS policies", syncLong, `
  Follow MTA-STS for 1 domain

  - moved.example: mxs mx.old.example to mx.new.example (mxs.replaced): MTA-STS says enforce mx.new.example`),
		newBotCommand("promote", "makes entries enforce that have earned it", promoteLong, `
  Promote 1 domain to enforce

  - trial.example: testing to enforce (promote.evidence): since 2026-03-02T08:00:00Z`),
		newBotCommand("demote", "lets the source follow what the list demoted or removed by itself", demoteLong, `
  nothing to do`),
	}
}

func newBotCommand(name, short, long, prints string) *cobra.Command {
	var f botFlags
	c := &cobra.Command{
		Use: name + " (--config FILE | --evidence FILE…) SOURCE", Short: short, Long: long,
		Example: "  $ starttls-list " + name + " --config mylist/policylist.toml mylist/list" + prints,
		Args:    exactly(1),
		RunE:    func(c *cobra.Command, args []string) error { return f.run(c, pipeline.Bots()[name], args[0]) },
	}
	flags := c.Flags()
	flags.StringVar(&f.config, "config", "", "configuration of the publisher whose state to go by")
	flags.StringArrayVar(&f.evidence, "evidence", nil, "merged scan to go by instead; may be repeated")
	flags.BoolVar(&f.dry, "dry-run", false, "write nothing, only say what would be done")
	flags.BoolVar(&f.asJSON, "json", false, "print the result as JSON")
	return c
}

func (f *botFlags) run(c *cobra.Command, bot pipeline.Bot, source string) error {
	if (f.config != "") == (len(f.evidence) > 0) {
		return usage(c, errors.New("say what to go by: either --config or --evidence"))
	}
	known, err := f.known(c, source)
	if err != nil {
		return botError(source, err)
	}
	run, err := bot.Plan(c.Context(), source, known)
	if err == nil && !f.dry {
		err = run.Write()
	}
	if err != nil {
		return botError(source, err)
	}
	if f.asJSON {
		return json.NewEncoder(c.OutOrStdout()).Encode(botJSON(run))
	}
	printBot(c.OutOrStdout(), c.ErrOrStderr(), run)
	return nil
}

func (f *botFlags) known(c *cobra.Command, source string) (*pipeline.Known, error) {
	if f.config == "" {
		return pipeline.KnownFrom(c.Context(), source, evidenceInputs(f.evidence), time.Now())
	}
	p, err := onlooker(c, f.config, source)
	if err != nil {
		return nil, err
	}
	return p.Known(c.Context())
}

// botError gives an error of a bot its exit code.
func botError(source string, err error) error {
	exit := &term.Exit{Code: exitInternal, Err: err}
	var inner *term.Exit
	switch {
	case errors.As(err, &inner):
		return err
	case errors.Is(err, pipeline.ErrSource):
		exit.Code = exitUsage
	case errors.Is(err, pipeline.ErrSourceErrors):
		exit.Code, exit.Hint = exitFail, "starttls-list check "+source+" lists them"
	case errors.Is(err, pipeline.ErrChangedMeanwhile):
		exit.Code, exit.Hint = exitInconclusive, "run it again: it decides about the source as it is now"
	case errors.Is(err, probe.ErrEvidence):
		exit.Code, exit.Hint = exitInconclusive, "starttls-list probe merge --source SOURCE joins the files of the vantages that list.json names"
	case errors.Is(err, pipeline.ErrNoGate):
		exit.Code, exit.Hint = exitUsage, "set enabled in [gate], or go by --evidence"
	default:
		exit.Hint = releaseHint(err)
	}
	return exit
}

// printBot prints the message of a commit, and beside it what was left. Names are escaped by being domains; reasons of
// overrides are a person's words.
func printBot(w, aside io.Writer, run *pipeline.BotRun) {
	for _, l := range run.Left {
		fmt.Fprintf(aside, "left alone: %s  %s: %s\n", l.Domain, strings.Join(l.Codes, " "), term.Escape(l.Why))
	}
	if len(run.Changes) == 0 {
		fmt.Fprintln(w, "nothing to do")
		return
	}
	fmt.Fprint(w, run.Message())
}

func botJSON(run *pipeline.BotRun) map[string]any {
	changes, left := []map[string]any{}, []map[string]any{}
	for _, ch := range run.Changes {
		m := map[string]any{"domain": ch.Domain.String(), "class": ch.Class.String(), "reason": ch.Reason, "why": ch.Why,
			"old": json.RawMessage(ch.Old.AppendJSON(nil))}
		if ch.New != nil {
			m["new"] = json.RawMessage(ch.New.AppendJSON(nil))
		}
		if ch.Alias != "" {
			m["alias"] = ch.Alias
		}
		changes = append(changes, m)
	}
	for _, l := range run.Left {
		left = append(left, map[string]any{"domain": l.Domain.String(), "codes": l.Codes, "why": l.Why})
	}
	subject, _, _ := strings.Cut(run.Message(), "\n")
	files := run.Files()
	if files == nil {
		files = []string{}
	}
	return map[string]any{"bot": run.Bot, "subject": subject, "changes": changes, "left": left, "files": files}
}
