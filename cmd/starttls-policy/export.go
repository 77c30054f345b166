package main

import (
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"github.com/starttls-everywhere/policylist/cmd/internal/term"
	"github.com/starttls-everywhere/policylist/policy/mta"
)

type exportOptions struct {
	dialect, out, tableType      string
	postmap, exactOnly, settings bool
}

func newExport(a *app) *cobra.Command {
	var o exportOptions
	cmd := &cobra.Command{
		Use:   "export FORMAT [--out FILE] [--settings]",
		Short: "write the lists as a table for the mail server",
		Long: `Export writes what "update" would write, to the standard output or, whole or not at all, to a file. The report goes to
the standard error output. A domain in testing mode has no line. An [[export]] in the configuration has every update keep
such a file; a list that has expired leaves it empty.

Formats:
` + formatsHelp() + `
With --settings it writes what to add to the mail server's configuration for the file of --out, and nothing else.

For postfix: --dialect is legacy, sni, floor, tlsrpt or auto (by postconf). Before tlsrpt (Postfix 3.10.5) a ".suffix" pattern
has a line that accepts more certificates than the list means, unless --exact-only leaves it out. --type cdb writes FILE.cdb beside the text, without
Postfix's help; lmdb, hash and btree are compiled with --postmap, or by you with the command that is printed. Both forms
replace the old ones at once. A Postfix with a type that it does not have defers ALL mail, so only lines for types that
"postconf -m" names are printed.

Exit codes: 0 written (also from a stale or expired list: see the warnings), 1 failed, 2 wrong usage or configuration.`,
		Example: `  $ starttls-policy export postfix --dialect sni
  …
  a.example  secure match=mx1.a.example:mx2.a.example servername=hostname
  b.example  secure match=.mail.b.example servername=hostname
  # end: 2 lines, 1 of them wider than the list; without a line: 1 testing, 0 left out, 0 refused
  2 lines, dialect sni, 1 wider than the list; 1 testing
    wider than the list: b.example
  $ starttls-policy export hints
  a.example
  b.example
  c.example
  hints: to standard output: 3 lines
    it cannot stand in for a policy`,
		Args: arguments(1, 1),
		RunE: func(c *cobra.Command, args []string) error {
			f, ok := mta.FindFormat(args[0])
			switch {
			case args[0] == "postfix" && o.settings:
				return usage(c, errors.New("without --settings: the lines for main.cf are printed with --out"))
			case args[0] == "postfix":
				return a.exportPostfix(c, o)
			case !ok:
				return usage(c, fmt.Errorf("there is no format %q; it is postfix or one of %s", args[0], formatNames()))
			}
			for _, name := range []string{"dialect", "type", "postmap", "exact-only"} {
				if c.Flags().Changed(name) {
					return usage(c, fmt.Errorf("--%s is for postfix", name))
				}
			}
			return a.exportFile(c, f, o)
		},
	}
	cmd.Flags().StringVar(&o.out, "out", "", "file to write (default: standard output)")
	cmd.Flags().BoolVar(&o.settings, "settings", false, "write the lines for the mail server's configuration instead")
	cmd.Flags().StringVar(&o.dialect, "dialect", "", "Postfix dialect (default: the configuration's, else auto)")
	cmd.Flags().StringVar(&o.tableType, "type", "", "Postfix table type: cdb, lmdb, hash, btree, texthash (default: the configuration's, else the best of postconf -m)")
	cmd.Flags().BoolVar(&o.postmap, "postmap", false, "compile the file with postmap before it replaces the old one")
	cmd.Flags().BoolVar(&o.exactOnly, "exact-only", false, "leave out domains with a .suffix pattern")
	return cmd
}

// formatsHelp tells of each format what it enforces and what it cannot.
func formatsHelp() string {
	var b strings.Builder
	b.WriteString("postfix       Postfix's smtp_tls_policy_maps\n" +
		"  enforces: TLS (1.2 or later from Postfix 3.6 on) and a certificate of a trusted CA for a name of the policy\n" +
		"  cannot:   before Postfix 3.10.5: match a pattern by exactly one label, the names of a certificate may have more\n")
	for _, f := range mta.Formats() {
		fmt.Fprintf(&b, "%-13s %s\n  enforces: %s\n  cannot:   %s\n", f.Name, f.Server, f.Enforces, f.Cannot)
	}
	return b.String()
}

func formatNames() string {
	var out []string
	for _, f := range mta.Formats() {
		out = append(out, f.Name)
	}
	return strings.Join(out, ", ")
}

// exportable reads the lists that an export is made of, and warns about them.
func (a *app) exportable(cfg config) ([]*namedView, localSay, error) {
	local := a.localSay(cfg)
	lists, err := a.standings(cfg)
	if err != nil {
		return nil, local, err
	}
	a.warn(lists)
	views, held := make([]*namedView, len(lists)), false
	for i, l := range lists {
		views[i] = &namedView{l.name, l.View}
		held = held || l.Release != nil
	}
	if !held {
		return nil, local, failed(errors.New("no list is held yet, so there is nothing to export"), "starttls-policy update")
	}
	return views, local, nil
}

