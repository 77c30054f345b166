package main

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/starttls-everywhere/policylist/cmd/internal/term"
	"github.com/starttls-everywhere/policylist/mirror"
	"github.com/starttls-everywhere/policylist/mirror/durable"
	"github.com/starttls-everywhere/policylist/policy/mta"
	"github.com/starttls-everywhere/policylist/transparency"
)

type joinOptions struct {
	place       string // as given
	fingerprint string
	mta         string
	daemon      bool   // Postfix asks "serve" instead of a table
	state       string // "" for the configuration's, or the default
	name        string
	mirrors     []string
}

func newJoin(a *app) *cobra.Command {
	var o joinOptions
	cmd := &cobra.Command{
		Use:   "join URL --fingerprint HEX [--mta postfix|FORMAT|none] [--daemon] [--name NAME] [--state DIR] [--mirror URL]...",
		Short: "start to follow a list: check its fingerprint, write the configuration, fetch the list",
		Long: `Join fetches the list's trust (whose signatures count) from URL, a mirror or the absolute path of a folder, and compares
it with the fingerprint that you got by another way: 64 hexadecimal digits. With a wrong fingerprint nothing is written.
Then it writes the configuration, runs the first update and prints the lines to add to Postfix's main.cf. It changes
nothing in Postfix. It takes the best table type that "postconf -m" names, of cdb, lmdb, hash, btree and texthash: a type
that Postfix does not have would make it defer all mail.

With --daemon it sets up the daemon instead of a table: "serve", which has to run before Postfix is told of it.

Where there is a configuration already, the list is appended to it; the first list that names a domain decides.

` + exitHelp,
		Example: `  $ starttls-policy join https://list.example/ --fingerprint $FINGERPRINT --name example
  trust version 1 of log.example/list has the fingerprint you gave
  wrote /etc/starttls-policy/config.toml
  example: release 1 by snapshot from https://list.example/; fresh, 3 domains in force
  …
  Add to /etc/postfix/main.cf (Postfix 3.5.25), then run "postfix reload":
  …`,
		Args: arguments(1, 1),
		RunE: func(c *cobra.Command, args []string) error {
			o.place = args[0]
			return a.join(c, o)
		},
	}
	cmd.Flags().StringVar(&o.fingerprint, "fingerprint", "", "SHA-256 of a trust version's text, in hexadecimal")
	cmd.Flags().StringVar(&o.mta, "mta", "postfix", "mail server to write for: postfix, a format of \"export\" such as exim, or none to hold the list only")
	cmd.Flags().BoolVar(&o.daemon, "daemon", false, "have Postfix ask the daemon, instead of a table")
	cmd.Flags().StringVar(&o.state, "state", "", "state folder (default "+defaultState+", or what the configuration says)")
	cmd.Flags().StringVar(&o.name, "name", "", "the list's name (default: the host in URL)")
	cmd.Flags().StringArrayVar(&o.mirrors, "mirror", nil, "a further mirror; may be repeated")
	return cmd
}

func (a *app) join(c *cobra.Command, o joinOptions) error {
	ctx := c.Context()
	fingerprint, err := parseFingerprint(o.fingerprint)
	if err != nil {
		return usage(c, err)
	}
	if _, ok := mta.FindFormat(o.mta); !ok && o.mta != "postfix" && o.mta != "none" {
		return usage(c, fmt.Errorf("--mta %q: it is postfix, none, or one of %s", o.mta, formatNames()))
	}
	if o.daemon && o.mta != "postfix" {
		return usage(c, fmt.Errorf("--daemon is for Postfix, not for --mta %s", o.mta))
	}
	entry, err := o.entry()
	if err != nil {
		return usage(c, err)
	}
	plan, err := a.planConfig(ctx, o, entry)
	if err != nil {
		return err
	}
	dir := filepath.Join(plan.config.State, string(entry.Name))
	trust, err := joinTrust(ctx, dir, entry, fingerprint, plan.listed)
	if err != nil {
		return err
	}
	report := joinReport{Trust: trust.Version, Origin: trust.Origin, Config: a.configPath, Wrote: plan.text != nil}
	if plan.text != nil {
		if err := writeConfig(a.configPath, plan.text); err != nil {
			return err
		}
	}
	if report.updateReport, err = a.update(ctx, plan.config, updateOptions{list: string(entry.Name), method: "auto"}); err != nil {
		return err
	}
	switch s := plan.config.Serve; {
	case plan.config.Postfix != nil:
		m := mainLines(ctx, *plan.config.Postfix)
		report.MainCF = &m
	case o.mta == "postfix" && s.Written:
		m := daemonLines(ctx, append(s.Listen, unitSocket)[0])
		report.MainCF = &m
	}
	for _, x := range plan.config.Exports {
		if string(x.Format) == o.mta {
			report.Settings = x.Format.format().Settings(string(x.File))
		}
	}
	if a.json {
		err = writeJSON(a.stdout, report)
	} else {
		a.printJoin(report)
	}
	return errors.Join(err, a.closeUpdate(report.updateReport))
}

