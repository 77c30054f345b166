package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"strings"
	"time"

	"github.com/spf13/pflag"

	"github.com/starttls-everywhere/policylist/mirror/site"
	"github.com/starttls-everywhere/policylist/mirror/site/live"
	"github.com/starttls-everywhere/policylist/pipeline"
	"github.com/starttls-everywhere/policylist/pipeline/probe"
	"github.com/starttls-everywhere/policylist/policy"
	"github.com/starttls-everywhere/policylist/policy/proof"
)

// siteProbeFlags are those of "site serve --probe".
type siteProbeFlags struct {
	previewFlags
	enabled            bool
	ehlo, optOut       string
	timeout, cooldown  time.Duration
	repository, branch string
	source, folder     string
	proxies            []string
	perHour, parallel  uint16
	queue              uint16
}

func (f *siteProbeFlags) flags(flags *pflag.FlagSet) {
	flags.BoolVar(&f.enabled, "probe", false, "let visitors have a domain probed from here, at site/probe/")
	f.lookFlags(flags)
	flags.StringVar(&f.ehlo, "ehlo", "", "with --probe: full host name of this machine, which mail servers want to know")
	flags.StringVar(&f.optOut, "opt-out", "", "with --probe: file with those who asked not to be probed: a domain, host name, address or block of addresses a line")
	flags.DurationVar(&f.timeout, "timeout", 30*time.Second, "with --probe: longest duration of one SMTP session")
	flags.DurationVar(&f.cooldown, "cooldown", 10*time.Minute, "with --probe: how long an answer about a domain is given again")
	flags.Uint16Var(&f.perHour, "per-hour", 12, "with --probe: domains that one IPv4 address, or IPv6 /64, may ask for in an hour")
	flags.Uint16Var(&f.parallel, "parallel", 4, "with --probe: domains looked at at a time")
	flags.Uint16Var(&f.queue, "queue", 32, "with --probe: domains that may wait")
	flags.StringArrayVar(&f.proxies, "trust-proxy", nil, "with --probe: address, or block of addresses, of a proxy whose X-Forwarded-For is believed; may be repeated")
	flags.StringVar(&f.repository, "repository", "", "with --probe: https address of the list's Git repository, for pull requests")
	flags.StringVar(&f.branch, "branch", "main", "with --repository: its branch")
	flags.StringVar(&f.folder, "folder", "list", "with --repository: folder of the list's source in it")
	flags.StringVar(&f.source, "source", "", "with --probe: the list's source; without it an entry is made as for a domain that is not listed")
}