// exportFile writes a format other than Postfix's.
func (a *app) exportFile(c *cobra.Command, f mta.Format, o exportOptions) error {
	out := o.out
	if out != "" {
		abs, err := filepath.Abs(out)
		if err != nil {
			return err
		}
		out = abs
	}
	if o.settings {
		if out == "" {
			out = filepath.Join(defaultState, f.File)
		}
		_, err := a.stdout.Write([]byte(f.Settings(out)))
		return err
	}
	cfg, err := a.loadConfig()
	if err != nil {
		return err
	}
	views, local, err := a.exportable(cfg)
	if err != nil {
		return err
	}
	fill, err := exportData(f, views, local)
	if err != nil {
		return err
	}
	d := dueExport{path: out, fill: fill, report: exportReport{Format: f.Name, File: out, Written: true}}
	if out == "" {
		var data mta.Buffer // nobody can seek in a pipe
		if err = d.filled(&data); err == nil {
			_, err = a.stdout.Write(data.Bytes())
		}
	} else {
		d.report.Written, err = replaceFile(out, d.filled)
	}
	if err != nil {
		return err
	}
	r := d.report
	if a.json {
		return writeJSON(a.stderr, r)
	}
	r.print(a.stderr)
	line(a.stderr, "  it cannot %s", f.Cannot)
	return nil
}

// exportPostfix writes Postfix's table.
func (a *app) exportPostfix(c *cobra.Command, o exportOptions) error {
	cfg, err := a.loadConfig()
	if err != nil {
		return err
	}
	p, err := o.postfix(c, cfg)
	if err != nil {
		return usage(c, err)
	}
	views, local, err := a.exportable(cfg)
	if err != nil {
		return err
	}
	dialect, err := dialectFor(c.Context(), p.Dialect)
	if err != nil {
		return failed(fmt.Errorf("which dialect does this Postfix read? %w", err), "say it with --dialect")
	}
	r := tableExport{tableReport: tableReport{Map: o.out, Type: string(p.Type), Dialect: dialect.String(), Written: true}}
	local.sources, _, _ = p.neglected(c.Context(), local.sources, cfg.daneMap())
	s, err := settle(views, local)
	if err != nil {
		return err
	}
	text := func(w io.Writer) error {
		report, err := s.table(w, views, mta.Options{Dialect: dialect, ExactOnly: p.ExactOnly})
		if err == nil { // it is about the whole
			r.take(report)
		}
		return err
	}
	r.OwnFirst = len(s.leftOut)
	if o.out == "" {
		err = text(a.stdout)
	} else {
		r.Written, err = install(c.Context(), p, text, nil)
		if compiledSuffix[p.Type] != "" && !p.compiles() {
			r.Postmap = fmt.Sprintf("postmap %s:%s", p.Type, p.Map)
		}
		m := mainLines(c.Context(), p)
		r.MainCF = &m
	}
	if err != nil {
		return err
	}
	return a.printExport(r)
}

// tableExport is what "export postfix" reports.
type tableExport struct {
	tableReport
	Postmap string  `json:"postmap,omitempty"` // command that is still to be run
	MainCF  *mainCF `json:"main_cf,omitempty"`
}

// postfix is the configuration's part, as far as the flags say nothing else.
func (o exportOptions) postfix(c *cobra.Command, cfg config) (postfixConfig, error) {
	p := postfixConfig{}
	if cfg.Postfix != nil {
		p = *cfg.Postfix
	}
	p.ExactOnly = p.ExactOnly || o.exactOnly
	if o.tableType != "" {
		if err := p.Type.UnmarshalText([]byte(o.tableType)); err != nil {
			return p, err
		}
	}
	if o.dialect != "" {
		if err := p.Dialect.UnmarshalText([]byte(o.dialect)); err != nil {
			return p, err
		}
	}
	if o.out == "" && p.Type == "" {
		p.Type = texthash
	}
	if p.Type == "" {
		p.Type = chooseType(c.Context())
	}
	p.setDefaults(cfg.State)
	if o.postmap && (o.out == "" || compiledSuffix[p.Type] == "") {
		return p, errors.New("--postmap takes --out and a type that is compiled, such as --type lmdb")
	}
	compile := o.postmap || p.Type == cdb
	p.Postmap = &compile
	if o.out != "" {
		abs, err := filepath.Abs(o.out)
		if err != nil {
			return p, err
		}
		p.Map = absolutePath(abs)
	}
	return p, nil
}

func (a *app) printExport(r tableExport) error {
	if a.json {
		return writeJSON(a.stderr, r)
	}
	line(a.stderr, "%s, dialect %s%s", term.Plural(r.Lines, "line"), r.Dialect, r.remarks())
	for _, d := range r.Wider {
		line(a.stderr, "  wider than the list: %s", d)
	}
	for _, d := range r.Omitted {
		line(a.stderr, "  left out: %s", d)
	}
	for _, f := range r.Refused {
		line(a.stderr, "  refused: %s", f)
	}
	if r.Postmap != "" {
		line(a.stderr, "Postfix reads the compiled form, which is still the old one, or missing. Now run: %s", r.Postmap)
	}
	if r.MainCF != nil {
		r.MainCF.print(a.stderr)
	}
	return nil
}
