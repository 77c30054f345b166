package main

import (
	"errors"
	"fmt"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/starttls-everywhere/policylist/policy/mta"
)

type exportOptions struct {
	dialect, out, tableType string
	postmap, exactOnly      bool
}

func newExport(a *app) *cobra.Command {
	var o exportOptions
	cmd := &cobra.Command{
		Use:   "export postfix [--dialect legacy|sni|floor|auto] [--exact-only] [--out FILE [--type TYPE] [--postmap]]",
		Short: "write the lists as a table for the mail server",
		Long: `Export writes what "update" would write, to the standard output or, whole or not at all, to a file. The report goes to
the standard error output. A domain in testing mode has no line; a domain with a ".suffix" pattern has one that accepts
more certificates than the list means, unless --exact-only leaves it out.

Exit codes: 0 written (also from a stale or expired list: see the warnings), 1 failed, 2 wrong usage or configuration.`,
		Example: `  $ starttls-policy export postfix --dialect sni
  …
  a.example  secure match=mx1.a.example:mx2.a.example servername=hostname
  b.example  secure match=.mail.b.example servername=hostname
  # end: 2 lines, 1 of them wider than the list; without a line: 1 testing, 0 left out, 0 refused
  2 lines, dialect sni, 1 wider than the list; 1 testing
    wider than the list: b.example`,
		Args: arguments(1, 1),
		RunE: func(c *cobra.Command, args []string) error {
			if args[0] != "postfix" {
				return usage(c, fmt.Errorf("there is no format %q; postfix is the one there is", args[0]))
			}
			return a.export(c, o)
		},
	}
	cmd.Flags().StringVar(&o.dialect, "dialect", "", "Postfix dialect (default: the configuration's, else auto)")
	cmd.Flags().StringVar(&o.out, "out", "", "file to write (default: standard output)")
	cmd.Flags().StringVar(&o.tableType, "type", "", "type for --postmap: lmdb, cdb, hash, btree (default: the configuration's)")
	cmd.Flags().BoolVar(&o.postmap, "postmap", false, "compile the file with postmap before it replaces the old one")
	cmd.Flags().BoolVar(&o.exactOnly, "exact-only", false, "leave out domains with a .suffix pattern")
	return cmd
}

func (a *app) export(c *cobra.Command, o exportOptions) error {
	cfg, err := a.loadConfig()
	if err != nil {
		return err
	}
	p, err := o.settings(cfg)
	if err != nil {
		return usage(c, err)
	}
	lists, err := a.standings(cfg)
	if err != nil {
		return err
	}
	a.warn(lists)
	views, held := make([]*namedView, len(lists)), false
	for i, l := range lists {
		views[i] = &namedView{l.name, l.View}
		held = held || l.Release != nil
	}
	if !held {
		return failed(errors.New("no list is held yet, so there is nothing to export"), "starttls-policy update")
	}
	dialect := dialectFor(c.Context(), p.Dialect)
	text, report, err := tableText(views, localSay{cfg.Overrides, cfg.Adopt, a.now()}, mta.Options{Dialect: dialect, ExactOnly: p.ExactOnly})
	if err != nil {
		return err
	}
	r := tableReport{Map: o.out, Type: string(p.Type), Dialect: dialect.String(), Written: true}
	r.take(report)
	if o.out == "" {
		_, err = a.stdout.Write(text)
	} else {
		r.Written, err = install(c.Context(), p, text)
	}
	if err != nil {
		return err
	}
	return a.printExport(r)
}

// settings are the configuration's, as far as the flags say nothing else.
func (o exportOptions) settings(cfg config) (postfixConfig, error) {
	p := postfixConfig{}
	if cfg.Postfix != nil {
		p = *cfg.Postfix
	}
	p.Postmap, p.ExactOnly = &o.postmap, p.ExactOnly || o.exactOnly
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
	p.setDefaults(cfg.State)
	if o.postmap && (o.out == "" || compiledSuffix[p.Type] == "") {
		return p, errors.New("--postmap takes --out and a type that is compiled, such as --type lmdb")
	}
	if !o.postmap {
		p.Type = texthash
	}
	if o.out != "" {
		abs, err := filepath.Abs(o.out)
		if err != nil {
			return p, err
		}
		p.Map = absolutePath(abs)
	}
	return p, nil
}

func (a *app) printExport(r tableReport) error {
	if a.json {
		return writeJSON(a.stderr, r)
	}
	line(a.stderr, "%d lines, dialect %s%s", r.Lines, r.Dialect, r.remarks())
	for _, d := range r.Wider {
		line(a.stderr, "  wider than the list: %s", d)
	}
	for _, d := range r.Omitted {
		line(a.stderr, "  left out: %s", d)
	}
	for _, f := range r.Refused {
		line(a.stderr, "  refused: %s", f)
	}
	return nil
}
