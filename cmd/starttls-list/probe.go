package main

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/starttls-everywhere/policylist/cmd/internal/term"
	"github.com/starttls-everywhere/policylist/pipeline/probe"
	"github.com/starttls-everywhere/policylist/policy"
	"github.com/starttls-everywhere/policylist/policy/discovery"
)

const probeLong = `Probe looks up the MX hosts of domains, talks SMTP with each of their addresses, and says whether a sender that
validates certificates would deliver to all of them. It also reads what such senders go by: MTA-STS record and policy,
TLSA records (with --trust-ad and a resolver that validates DNSSEC), and where reports about TLS go.

Verdicts: pass; warn (it would, but something is amiss); fail (it would not, a fact about the domain); inconclusive
(rate limits, greylisting, timeouts, DNS failures: nothing can be said from here). Each reason has a code that
"starttls-list code CODE" explains.

Domains are given by name, or taken from a source list: all of them (--all), or those that a change since a Git
revision touches (--changed --base REV). From a source, the live MX names are also held against the entry's mxs. What a source
drops stays listed until its owner's wish to leave has stood its time: --published MIRROR adds what is listed to --all, so
that the scan sees that wish.

Mail servers want to know who asks: --ehlo is the full name of the machine that you run this on.

A long scan can be cut in two ways: into parts for several machines (--shard i/n), which "probe merge" joins, and in time
(--resume): what was done of it stays in FILE.partial beside --out FILE when the run is killed, and the next run with the
same arguments within a day goes on from there, looks at the canary again, and signs the whole. What was done of a scan
with other arguments or domains is kept as FILE.partial.old instead, and what differs is told.

Exit codes: 0 all pass or warn, 1 a domain fails, 2 none fails but something is inconclusive, 3 usage, 4 internal.`

const probeExample = `  $ starttls-list probe --ehlo probe.operator.example good.example expired.example
  expired.example  fail  cert.expired
    error cert.expired: mx.expired.example [192.0.2.7] (since 2026-11-24T08:00:00Z): the certificate has expired
      fix: renew it, and automate renewal and reload
  good.example  pass
  $ echo $?
  1`

// probeFlags are the flags of "probe" as given.
type probeFlags struct {
	all, changed         bool
	base                 string
	published, trust     string
	resolver             string
	trustAD              bool
	roots                string
	allowLoopback        bool
	ehlo                 string
	vantage, vantageKey  string
	canary               string
	optOut               string
	samples              uint8
	shard                string
	out, previous        string
	resume               bool
	asJSON               bool
	smtpPort, httpsPort  uint16
	timeout, expiryAlarm time.Duration
}

func newProbeCommand() *cobra.Command {
	var f probeFlags
	c := &cobra.Command{
		Use:     "probe DOMAIN… | --all SOURCE | --changed --base REV SOURCE",
		Short:   "asks whether a validating sender would deliver to every MX host of a domain",
		Long:    probeLong,
		Example: probeExample,
		RunE:    func(c *cobra.Command, args []string) error { return f.run(c, args) },
	}
	c.AddCommand(newMergeCommand(), newHistoryCommand(), newStoreCommand())
	flags := c.Flags()
	flags.BoolVar(&f.all, "all", false, "probe every domain of the source list SOURCE")
	flags.BoolVar(&f.changed, "changed", false, "probe the domains of SOURCE that differ from the revision --base")
	flags.StringVar(&f.base, "base", "", "Git revision to compare with")
	flags.StringVar(&f.published, "published", "", "with --all: a mirror of the list, to look also at what is listed and no longer in SOURCE")
	flags.StringVar(&f.trust, "trust", "", "with --published: file with the signed trust version to start from")
	flags.BoolVar(&f.asJSON, "json", false, "print one JSON object a line")
	f.scanFlags(flags)
	return c
}