// joinReport is what join prints.
type joinReport struct {
	Trust  int64  `json:"trust"` // the version that has the fingerprint
	Origin string `json:"origin"`
	Config string `json:"config"`
	Wrote  bool   `json:"wrote"` // false: the configuration has the list already
	updateReport
	MainCF   *mainCF `json:"main_cf,omitempty"`
	Settings string  `json:"settings,omitempty"` // of the mail server that --mta names
}

func (a *app) printJoin(r joinReport) {
	line(a.stdout, "trust version %d of %s has the fingerprint you gave", r.Trust, r.Origin)
	if r.Wrote {
		line(a.stdout, "wrote %s", r.Config)
	} else {
		line(a.stdout, "%s has this list already", r.Config)
	}
	a.printUpdate(r.updateReport)
	if r.Exit != 0 && r.Exit != exitStale {
		line(a.stdout, "There is no table for the mail server yet; run \"starttls-policy update\" until there is one.")
		return
	}
	if r.MainCF != nil {
		r.MainCF.print(a.stdout)
	}
	if r.Settings != "" {
		line(a.stdout, "")
		line(a.stdout, "Add to the mail server's configuration:")
		for text := range strings.Lines(r.Settings) {
			line(a.stdout, "  %s", strings.TrimSuffix(text, "\n"))
		}
	}
	if r.MainCF != nil && r.MainCF.Daemon {
		line(a.stdout, "The daemon updates the list itself.")
		return
	}
	line(a.stdout, "Run \"starttls-policy update\" every six hours from a timer.")
}

// parseFingerprint accepts what people paste: capitals, colons or spaces between the digits.
func parseFingerprint(s string) (f [32]byte, err error) {
	s = strings.TrimPrefix(strings.ToLower(s), "sha256:")
	b, err := hex.DecodeString(strings.NewReplacer(":", "", " ", "").Replace(s))
	if err != nil || len(b) != len(f) {
		return f, errors.New("--fingerprint takes 64 hexadecimal digits; the list's operator publishes them, and another way than the mirror should tell you")
	}
	return [32]byte(b), nil
}

// entry is the [[list]] that join was asked for.
func (o joinOptions) entry() (listConfig, error) {
	l := listConfig{Expired: "empty"}
	for _, text := range append([]string{o.place}, o.mirrors...) {
		if !strings.Contains(text, "://") {
			abs, err := filepath.Abs(text)
			if err != nil {
				return l, err
			}
			text = abs
		}
		var m mirrorPlace
		if err := m.UnmarshalText([]byte(text)); err != nil {
			return l, err
		}
		l.Mirrors = append(l.Mirrors, m)
	}
	name := o.name
	if name == "" {
		name = filepath.Base(string(l.Mirrors[0]))
		if u, err := url.Parse(string(l.Mirrors[0])); err == nil && u.Host != "" {
			name = u.Hostname()
		}
	}
	if err := l.Name.UnmarshalText([]byte(name)); err != nil {
		return l, fmt.Errorf("%w; choose one with --name", err)
	}
	return l, nil
}

// configPlan is the configuration as it is to be after join.
type configPlan struct {
	config config
	text   []byte // nil: the file stays as it is
	listed bool   // a list of the name was configured before
}

