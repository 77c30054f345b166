package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/starttls-everywhere/policylist/cmd/internal/term"
	"github.com/starttls-everywhere/policylist/pipeline/tlsrpt"
)

const ingestLong = `Ingest takes TLS reports: documents in JSON or gzip, or mail with documents in it, in whatever shape gateways leave them.
FILE is one, DIR a folder of them with all below it, such as a Maildir (names that begin with a dot are passed over), and "-" the
standard input, for an MTA that pipes mail. Files stay where they are: what was taken before is a duplicate.

Mail counts when a DKIM signature proves who sent it: one of the From address's organisation, or of a signed
TLS-Report-Submitter's. Other mail, and bare files, are kept and shown. Reports about domains that are not enrolled are
dropped and counted.

For "-" the exit code is what an MTA has to do. 0: the mail is done with; also one that is no report, or that nobody can
read, for to return it would tell an innocent sender, or come back for ever. 75 (EX_TEMPFAIL): keep it and try again, as
the store is in use or full, the configuration is wrong, or the signature's key cannot be looked up at the moment.

Exit codes: 0 done, 1 a file is no report, 3 usage, 4 internal, 75 the store is in use or full, or a key could not be looked
up; for "-" only those two above.`

const ingestExample = `  $ starttls-list tlsrpt ingest reports --config policylist.toml
  reports/1.json: taken for a.example, to be shown: a file proves no submitter
  1 file: 1 taken, no duplicates, 0 foreign, 0 unreadable`

// ingestFlags are the options of tlsrpt ingest.
type ingestFlags struct {
	config      string
	json, quiet bool
}

func newTLSRPTIngestCommand() *cobra.Command {
	var f ingestFlags
	c := &cobra.Command{
		Use: "ingest FILE|DIR|- --config FILE", Short: "takes reports from files, and mail from an MTA", Long: ingestLong, Example: ingestExample,
		Args: func(c *cobra.Command, args []string) error {
			if len(args) == 0 {
				return usage(c, errors.New("it takes a file, a folder, or - for the standard input"))
			}
			return nil
		},
		RunE: func(c *cobra.Command, args []string) error {
			err := runIngest(c, args, f)
			if err == nil || !piped(args) {
				return err
			}
			// Whatever it is, somebody will mend it, and then the mail is still there.
			exit := &term.Exit{Err: err}
			errors.As(err, &exit)
			return &term.Exit{Code: exitLater, Err: exit.Err, Hint: exit.Hint}
		},
	}
	c.Flags().StringVar(&f.config, "config", configName, "configuration file with [tlsrpt]")
	c.Flags().BoolVar(&f.quiet, "quiet", false, "print what was not taken, and nothing else")
	c.Flags().BoolVar(&f.json, "json", false, "print lines of JSON: one a file, then the sum")
	return c
}

func piped(args []string) bool { return len(args) == 1 && args[0] == "-" }

// ingestSum is what ingest did in all.
type ingestSum struct {
	Files      int `json:"files"`
	Taken      int `json:"taken"`
	Duplicates int `json:"duplicates"`
	Foreign    int `json:"foreign"`
	Unreadable int `json:"unreadable"`
	Later      int `json:"later"`
}

func runIngest(c *cobra.Command, args []string, f ingestFlags) error {
	cfg, store, err := openTLSRPT(f.config, true)
	if err != nil {
		return err
	}
	dns, err := cfg.tlsrptDNS()
	if err != nil {
		return err
	}
	in := &tlsrpt.Ingester{Store: store, DNS: dns, Now: time.Now}
	var sum ingestSum
	var printed error
	tell := func(r tlsrpt.Ingested) {
		said := sum.add(r)
		if f.json {
			printed = errors.Join(printed, encodeLine(c.OutOrStdout(), said))
		} else if !f.quiet || said.State != stateTaken && said.State != stateDuplicate {
			fmt.Fprintln(c.OutOrStdout(), term.Escape(said.line()))
		}
	}
	for _, arg := range args {
		if err := ingestOne(c.Context(), in, arg, c.InOrStdin(), tell); err != nil {
			return ingestError(err)
		}
	}
	if f.json {
		printed = errors.Join(printed, encodeLine(c.OutOrStdout(), sum))
	} else if !f.quiet && !piped(args) {
		fmt.Fprintf(c.OutOrStdout(), "%s: %d taken, %s, %d foreign, %d unreadable\n", term.Plural(sum.Files, "file"), sum.Taken, term.Plural(sum.Duplicates, "duplicate"), sum.Foreign, sum.Unreadable)
	}
	switch {
	case printed != nil:
		return printed
	case sum.Later > 0:
		return &term.Exit{Code: exitLater, Hint: "the keys of some signatures could not be looked up; those mails were not taken"}
	case sum.Unreadable > 0 && !piped(args):
		return &term.Exit{Code: exitFail}
	}
	return nil
}

