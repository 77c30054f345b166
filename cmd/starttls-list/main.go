// Command starttls-list is the list operator's, contributor's, mirror's and auditor's door.
package main

import (
	"context"
	"io"
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/starttls-everywhere/policylist/cmd/internal/term"
)

// version is set at build time with -ldflags "-X main.version=…".
var version = "devel"

// Exit codes of starttls-list, in every help text.
const (
	exitPass         = 0
	exitFail         = 1
	exitInconclusive = 2
	exitUsage        = 3
	exitInternal     = 4
)

func main() { os.Exit(run(context.Background(), os.Args[1:], os.Stdin, os.Stdout, os.Stderr)) }

func run(ctx context.Context, args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	ctx, stop := signal.NotifyContext(ctx, os.Interrupt, syscall.SIGTERM)
	defer stop()
	context.AfterFunc(ctx, stop) // a second signal ends what does not look at the first
	root := newRoot()
	root.SetArgs(args)
	root.SetIn(stdin)
	root.SetOut(stdout)
	root.SetErr(stderr)
	return term.Report(stderr, "starttls-list", root.ExecuteContext(ctx), exitInternal)
}

func newRoot() *cobra.Command {
	root := term.Root("starttls-list", version, "keeps, checks, releases, mirrors and audits a STARTTLS policy list", rootHelp, usage)
	root.AddCommand(newProbeCommand(), newSurveyCommand())
	root.AddCommand(newCheckCommand(), newPreviewCommand(), newFmtCommand(), newCodeCommand())
	root.AddCommand(newInitCommand(), newReleaseCommand(), newPendingCommand(), newRegistrationsCommand(), newRecoverCommand(), newImportCommand(), newTrustCommand(), newLogCommand(), newDemoCommand())
	root.AddCommand(newProposeCommand())
	root.AddCommand(newBotCommands()...)
	root.AddCommand(newMirrorCommand(), newAuditCommand(), newMonitorCommand(), newFreshnessCommand())
	root.AddCommand(newTLSRPTCommand(), newSiteCommand())
	root.AddCommand(newManual())
	return root
}

// usage marks err as the caller's mistake.
func usage(c *cobra.Command, err error) error {
	return &term.Exit{Code: exitUsage, Err: err, Hint: "see " + c.CommandPath() + " --help"}
}
