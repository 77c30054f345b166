package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/spf13/cobra"

	"github.com/starttls-everywhere/policylist/cmd/internal/term"
	"github.com/starttls-everywhere/policylist/pipeline"
	"github.com/starttls-everywhere/policylist/pipeline/probe"
	"github.com/starttls-everywhere/policylist/policy"
	"github.com/starttls-everywhere/policylist/policy/proof"
	"github.com/starttls-everywhere/policylist/policy/records"
)

const proposeLong = `Propose looks at a domain as it is now, decides how its owner's word reaches the list, writes the entry, and prints what its
owner has to publish and what the list's gate will say.

It reads the domain's MX, MTA-STS, TLSA, TLSRPT and proof of control, and talks to its mail servers where it can: for that it
needs the full host name of this machine (--ehlo) and a network that lets port 25 out, which most homes and hosted runners do
not have. Without it the rest is done all the same, and propose says so; the list's vantages will look.

The entry's mxs are those of the MTA-STS policy, else the MX records. A new entry begins as testing; what the list says of a
listed domain is where a change begins. A valid MTA-STS policy with a max_age of 18 weeks or more is the owner's word by itself;
else the owner publishes the printed TXT record, before or after the pull request, and may delete it once the list has
made the change.

With SOURCE, a list's directory, the entry goes into domains/DOMAIN.json, or where the domain is listed already; no other
entry changes, and no file of another's is overwritten. Without SOURCE the file is printed.

What the domain should publish for all senders is printed as records to copy, each with what stands there now: the MTA-STS policy
and the record that leads to it, where reports about TLS go, and, where its mail servers were asked, TLSA records of their
keys. They are "there already", "missing", "different", or "not known" where nobody could look; a policy is not looked at
without its record.

--bulk takes many domains of one mail provider from FILE, one a line ("#" begins a comment), and writes one fragment
domains/NAME.json with an alias of that name. A server that serves all of them is visited once. Rows that fail are left out
and go into FILE.failed, or --failed, each with the codes of why; put right, that file can be given to --bulk again. One
record proves for all: put it at --proof-name, and let the name _starttls-policy below each domain be a CNAME to it.

Exit codes: 0 proposed, or the list says so already; 1 the domain fails, or, with --bulk, some do, or the source has errors; 2
nothing can be said, since lookups failed; 3 usage, 4 internal.`

const proposeExample = `  $ starttls-list propose new.example list
  new.example
    MX: 10 mx.new.example
    MTA-STS: none
    TLSA: mx.new.example: no record that DNSSEC vouches for
    TLSRPT: none
    proof: none
    mail servers: not asked: this machine has no full host name (--ehlo)
    way in: proof: there is no valid MTA-STS policy in mode testing or enforce
  wrote list/domains/new.example.json
  publish: _starttls-policy.new.example. TXT "v=STP1; change=…; exp=2026-12-27"
  today
    the gate: held, needs what follows
    …
  with the record in place
    the gate: made at the next release (add.testing), if the vantages see the same and mail arrives`

// proposeFlags are the flags of "propose" as given.
type proposeFlags struct {
	previewFlags
	ehlo, mode            string
	mxs                   []string
	leave, emergency, dry bool
	asJSON                bool
	timeout               time.Duration
	proofName             string

	bulk, alias, failed string
}

func newProposeCommand() *cobra.Command {
	var f proposeFlags
	c := &cobra.Command{
		Use:   "propose DOMAIN [SOURCE] | --bulk FILE --alias NAME SOURCE",
		Short: "writes the entry of a domain, and says what its owner has to publish",
		Long:  proposeLong, Example: proposeExample,
		RunE: func(c *cobra.Command, args []string) error { return f.run(c, args) },
	}
	flags := c.Flags()
	f.lookFlags(flags)
	flags.StringVar(&f.ehlo, "ehlo", "", "full host name of this machine, to talk to mail servers with (default: its host name, if that is a full one)")
	flags.DurationVar(&f.timeout, "timeout", 90*time.Second, "longest duration of one SMTP session")
	flags.StringVar(&f.mode, "mode", "", "testing or enforce (default: as listed, testing for a new entry)")
	flags.StringArrayVar(&f.mxs, "mx", nil, "MX host or .suffix of the entry, instead of what the domain publishes; may be repeated")
	flags.BoolVar(&f.leave, "leave", false, "take the domain off the list: prints the record that does so by itself")
	flags.BoolVar(&f.emergency, "emergency", false, "mail cannot arrive: prints the record that sets the entry to testing at once")
	flags.StringVar(&f.proofName, "proof-name", "", "where a provider's record stands, to which _starttls-policy below the domain is a CNAME")
	flags.BoolVar(&f.dry, "dry-run", false, "write nothing, and print the file instead")
	flags.BoolVar(&f.asJSON, "json", false, "print the result as JSON")
	flags.StringVar(&f.bulk, "bulk", "", "file with domains of one provider, one a line")
	flags.StringVar(&f.alias, "alias", "", "with --bulk: name of the alias, and of the fragment")
	flags.StringVar(&f.failed, "failed", "", "with --bulk: where rows that fail go (default: FILE.failed)")
	return c
}