func ingestOne(ctx context.Context, in *tlsrpt.Ingester, arg string, stdin io.Reader, tell func(tlsrpt.Ingested)) error {
	if arg != "-" {
		return in.TakeAll(ctx, arg, tell)
	}
	raw, err := tlsrpt.ReadCapped(stdin)
	r := tlsrpt.Ingested{Err: err}
	if err == nil {
		r = in.Take(ctx, raw, "")
	}
	r.Name = "standard input"
	if r.Err != nil && !r.Unreadable() && !errors.Is(r.Err, tlsrpt.ErrLater) {
		return r.Err
	}
	tell(r)
	return nil
}

// ingestError tells mistakes in the arguments from those of the store.
func ingestError(err error) error {
	if !errors.Is(err, tlsrpt.ErrDenied) && (errors.Is(err, fs.ErrNotExist) || errors.Is(err, fs.ErrPermission)) {
		return &term.Exit{Code: exitUsage, Err: err, Hint: "it takes files and folders that this user may read"}
	}
	return tlsrptError(err)
}

// The states of what was ingested.
const (
	stateTaken      = "taken"
	stateDuplicate  = "duplicate"
	stateForeign    = "foreign"
	stateEmpty      = "empty"
	stateUnreadable = "unreadable"
	stateLater      = "later"
)

// ingestedJSON is one file as ingest tells it.
type ingestedJSON struct {
	File          string   `json:"file"`
	State         string   `json:"state"`
	Domains       []string `json:"domains"`
	Authenticated bool     `json:"authenticated"`
	Reasons       []string `json:"reasons"`
	Notes         []string `json:"notes"`
	Error         string   `json:"error,omitempty"`
}

// add counts a file, and puts into words what became of it.
func (s *ingestSum) add(r tlsrpt.Ingested) ingestedJSON {
	out := ingestedJSON{File: r.Name, State: stateEmpty, Domains: []string{}, Reasons: append([]string{}, r.Reasons...), Notes: []string{}}
	s.Files++
	for _, n := range r.Notes {
		out.Notes = append(out.Notes, n.String())
	}
	var duplicates, foreign int
	for _, o := range r.Outcomes {
		duplicates, foreign = duplicates+o.Duplicates, foreign+o.Foreign
		out.Authenticated = out.Authenticated || o.Authenticated
		for _, d := range o.Counted {
			out.Domains = append(out.Domains, d.String())
		}
	}
	switch {
	case errors.Is(r.Err, tlsrpt.ErrLater):
		out.State, out.Error = stateLater, r.Err.Error()
		s.Later++
	case r.Err != nil:
		out.State, out.Error = stateUnreadable, r.Err.Error()
		s.Unreadable++
	case len(out.Domains) > 0:
		out.State = stateTaken
		s.Taken++
	case duplicates > 0:
		out.State = stateDuplicate
		s.Duplicates++
	case foreign > 0:
		out.State = stateForeign
		s.Foreign++
	}
	return out
}

func (i ingestedJSON) line() string {
	switch i.State {
	case stateTaken:
		text := i.File + ": taken for " + strings.Join(i.Domains, ", ")
		if !i.Authenticated {
			text += ", to be shown: " + strings.Join(i.Reasons, "; ")
		}
		return text
	case stateDuplicate:
		return i.File + ": taken before"
	case stateForeign:
		return i.File + ": about no domain that is enrolled"
	case stateEmpty:
		return i.File + ": counts no sessions"
	}
	return i.File + ": " + i.State + ": " + i.Error
}