// scanFlags are those of a scan, whatever its domains are and whatever becomes of the results.
func (f *probeFlags) scanFlags(flags *pflag.FlagSet) {
	flags.StringVar(&f.resolver, "resolver", "", "recursive DNS resolver, ADDR:PORT (default: the first of /etc/resolv.conf)")
	flags.BoolVar(&f.trustAD, "trust-ad", false, "believe and record the resolver's AD bit: it validates DNSSEC and the way to it is safe")
	flags.StringVar(&f.roots, "roots", "", "PEM file with root certificates (default: the built-in Mozilla roots)")
	flags.BoolVar(&f.allowLoopback, "allow-loopback", false, "permit targets on loopback, without a rate limit")
	flags.StringVar(&f.ehlo, "ehlo", "", "our full host name; without it only loopback targets are permitted")
	flags.StringVar(&f.vantage, "vantage", "", "name of this observer in the evidence")
	flags.StringVar(&f.vantageKey, "vantage-key", "", "PEM file (PKCS#8) with the Ed25519 key that signs the evidence")
	flags.StringVar(&f.canary, "canary", "", "a domain known to be good; when it looks wrong, all results are inconclusive")
	flags.StringVar(&f.optOut, "opt-out", "", "file with those who asked not to be probed: a domain, host name, address or block a line")
	flags.Uint8Var(&f.samples, "samples", 2, "1: one session with each address; 2: look again where there is doubt, and once without SNI")
	flags.StringVar(&f.shard, "shard", "", "take only part i of n of the domains, as i/n")
	flags.StringVar(&f.out, "out", "", "write the evidence to this file")
	flags.BoolVar(&f.resume, "resume", false, "with --out: go on with the scan that an earlier run did not finish, and let a later one go on with this")
	flags.StringVar(&f.previous, "previous", "", "evidence of the last scan, to tell since when a verdict stands")
	flags.Uint16Var(&f.smtpPort, "smtp-port", 25, "port of mail servers, also in the names of TLSA records")
	flags.Uint16Var(&f.httpsPort, "https-port", 443, "port of MTA-STS policy hosts")
	flags.DurationVar(&f.timeout, "timeout", 90*time.Second, "longest duration of one SMTP session")
	flags.DurationVar(&f.expiryAlarm, "expiry-warning", 14*24*time.Hour, "warn this long before a certificate expires")
}

func (f *probeFlags) run(c *cobra.Command, args []string) error {
	if err := f.check(); err != nil {
		return usage(c, err)
	}
	targets, err := f.targets(c, args)
	if err != nil {
		return err
	}
	p, err := f.prober(c)
	if err != nil {
		return err
	}
	worst := probe.Pass
	show := printer(c.OutOrStdout(), f.asJSON)
	err = f.scan(c, p, targets, scanResults{
		earlier: func(l probe.Line) error { worst = probe.Worse(worst, l.Verdict); return nil },
		fresh:   func(r probe.Result) error { worst = probe.Worse(worst, r.Verdict); return show(r) },
	})
	if err != nil {
		return err
	}
	switch worst {
	case probe.Fail:
		return &term.Exit{Code: exitFail}
	case probe.Inconclusive:
		return &term.Exit{Code: exitInconclusive}
	}
	return nil
}

// prober is made of the flags.
func (f *probeFlags) prober(c *cobra.Command) (*probe.Prober, error) {
	opts, err := f.options()
	if err != nil {
		return nil, usage(c, err)
	}
	p, err := probe.New(opts)
	if errors.Is(err, probe.ErrOptions) && !f.ehloFits() {
		return nil, &term.Exit{Code: exitUsage, Err: err, Hint: "give --ehlo this machine's full host name, or --allow-loopback for a lab"}
	}
	if err != nil {
		return nil, usage(c, err)
	}
	return p, nil
}

// check refuses flags that do not fit, before anything is asked on the network.
func (f *probeFlags) check() error {
	switch {
	case f.vantageKey != "" && f.out == "":
		return errors.New("--vantage-key signs the evidence: say where with --out")
	case f.vantageKey != "" && f.vantage == "":
		return errors.New("--vantage-key signs in the name of a vantage: say which with --vantage")
	case f.resume && f.out == "":
		return errors.New("--resume goes on with the file that --out names")
	case f.timeout < time.Second || f.timeout > time.Hour:
		return fmt.Errorf("--timeout: %s is no duration of 1s to 1h", f.timeout)
	case f.expiryAlarm < 0:
		return fmt.Errorf("--expiry-warning: %s is negative", f.expiryAlarm)
	case f.smtpPort == 0:
		return errors.New("--smtp-port: 0 is no TCP port")
	case f.httpsPort == 0:
		return errors.New("--https-port: 0 is no TCP port")
	case f.checkPublished() != nil:
		return f.checkPublished()
	case f.out != "":
		if err := checkOut(f.out); err != nil {
			return fmt.Errorf("--out: %w", err)
		}
	}
	return nil
}