func (f *proposeFlags) run(c *cobra.Command, args []string) error {
	mode, mxs, err := f.check()
	switch {
	case err != nil:
		return usage(c, err)
	case f.bulk != "" && len(args) == 1:
		return f.runBulk(c, args[0], mode, mxs)
	case f.bulk != "":
		return usage(c, errors.New("--bulk takes the SOURCE to write to, and no domain"))
	case len(args) < 1 || len(args) > 2:
		return usage(c, errors.New("name one domain, and perhaps a SOURCE"))
	}
	domain, err := policy.NormalizeDomain(args[0])
	if err != nil {
		return usage(c, err)
	}
	w := pipeline.Wish{Domain: domain, Kind: proof.Change, Mode: mode, MXs: mxs}
	switch {
	case f.leave:
		w.Kind = proof.Remove
	case f.emergency:
		w.Kind = proof.Emergency
	}
	source := ""
	if len(args) == 2 {
		source = args[1]
	}
	return f.one(c, source, w)
}

// check reads the flags that make the wish.
func (f *proposeFlags) check() (mode policy.Mode, mxs []policy.MXPattern, err error) {
	if f.mode != "" {
		if mode, err = policy.ParseMode(f.mode); err != nil {
			return 0, nil, fmt.Errorf("--mode: %w", err)
		}
	}
	for _, text := range f.mxs {
		m, err := policy.NormalizeMXPattern(text)
		if err != nil {
			return 0, nil, fmt.Errorf("--mx: %w", err)
		}
		mxs = append(mxs, m)
	}
	if f.proofName != "" {
		// Not a policy.Domain: such names begin with an underscore.
		if len(f.proofName) > 253 || !plainName(f.proofName) {
			return 0, nil, fmt.Errorf("--proof-name: %q is no name in the DNS", f.proofName)
		}
	}
	switch entry := f.mode != "" || f.mxs != nil; {
	case f.leave && f.emergency:
		err = errors.New("--leave and --emergency exclude each other")
	case (f.leave || f.emergency) && (entry || f.bulk != ""):
		err = errors.New("--leave and --emergency say all by themselves: without --mode, --mx and --bulk")
	case f.failed != "" && f.failed == f.bulk:
		err = errors.New("--failed is the file that --bulk reads")
	case (f.bulk != "") != (f.alias != "") || f.failed != "" && f.bulk == "":
		err = errors.New("--bulk FILE and --alias NAME belong together, and --failed to them")
	case f.timeout < time.Second || f.timeout > time.Hour:
		err = fmt.Errorf("--timeout: %s is no duration of 1s to 1h", f.timeout)
	case f.smtpPort == 0 || f.httpsPort == 0:
		err = errors.New("0 is no TCP port")
	}
	return mode, mxs, err
}

// plainName reports whether s is labels of a-z, 0-9, hyphen and underscore.
func plainName(s string) bool {
	for i, label := 0, 0; i <= len(s); i++ {
		if i == len(s) || s[i] == '.' {
			if label == 0 || label > 63 {
				return false
			}
			label = 0
			continue
		}
		if c := s[i]; (c < 'a' || c > 'z') && (c < '0' || c > '9') && c != '-' && c != '_' {
			return false
		}
		label++
	}
	return true
}

// one proposes one domain.
func (f *proposeFlags) one(c *cobra.Command, source string, w pipeline.Wish) error {
	looker, err := f.looker()
	if err != nil {
		return usage(c, err)
	}
	seen, detail := looker.look(c.Context(), w.Domain)
	if err := c.Context().Err(); err != nil {
		return err
	}
	p, err := pipeline.Propose(c.Context(), source, w, seen)
	if errors.Is(err, pipeline.ErrNothingToPropose) && p != nil {
		return f.already(c, proposed{Proposal: p, seen: seen, detail: detail, proofName: f.proofName}, err)
	}
	if err != nil {
		return proposeError(source, err)
	}
	servers, err := f.servers(c.Context(), p)
	if err != nil {
		return usage(c, err)
	}
	out := proposed{Proposal: p, seen: seen, detail: detail, servers: servers, proofName: f.proofName, port: int(f.smtpPort)}
	out.refused = w.Kind == proof.Change && (servers.verdict == probe.Fail || policy.HasErrors(p.Draft.Findings))
	if p.Draft != nil && source != "" && !f.dry && !out.refused {
		if err := p.Draft.Write(); err != nil {
			return proposeError(source, err)
		}
		out.wrote = p.Draft.Path
	}
	if f.asJSON {
		err = out.printJSON(c.OutOrStdout())
	} else {
		out.print(c.OutOrStdout())
	}
	if err == nil && out.refused {
		err = &term.Exit{Code: exitFail, Err: fmt.Errorf("%s fails, so nothing was written", w.Domain), Hint: "put right what is found, and propose again"}
	}
	return err
}

