package main

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"strings"

	"github.com/spf13/cobra"

	"github.com/starttls-everywhere/policylist/cmd/internal/term"
	"github.com/starttls-everywhere/policylist/pipeline/tlsrpt"
	"github.com/starttls-everywhere/policylist/policy"
	"github.com/starttls-everywhere/policylist/policy/discovery"
)

const tlsrptLong = `Tlsrpt takes in what mail servers report about TLS (RFC 8460): reports that domains pass on to this list, by a second URI
in their _smtp._tls record, and what senders contribute. It keeps documents for 7 days and tallies for 90, in the folder
that [tlsrpt] in the configuration names. Pipeline/tlsrpt/README.md in the sources tells how to run it from systemd and
from an MTA, and PRIVACY.md there what is kept, and who sees it.

  enrol     prints the URI that a domain adds to its record, and looks whether it is there
  serve     takes reports and contributions over HTTPS
  ingest    takes reports from files, and mail from an MTA
  status    tells who is enrolled and what was reported
  table     makes the week's table for everybody, and shows it
  alerts    tells what single reporters see and others do not

All of them may run at the same time. What nobody has signed is kept and shown, and decides nothing.

Exit codes: 0 done, 3 usage, 4 internal; each command's help says what its others mean.`

const enrolLong = `Enrol prints the URI that a domain adds to the rua of its _smtp._tls record, so that senders' reports about it come here
as well. The URI is the domain's own: showing it in its DNS proves that the domain wants this. Enrol then looks whether
it is there; "tlsrpt serve" looks again every hour at first, and daily later. From the first look that finds it the domain
is enrolled, and its reports are taken; from the first that finds it gone, no more. It may be run again at any time.

With --remove the domain is forgotten; its tallies end after 90 days.

Exit codes: 0 done, enrolled or not yet; 2 the record could not be looked up; 3 usage; 4 internal; 75 the store is in use
or full.`

const enrolExample = `  $ starttls-list tlsrpt enrol a.example --config policylist.toml
  a.example: waiting: there is no TLSRPT record
  URI:     https://reports.operator.example/tlsrpt/v1/…
  record:  _smtp._tls.a.example. IN TXT "v=TLSRPTv1; rua=https://reports.operator.example/tlsrpt/v1/…"
  Where there is a record, add the URI to its rua, behind a comma.`

// exitLater is EX_TEMPFAIL of sysexits.h, by which an MTA keeps the mail and tries again.
const exitLater = 75

func newTLSRPTCommand() *cobra.Command {
	c := term.Group(&cobra.Command{
		Use: "tlsrpt", Short: "takes in reports about TLS in mail delivery, and tells what they say", Long: tlsrptLong, Example: enrolExample,
	}, usage)
	c.AddCommand(newTLSRPTEnrolCommand(), newTLSRPTServeCommand(), newTLSRPTIngestCommand(), newTLSRPTStatusCommand(), newTLSRPTTableCommand(), newTLSRPTAlertsCommand())
	return c
}

// enrolFlags are the options of tlsrpt enrol.
type enrolFlags struct {
	config       string
	remove, json bool
}

func newTLSRPTEnrolCommand() *cobra.Command {
	var f enrolFlags
	c := &cobra.Command{
		Use: "enrol DOMAIN --config FILE", Short: "prints the URI for a domain's reports, and looks whether its record has it",
		Long: enrolLong, Example: enrolExample, Args: exactly(1),
		RunE: func(c *cobra.Command, args []string) error { return runEnrol(c, args[0], f) },
	}
	c.Flags().StringVar(&f.config, "config", configName, "configuration file with [tlsrpt]")
	c.Flags().BoolVar(&f.remove, "remove", false, "forget the domain")
	c.Flags().BoolVar(&f.json, "json", false, "print the result as JSON")
	return c
}

// openTLSRPT reads the configuration and opens its store. Hints are in the error.
func openTLSRPT(path string, existing bool) (*config, *tlsrpt.Store, error) {
	cfg, err := readTLSRPTConfig(path)
	if err != nil {
		return nil, nil, &term.Exit{Code: exitUsage, Err: err, Hint: "starttls-list init writes a configuration that explains every key"}
	}
	space, err := cfg.tlsrptSpace()
	if err != nil {
		return nil, nil, err
	}
	open := tlsrpt.Open
	if existing {
		open = tlsrpt.OpenExisting
	}
	store, err := open(cfg.path(cfg.TLSRPT.State), tlsrpt.Options{Space: space})
	if err != nil {
		return nil, nil, tlsrptError(err)
	}
	return cfg, store, nil
}

