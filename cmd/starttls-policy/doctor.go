package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"github.com/starttls-everywhere/policylist/cmd/internal/term"
	"github.com/starttls-everywhere/policylist/policy"
	"github.com/starttls-everywhere/policylist/policy/mta/doctor"
)

type doctorOptions struct {
	offline bool
	logs    []string
	code    string
}

func newDoctor(a *app) *cobra.Command {
	var o doctorOptions
	cmd := &cobra.Command{
		Use:   "doctor [--offline] [--log FILE...] [--code CODE]",
		Short: "look at the mail server, the daemon and the lists, and tell what is wrong and how to mend it",
		Long: `Doctor finds Postfix or Exim and looks at what stands between the list and a delivery: tables and their types, the order
in smtp_tls_policy_maps, overrides in master.cf, CA certificates, relays, the daemon's socket as a chrooted smtp sees it,
the resolver, the age of lists and trust, the clock, the state folder, and who starts the next update. It changes
nothing. Each finding has a code, what was found, and a fix.

It sends nothing to the network except one question to each configured resolver. It asks the daemon about a name that
cannot exist and about one listed domain, and the daemon may look at that domain itself, as it does for a mail. With
--offline nobody is asked anything that leaves the machine. Of several instances of Postfix it looks at the one whose
folder is in MAIL_CONFIG.

With --log it reads mail logs of Postfix instead ("-" is standard input, .gz is understood, the oldest file goes first) and
tells what would have changed had the list been in force: which listed domains were delivered to without TLS, to a
certificate that was not good, or to a host that the policy does not name. Postfix logs that only with smtp_tls_loglevel =
1. Nothing of it is kept or sent anywhere.

Exit codes: 0 no errors, though there may be warnings; 1 errors were found, or something local failed; 2 wrong usage or
configuration.`,
		Example: `  $ starttls-policy doctor --code doctor.ca.none
  doctor.ca.none: Postfix has no CA certificates, so mail to every listed domain waits
  severity: error
  fix: postconf -e 'smtp_tls_CAfile = /etc/ssl/certs/ca-certificates.crt' && postfix reload`,
		RunE: func(c *cobra.Command, args []string) error {
			o.logs = append(o.logs, args...)
			switch {
			case len(args) > 0 && !c.Flags().Changed("log"):
				return usage(c, fmt.Errorf("%q: files are given with --log", args[0]))
			case o.code != "" && (o.offline || len(o.logs) > 0), o.offline && len(o.logs) > 0:
				return usage(c, errors.New("--offline, --log and --code are for different things"))
			case o.code != "":
				return a.doctorCode(c, o.code)
			}
			return a.doctor(c.Context(), o)
		},
	}
	cmd.Flags().BoolVar(&o.offline, "offline", false, "ask neither the resolver nor the daemon about any name")
	cmd.Flags().StringArrayVar(&o.logs, "log", nil, "mail log to read; more files may follow")
	cmd.Flags().StringVar(&o.code, "code", "", "explain a finding's code, or \"all\" of them")
	return cmd
}

// doctorReport is what doctor prints.
type doctorReport struct {
	Server   string           `json:"mail_server"` // "Postfix 3.7.11", "" where there is none
	Asked    []string         `json:"asked,omitempty"`
	Findings []doctor.Finding `json:"findings"`
	Exit     int              `json:"exit"`
}

func (a *app) doctor(ctx context.Context, o doctorOptions) error {
	cfg, err := a.loadConfig()
	if err != nil {
		return err
	}
	if len(o.logs) > 0 {
		return a.doctorLog(ctx, cfg, o.logs)
	}
	lists, err := a.openLists(cfg)
	if err != nil {
		return err
	}
	l := a.newLook(cfg, lists, o.offline)
	l.gather(ctx)
	return a.tellFindings(l)
}

func (a *app) tellFindings(l *look) error {
	r := doctorReport{Server: l.server(), Asked: l.asked, Findings: append([]doctor.Finding{}, doctor.Examine(l.facts)...)}
	if doctor.HasErrors(r.Findings) {
		r.Exit = exitFailed
	}
	if a.json {
		return errors.Join(writeJSON(a.stdout, r), exit(r.Exit))
	}
	if r.Server != "" {
		line(a.stdout, "%s%s", r.Server, l.transports())
	}
	for _, who := range r.Asked {
		line(a.stdout, "asked %s", who)
	}
	printFindings(a.stdout, r.Findings)
	return exit(r.Exit)
}

// server names the mail servers that were looked into.
func (l *look) server() string {
	var out []string
	if p := l.facts.Postfix; p != nil {
		out = append(out, "Postfix "+p.Version)
	}
	if e := l.facts.Exim; e != nil {
		out = append(out, "Exim "+e.Version)
	}
	return strings.Join(out, ", ")
}

// transports are those of Postfix that deliver by SMTP.
func (l *look) transports() string {
	if l.facts.Postfix == nil || len(l.facts.Postfix.Services) == 0 {
		return ""
	}
	var out []string
	for _, s := range l.facts.Postfix.Services {
		name := s.Name
		if s.Chroot {
			name += " (chroot)"
		}
		out = append(out, name)
	}
	return ", transports " + strings.Join(out, ", ")
}

// printFindings ends with how many there are. What was found comes from configurations, logs and sockets.
func printFindings(w io.Writer, findings []doctor.Finding) {
	for _, f := range findings {
		line(w, "%s: %s: %s", f.Severity, f.Code, f.Summary)
		line(w, "    found: %s", f.Found)
		line(w, "    fix: %s", f.Fix)
	}
	errs, warnings, notices := doctor.Count(findings, policy.Error), doctor.Count(findings, policy.Warning), doctor.Count(findings, policy.Notice)
	line(w, "%s, %s, %s", term.Plural(errs, "error"), term.Plural(warnings, "warning"), term.Plural(notices, "notice"))
}

// doctorCode explains a code, or lists all.
func (a *app) doctorCode(c *cobra.Command, id string) error {
	if id == "all" {
		if a.json {
			return writeJSON(a.stdout, doctor.Codes())
		}
		for _, x := range doctor.Codes() {
			line(a.stdout, "%-26s %-8s %s", x.ID, x.Severity, x.Summary)
		}
		return nil
	}
	x, ok := doctor.LookupCode(id)
	if !ok {
		return usage(c, fmt.Errorf("there is no code %q; --code all lists them", id))
	}
	if a.json {
		return writeJSON(a.stdout, x)
	}
	line(a.stdout, "%s: %s", x.ID, x.Summary)
	line(a.stdout, "severity: %s", x.Severity)
	line(a.stdout, "fix: %s", x.Fix)
	return nil
}

// doctorCodes are what a shell offers for --code.
func doctorCodes() []string {
	out := []string{"all"}
	for _, c := range doctor.Codes() {
		out = append(out, c.ID)
	}
	return out
}