// already tells that no file changes, and what the owner's record is.
func (f *proposeFlags) already(c *cobra.Command, p proposed, why error) error {
	if f.asJSON {
		return p.printJSON(c.OutOrStdout())
	}
	fmt.Fprintln(c.OutOrStdout(), term.Escape(why.Error()))
	for _, line := range p.publish() {
		fmt.Fprintf(c.OutOrStdout(), "its owner's word, where the list still waits for it or asks again: %s\n", line)
	}
	p.printRecords(c.OutOrStdout())
	return nil
}

// proposeError gives an error its exit code.
func proposeError(source string, err error) error {
	exit := &term.Exit{Code: exitInternal, Err: err}
	switch {
	case errors.Is(err, pipeline.ErrNothingToPropose):
		exit.Code = exitUsage
	case errors.Is(err, pipeline.ErrSource):
		exit.Code, exit.Hint = exitUsage, "SOURCE is the directory of a list, with list.json; without it what would be written is printed"
	case errors.Is(err, pipeline.ErrTaken):
		exit.Code, exit.Hint = exitUsage, "it is not overwritten: look what it is, and move it, or choose another name"
	case errors.Is(err, pipeline.ErrSourceErrors):
		exit.Code, exit.Hint = exitFail, "starttls-list check "+source+" lists them"
	case errors.Is(err, pipeline.ErrNoEntryPossible):
		exit.Code, exit.Hint = exitFail, "name the hosts with --mx, if the lookup is wrong"
	case errors.Is(err, pipeline.ErrNothingSeen):
		exit.Code, exit.Hint = exitInconclusive, "try again, with another --resolver perhaps, or name the hosts with --mx"
	case errors.Is(err, pipeline.ErrChangedMeanwhile):
		exit.Code, exit.Hint = exitInconclusive, "run it again"
	}
	return exit
}

// served is what the domain's mail servers showed.
type served struct {
	verdict  probe.Verdict // "" when they were not asked
	why      string        // with "": why not
	blocked  bool          // nobody answered, which says more of this machine's network than of them
	codes    []string
	findings []policy.Finding
	hosts    []records.Host // with what certificates and evidence say; what the DNS says is the look's
}

// servers talks to the mail servers, if this machine may.
func (f *proposeFlags) servers(ctx context.Context, p *pipeline.Proposal) (served, error) {
	o, err := f.proberOptions()
	if err != nil {
		return served{}, err
	}
	if o.EHLO == "" && !o.AllowLoopback {
		return served{why: "this machine has no full host name (--ehlo)"}, nil
	}
	prober, err := probe.New(o)
	if err != nil {
		return served{}, err
	}
	t := probe.Target{Domain: p.Domain}
	if p.Entry != nil {
		t.Policy = *p.Entry
	}
	results, err := prober.Probe(ctx, []probe.Target{t})
	if err != nil {
		return served{}, err
	}
	r := results[0]
	return served{verdict: r.Verdict, codes: r.Codes, findings: r.Findings, blocked: pipeline.Unanswered(r), hosts: hostsOf(r)}, nil
}

// proberOptions are those of the flags.
func (f *proposeFlags) proberOptions() (probe.Options, error) {
	full := probeFlags{resolver: f.resolver, trustAD: f.trustAD, roots: f.roots, allowLoopback: f.loopback, ehlo: f.ehlo,
		smtpPort: f.smtpPort, httpsPort: f.httpsPort, timeout: f.timeout, samples: 2, expiryAlarm: 14 * 24 * time.Hour}
	if full.ehlo == "" && !f.loopback {
		full.ehlo = fullHostName()
	}
	return full.options()
}

// fullHostName is this machine's, "" when it is no full one: mail servers turn away visitors without.
func fullHostName() string {
	name, err := os.Hostname()
	if err != nil {
		return ""
	}
	d, err := policy.NormalizeDomain(name)
	if err != nil {
		return ""
	}
	return d.String()
}