var plainBranch = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._/-]{0,99}$`)

// options are the server's. It refuses what does not fit before a socket is opened.
func (f *siteProbeFlags) options(log *slog.Logger) (live.Options, error) {
	o := live.Options{Repository: f.repository, Branch: f.branch, PerHour: int(f.perHour), Parallel: int(f.parallel), Queue: int(f.queue), Cooldown: f.cooldown, Log: log}
	for _, text := range f.proxies {
		p, err := netip.ParsePrefix(text)
		if a, errAddr := netip.ParseAddr(text); errAddr == nil {
			p, err = netip.PrefixFrom(a, a.BitLen()), nil
		}
		if err != nil || p.Addr().Is4In6() || p.Addr().Zone() != "" {
			return o, fmt.Errorf("--trust-proxy: %q is neither an address nor a block of addresses", text)
		}
		o.Trusted = append(o.Trusted, p)
	}
	if err := site.CheckRepository(f.repository); err != nil {
		return o, fmt.Errorf("--repository: %w", err)
	}
	switch {
	case !plainBranch.MatchString(f.branch) || strings.Contains(f.branch, ".."):
		return o, fmt.Errorf("--branch: %q is no branch", f.branch)
	case f.perHour == 0 || f.parallel == 0 || f.queue == 0:
		return o, errors.New("--per-hour, --parallel and --queue are at least 1")
	case f.cooldown < time.Minute || f.cooldown > 24*time.Hour:
		return o, fmt.Errorf("--cooldown: %s is no duration of 1m to 24h", f.cooldown)
	case f.timeout < time.Second || f.timeout > 2*time.Minute:
		return o, fmt.Errorf("--timeout: %s is no duration of 1s to 2m", f.timeout)
	case f.smtpPort == 0 || f.httpsPort == 0:
		return o, errors.New("0 is no TCP port")
	case f.source != "":
		if _, err := os.Stat(filepath.Join(f.source, "list.json")); err != nil {
			return o, fmt.Errorf("--source: %w", err)
		}
	}
	return o, nil
}

// sitePolicies is how many policies are fetched from one address in a minute. A scan knows that the sixty of its default are of
// domains that people listed; here a stranger may invent names that lead to anybody's web server.
const sitePolicies = 6

// probeOptions are those of the prober.
func (f *siteProbeFlags) probeOptions() (probe.Options, error) {
	full := probeFlags{resolver: f.resolver, trustAD: f.trustAD, roots: f.roots, allowLoopback: f.loopback, ehlo: f.ehlo, optOut: f.optOut,
		smtpPort: f.smtpPort, httpsPort: f.httpsPort, timeout: f.timeout, samples: 2, expiryAlarm: expiryAlarm}
	o, err := full.options()
	o.MaxAge, o.Connections, o.PoliciesPerMinute = f.cooldown, 4*int(f.parallel), sitePolicies
	return o, err
}

// prober is the one that all visitors share: its manners hold over all of them, and what it saw of a server is used again for
// as long as an answer is.
func (f *siteProbeFlags) prober() (*siteProber, error) {
	o, err := f.probeOptions()
	if err != nil {
		return nil, err
	}
	p, err := probe.New(o)
	if err != nil {
		return nil, err
	}
	return &siteProber{prober: p, source: f.source, folder: f.folder, port: int(f.smtpPort)}, nil
}

// expiryAlarm is how long before its end a certificate's holder is warned.
const expiryAlarm = 14 * 24 * time.Hour

// siteProber is a live.Prober: one look, from which all else follows.
type siteProber struct {
	prober         *probe.Prober
	source, folder string
	port           int
}

// Probe implements live.Prober.
func (p *siteProber) Probe(ctx context.Context, d policy.Domain) (live.Report, error) {
	defer p.prober.Forget()
	results, err := p.prober.Probe(ctx, []probe.Target{{Domain: d}})
	if err != nil {
		return live.Report{}, err
	}
	r := results[0]
	var record probe.Record
	if err := json.Unmarshal(r.Line, &record); err != nil {
		return live.Report{}, err
	}
	o := record.Observed
	report := live.Report{Verdict: string(r.Verdict), Findings: r.Findings, Silent: pipeline.Unanswered(r), Alone: o.OptedOut > 0}
	if report.Alone {
		return report, nil
	}
	at, err := policy.ParseTime(record.At)
	if err != nil {
		return live.Report{}, err
	}
	seen := proposed{Proposal: &pipeline.Proposal{Domain: d, Kind: proof.Change}, port: p.port, servers: served{hosts: hostsOf(r)},
		seen:   pipeline.Sighted{At: at, Route: o.FoundRoute(), STS: o.STS.Found(), Proof: o.Proof.Found()},
		detail: previewDetail{tlsrpt: o.TLSRPT.Found()}}
	for _, h := range o.Hosts {
		seen.detail.dane = append(seen.detail.dane, hostDANE{h.Name, h.DANE.Found()})
	}
	report.Records = seen.records()
	return report, p.propose(ctx, seen, o, &report)
}

// propose adds what becomes of the domain's wish to be listed as it is.
func (p *siteProber) propose(ctx context.Context, seen proposed, o probe.Observation, report *live.Report) error {
	proposal, err := pipeline.Propose(ctx, p.source, pipeline.Wish{Domain: seen.Domain, Kind: proof.Change}, seen.seen)
	switch {
	case errors.Is(err, pipeline.ErrNothingToPropose) && proposal != nil:
		report.NoEntry = "The list’s source has this entry already. Where the list still waits for the owner’s word, or asks for it again, this is it."
		report.Proof = proofRecords(seen.Domain.String(), "", proposal.Record)
		return nil
	case errors.Is(err, pipeline.ErrTaken):
		report.NoEntry = "No entry: the list’s source has a file of this name already, which says something else."
		return nil
	case errors.Is(err, pipeline.ErrNoEntryPossible), errors.Is(err, pipeline.ErrNothingSeen):
		report.NoEntry = "No entry: " + err.Error() + "."
		return nil
	case err != nil:
		return err
	}
	j := probe.Judge(seen.Domain, o, *proposal.Entry, seen.seen.At, expiryAlarm)
	report.Verdict, report.Findings = string(j.Verdict), append(j.Findings, proposal.Draft.Findings...)
	if j.Verdict == probe.Fail || policy.HasErrors(proposal.Draft.Findings) {
		report.NoEntry = "Put right what was found first; then an entry can be proposed."
		return nil
	}
	report.Way = fmt.Sprintf("The owner’s word: %s, since %s.", proposal.Way, proposal.Why)
	report.Proof = proofRecords(seen.Domain.String(), "", proposal.Record)
	report.Entry = &live.Entry{Path: p.inRepository(proposal.Draft), File: string(proposal.Draft.Data), New: proposal.Draft.New}
	return nil
}

// inRepository is where a file of the source is in the repository.
func (p *siteProber) inRepository(d *pipeline.Draft) string {
	name := path.Join("domains", path.Base(filepath.ToSlash(d.Path)))
	if p.source != "" {
		if rel, err := filepath.Rel(p.source, d.Path); err == nil && !strings.HasPrefix(rel, "..") {
			name = filepath.ToSlash(rel)
		}
	}
	return path.Join(p.folder, name)
}