// ehloFits reports whether --ehlo is a host name, or may be missing.
func (f *probeFlags) ehloFits() bool {
	if f.ehlo == "" {
		return f.allowLoopback
	}
	_, err := policy.ParseDomain(f.ehlo)
	return err == nil
}

// interrupted says how far a scan was that somebody stopped; other errors stay.
func (f *probeFlags) interrupted(err error, done, total int) error {
	if !errors.Is(err, context.Canceled) {
		return err
	}
	hint := "with --out FILE --resume a scan can go on"
	if f.resume {
		hint = "run the same again with --resume"
	}
	return &term.Exit{Code: exitInternal, Err: fmt.Errorf("interrupted after %d of %d domains", done, total), Hint: hint}
}

// scanResults is what becomes of the results of a scan, in the order of its targets.
type scanResults struct {
	earlier func(probe.Line) error   // those that a run before this one wrote, with --resume
	fresh   func(probe.Result) error // those of this run; it may print
}

// scan probes and writes the evidence.
func (f *probeFlags) scan(c *cobra.Command, p *probe.Prober, targets []probe.Target, to scanResults) error {
	ctx := c.Context()
	evidence, err := f.openEvidence(ctx, p, targets, c.ErrOrStderr())
	if err != nil {
		return f.interrupted(err, 0, len(targets))
	}
	defer evidence.discard()
	if evidence.done > 0 {
		fmt.Fprintf(c.ErrOrStderr(), "starttls-list: going on with %s%s: %d of %d domains stand\n", f.out, partialSuffix, evidence.done, len(targets))
		if err := evidence.earlier(to.earlier); err != nil {
			return err
		}
	}
	bar := newScanProgress(c.OutOrStdout(), c.ErrOrStderr(), len(targets), evidence.done, time.Now)
	defer bar.end()
	done := evidence.done
	err = p.Each(ctx, targets[done:], func(r probe.Result) error {
		if err := evidence.add(r); err != nil {
			return err
		}
		done++
		defer bar.show(done)
		return bar.aside(func() error { return to.fresh(r) })
	})
	if errors.Is(err, probe.ErrVantage) {
		evidence.worthless()
		return &term.Exit{Code: exitInconclusive, Err: err,
			Hint: "none of these results counts, and no evidence was written; check this machine's own network: outbound port 25, SMTP inspection, resolver"}
	}
	if err != nil {
		return f.interrupted(err, done, len(targets))
	}
	return evidence.finish()
}

func (f *probeFlags) options() (probe.Options, error) {
	o := probe.Options{
		TrustAD: f.trustAD, EHLO: f.ehlo, SMTPPort: int(f.smtpPort), HTTPSPort: int(f.httpsPort), Timeout: f.timeout, ExpiryWarning: f.expiryAlarm,
		AllowLoopback: f.allowLoopback, Vantage: f.vantage, Tool: "starttls-list " + version,
	}
	var err error
	if f.resolver == "" {
		o.Resolver, err = discovery.SystemResolver("/etc/resolv.conf")
	} else {
		o.Resolver, err = netip.ParseAddrPort(f.resolver)
	}
	if err != nil {
		return o, fmt.Errorf("--resolver: %w", err)
	}
	if f.roots != "" {
		text, err := readFile(f.roots, maxSmallFile)
		if err == nil {
			o.Roots, err = probe.ParseRoots(text)
		}
		if err != nil {
			return o, fmt.Errorf("--roots: %w", err)
		}
	}
	if f.canary != "" {
		if o.Canary, err = policy.NormalizeDomain(f.canary); err != nil {
			return o, fmt.Errorf("--canary: %w", err)
		}
	}
	if o.Samples = int(f.samples); o.Samples < 1 || o.Samples > 2 {
		return o, fmt.Errorf("--samples: 1 or 2, not %d", o.Samples)
	}
	if o.OptOut, err = readOptOut(f.optOut); err != nil {
		return o, fmt.Errorf("--opt-out: %w", err)
	}
	if f.previous != "" {
		if o.Previous, err = readPrevious(f.previous, f.vantage); err != nil {
			return o, fmt.Errorf("--previous: %w", err)
		}
	}
	return o, nil
}

func readPrevious(path, vantage string) (map[policy.Domain]probe.Past, error) {
	file, err := openEvidence(path)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	past, err := probe.ReadPast(file, probe.MaxMerged, vantage)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return past, nil
}