// tlsrptError gives an error of the store its exit code and a hint.
func tlsrptError(err error) error {
	exit := &term.Exit{Code: exitInternal, Err: err}
	var inner *term.Exit
	switch {
	case err == nil || errors.As(err, &inner):
		return err
	case errors.Is(err, tlsrpt.ErrBusy):
		exit.Code, exit.Hint = exitLater, "another starttls-list works on it; try again, or look who it is with \"fuser\" on the folder's file \"lock\""
	case errors.Is(err, tlsrpt.ErrFull):
		exit.Code, exit.Hint = exitLater, "make room on the disk, or raise space in [tlsrpt]; documents are deleted after 7 days"
	case errors.Is(err, tlsrpt.ErrDamaged):
		exit.Hint = "restore the folder from a backup; without one move tlsrpt.db aside and enrol the domains again, whose URIs stay while the file \"secret\" does"
	case errors.Is(err, tlsrpt.ErrDenied):
		exit.Hint = "run it as the user whom the folder belongs to"
	case errors.Is(err, fs.ErrNotExist):
		exit.Hint = "\"starttls-list tlsrpt enrol DOMAIN\" makes the store; the folder in which it lies has to exist"
	}
	return exit
}

// tlsrptDNS is the resolver of [probe].
func (c *config) tlsrptDNS() (*discovery.Client, error) {
	addr, err := resolverAddr(c.Probe.Resolver)
	if err != nil {
		return nil, &term.Exit{Code: exitUsage, Err: fmt.Errorf("[probe] resolver: %w", err)}
	}
	return discovery.NewClient(discovery.Options{Resolver: addr})
}

// enrolment is what enrol tells of a domain.
type enrolment struct {
	Domain string   `json:"domain"`
	State  string   `json:"state"`
	URI    string   `json:"uri,omitempty"`
	Record string   `json:"record,omitempty"`
	Faults []string `json:"faults"`
}

func runEnrol(c *cobra.Command, name string, f enrolFlags) error {
	d, err := policy.NormalizeDomain(name)
	if err != nil {
		return usage(c, err)
	}
	cfg, store, err := openTLSRPT(f.config, f.remove)
	if err != nil {
		return err
	}
	if f.remove {
		found, err := store.Remove(c.Context(), d)
		if err != nil {
			return tlsrptError(err)
		}
		return printEnrolment(c.OutOrStdout(), f.json, enrolment{Domain: d.String(), State: map[bool]string{true: "removed", false: "never enrolled"}[found], Faults: []string{}})
	}
	token, err := store.Enrol(c.Context(), d)
	if err != nil {
		return tlsrptError(err)
	}
	dns, err := cfg.tlsrptDNS()
	if err != nil {
		return err
	}
	e, err := store.Look(c.Context(), dns, cfg.TLSRPT.Host, d)
	if err != nil {
		return tlsrptError(err)
	}
	uri := tlsrpt.ReportURI(cfg.TLSRPT.Host, token)
	said := enrolment{d.String(), string(e.State), uri, tlsrpt.ReportRecord(d, uri), append([]string{}, e.Faults...)}
	if err := printEnrolment(c.OutOrStdout(), f.json, said); err != nil {
		return err
	}
	if e.LookFailed {
		return &term.Exit{Code: exitInconclusive, Hint: "\"tlsrpt serve\" looks again; resolver in [probe] says who is asked"}
	}
	return nil
}

func printEnrolment(w io.Writer, asJSON bool, e enrolment) error {
	if asJSON {
		return encodeLine(w, e)
	}
	fmt.Fprintf(w, "%s: %s", e.Domain, e.State)
	if len(e.Faults) > 0 {
		fmt.Fprintf(w, ": %s", term.Escape(strings.Join(e.Faults, "; ")))
	}
	fmt.Fprintln(w)
	if e.URI == "" {
		return nil
	}
	fmt.Fprintf(w, "URI:     %s\n", e.URI)
	if e.State != string(tlsrpt.Enrolled) {
		fmt.Fprintf(w, "record:  %s\nWhere there is a record, add the URI to its rua, behind a comma.\n", e.Record)
	}
	return nil
}
