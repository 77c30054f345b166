// Command starttls-policy is the reader's door. It runs on mail servers: it fetches policy lists, verifies them, keeps
// them in a folder and hands them to the mail server. What it needs to know stands in one file, which "join" writes.
//
//	/etc/starttls-policy/config.toml      lists, their mirrors, the Postfix table
//	/var/lib/starttls-policy/<list>/      one folder a list: trust/, policy.json and its proof, state, evidence/
//	/var/lib/starttls-policy/postfix-…    the table for smtp_tls_policy_maps
//	/var/lib/starttls-policy/update.json  what the last update found, for "status"
package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"runtime/debug"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/starttls-everywhere/policylist/cmd/internal/term"
	"github.com/starttls-everywhere/policylist/mirror/socketmap"
)

// version is set at build time with -ldflags "-X main.version=…".
var version = "devel"

// Exit codes. Those from 20 on tell how the list stands, whichever command was asked.
const (
	exitFailed    = 1 // could not be done, or does not verify
	exitUsage     = 2 // wrong command line or configuration
	exitNotListed = 4
	exitStale     = 20
	exitExpired   = 30
	exitNoMirror  = 40
	exitSecurity  = 50
	exitOff       = 60 // everything is switched off, so nothing is in force however the lists stand
)

// exitHelp ends the help of the commands that tell how the lists stand.
const exitHelp = `Exit codes: 0 fresh; 20 stale, the list stays in force; 30 expired or no list yet, nothing is in force; 40 no usable
mirror, the list stays in force; 50 the log signed two histories, see the evidence file; 1 something local failed;
2 wrong usage or configuration. With several lists the worst counts.`

const defaultConfig = "/etc/starttls-policy/config.toml"

// world is what one run gets from outside.
type world struct {
	stdout, stderr io.Writer
	now            func() time.Time
}

// app is one run: the world and the flags that every command has.
type app struct {
	world
	configPath string
	json       bool
	own        *ownWord                                    // see its method
	equip      func(*socketmap.Live, leaveOutConfig) error // makes it ask somebody; nil: ask
}

// pace is how much garbage may lie about between two collections, in percent of what is in use, unless GOGC says otherwise. A
// list is large strings, which the collector skips: to look more often costs little time, and at the usual pace a million
// domains would take a small mail server 80 MB more.
const pace = 30

func main() {
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(pace)
	}
	os.Exit(run(context.Background(), os.Args[1:], world{os.Stdout, os.Stderr, time.Now}))
}

func run(ctx context.Context, args []string, w world) int {
	ctx, stop := signal.NotifyContext(ctx, os.Interrupt, syscall.SIGTERM)
	defer stop()
	context.AfterFunc(ctx, stop) // a second signal ends what does not look at the first
	a := &app{world: w}
	root := newRoot(a)
	root.SetArgs(args)
	root.SetOut(w.stdout)
	root.SetErr(w.stderr)
	did, err := root.ExecuteContextC(ctx)
	a.handOverAfter(did)
	return term.Report(w.stderr, "starttls-policy", err, exitFailed)
}

func newRoot(a *app) *cobra.Command {
	root := term.Root("starttls-policy", version, "fetches and verifies STARTTLS policy lists and hands them to the mail server", rootHelp, usage)
	root.PersistentFlags().StringVar(&a.configPath, "config", defaultConfig, "configuration file")
	root.PersistentFlags().BoolVar(&a.json, "json", false, "report in JSON")
	root.AddCommand(newJoin(a), newUpdate(a), newStatus(a), newQuery(a), newExplain(a), newVerify(a), newExport(a),
		newServe(a), newRollback(a), newDisable(a), newEnable(a), newRefresh(a), newPing(a), newDoctor(a), newFeedback(a), newManual(), newExample(a))
	a.complete(root)
	return root
}

// usage marks err as the caller's mistake.
func usage(c *cobra.Command, err error) error {
	return &term.Exit{Code: exitUsage, Err: err, Hint: "see " + c.CommandPath() + " --help"}
}

// arguments are those of a command that takes from low to high.
func arguments(low, high int) cobra.PositionalArgs { return term.Arguments(low, high, usage) }

// line prints one line. Names, reasons and paths in it may come from a mirror, so nothing reaches the terminal raw.
func line(w io.Writer, format string, args ...any) {
	fmt.Fprintln(w, term.Escape(fmt.Sprintf(format, args...)))
}

// complain prints an error as the last one of a run is printed, for commands that have several.
func (a *app) complain(format string, args ...any) {
	line(a.stderr, "starttls-policy: error: "+format, args...)
}

func writeJSON(w io.Writer, v any) error {
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	e.SetEscapeHTML(false)
	return e.Encode(v)
}

// exit is an exit code alone; the output has said why. Zero is success.
func exit(code int) error {
	if code == 0 {
		return nil
	}
	return &term.Exit{Code: code}
}

// failed gives err a hint.
func failed(err error, hint string) error {
	return &term.Exit{Code: exitFailed, Err: flat{err}, Hint: hint}
}

// flat is an error on one line: joined errors have one for each.
type flat struct{ error }

func (f flat) Error() string { return strings.ReplaceAll(f.error.Error(), "\n", "; ") }

func (f flat) Unwrap() error { return f.error }

// errNoConfig says that there is no configuration file.
var errNoConfig = errors.New("no configuration")