// planConfig reads the configuration there is and adds the list to it. Nothing is written yet. A list of the same name
// stays as its administrator has it.
func (a *app) planConfig(ctx context.Context, o joinOptions, entry listConfig) (configPlan, error) {
	var p configPlan
	old, data, err := readConfig(a.configPath)
	text := string(data)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		if o.state == "" {
			o.state = defaultState
		}
		state, err := filepath.Abs(o.state)
		if err != nil {
			return p, err
		}
		text = configText(state, entry, a.newPostfix(ctx, o, state)) + exportFor(o.mta, state, nil)
		if o.daemon {
			text += serveSection
		}
	case err != nil:
		return p, &term.Exit{Code: exitUsage, Err: err, Hint: "mend the configuration first; join only appends to it"}
	default:
		if abs, _ := filepath.Abs(o.state); o.state != "" && abs != old.State {
			return p, &term.Exit{Code: exitUsage, Err: fmt.Errorf("%s keeps its state in %s, not in %s", a.configPath, old.State, abs)}
		}
		if o.daemon && old.Postfix != nil {
			return p, &term.Exit{Code: exitUsage, Err: fmt.Errorf("%s has a table for Postfix, which would answer before the daemon", a.configPath),
				Hint: "leave out --daemon; or take the table out of main.cf first, and then [postfix] out of the configuration"}
		}
		for _, l := range old.Lists {
			p.listed = p.listed || l.Name == entry.Name
		}
		if !p.listed {
			text += listText(entry)
		}
		switch {
		case o.daemon && !old.Serve.Written:
			text += serveSection
		case o.mta == "postfix" && old.Postfix == nil && !old.Serve.Written: // either the table or the daemon, never both
			text += postfixText(*a.newPostfix(ctx, o, old.State))
		}
		text += exportFor(o.mta, old.State, old.Exports)
	}
	if p.config, err = parseConfig(a.configPath, []byte(text)); err != nil {
		return p, fmt.Errorf("the configuration would not be valid: %w", err)
	}
	if text != string(data) {
		p.text = []byte(text)
	}
	return p, nil
}

func (a *app) newPostfix(ctx context.Context, o joinOptions, state string) *postfixConfig {
	if o.mta != "postfix" || o.daemon {
		return nil
	}
	p := &postfixConfig{Type: chooseType(ctx)}
	p.setDefaults(state)
	return p
}

// exportFor is the part of a configuration that has a file written for the mail server, unless there is one already.
func exportFor(name, state string, there []exportConfig) string {
	f, ok := mta.FindFormat(name)
	if !ok || slices.ContainsFunc(there, func(x exportConfig) bool { return string(x.Format) == name }) {
		return ""
	}
	return exportText(exportConfig{formatName(name), absolutePath(filepath.Join(state, f.File))})
}

// joinTrust stores the trust that the fingerprint names. A folder that holds a trust already must hold this one: its
// list would otherwise be replaced by another under the same name.
func joinTrust(ctx context.Context, dir string, entry listConfig, fingerprint [32]byte, listed bool) (*transparency.Trust, error) {
	chain, err := (&mirror.Client{Dir: dir}).Chain()
	if err == nil {
		for _, t := range chain.Versions() {
			if t.Digest() == fingerprint {
				return t, nil
			}
		}
		return nil, failed(fmt.Errorf("%s belongs to another list, %s, whose first trust has the fingerprint %x", dir,
			chain.Newest().Origin, chain.Versions()[0].Digest()), "give this list another name with --name")
	}
	if listed && !errors.Is(err, fs.ErrNotExist) {
		return nil, failed(err, "move the folder away to join anew")
	}
	r, err := openMirror(entry.Mirrors[0])
	if err != nil {
		return nil, err
	}
	t, err := mirror.Join(ctx, dir, r, fingerprint)
	if err != nil {
		return nil, failed(err, "nothing was written")
	}
	return t, nil
}

// writeConfig writes the configuration where its name leads: a link that somebody keeps under version control stays one.
func writeConfig(path string, text []byte) error {
	if target, err := filepath.EvalSymlinks(path); err == nil {
		path = target
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	return durable.WriteFile(path, text, 0o644)
}
