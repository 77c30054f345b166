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
	"github.com/starttls-everywhere/policylist/pipeline"
	"github.com/starttls-everywhere/policylist/pipeline/probe"
	"github.com/starttls-everywhere/policylist/policy"
	"github.com/starttls-everywhere/policylist/policy/discovery"
)

const previewLong = `Preview looks at the domains that a change touches, as far as a host can that reaches no mail server: proof of control,
MX, MTA-STS, TLSA and TLSRPT. For each it prints what it saw, what the change table will say at the earliest, if all
vantages see the same and mail arrives, and the TXT record with which the owner agrees. It knows nothing of earlier days:
"pending" does, which needs the publisher's state. Made for pull requests: it reads the source as data, and runs nothing
of it.

An MX pattern that the change adds, that no MX record uses and that is nobody's here needs a person (mx.foreign-unused): somebody else's
servers could take the mail. Until the entry's note or override names it, preview fails.

Exit codes: 0 looked, 1 the source has errors or an MX pattern needs a person, 2 a domain's DNS did not answer, 3 usage, 4 internal.`

const previewExample = `  $ starttls-list preview --base origin/main list
  new.example  added
    MX: 10 mx.new.example
    MTA-STS: enforce, 126 days, [mx.new.example]
    TLSA: mx.new.example: no record that DNSSEC vouches for
    TLSRPT: mailto:reports@new.example
    proof: none
    the gate: made at the next release (add.testing)
    the owner may say so with: _starttls-policy.new.example. TXT "v=STP1; change=…; exp=2026-12-27"`

// maxPreviewed is how many domains one preview looks at: what a pull request names is its author's to choose.
const maxPreviewed = 50

// proofDays is how long the printed proof lives.
const proofDays = pipeline.ProofDays

// previewTimeout bounds the look at one domain: a few DNS lookups, and one policy over HTTPS.
const previewTimeout = 3 * time.Minute

// previewFlags are the flags of "preview" as given.
type previewFlags struct {
	base, resolver, roots string
	trustAD, loopback     bool
	httpsPort, smtpPort   uint16
}

func newPreviewCommand() *cobra.Command {
	var f previewFlags
	c := &cobra.Command{
		Use: "preview --base REV SOURCE", Short: "looks at a proposed change where mail servers cannot be reached, and says what the gate will",
		Long: previewLong, Example: previewExample, Args: exactly(1),
		RunE: func(c *cobra.Command, args []string) error { return f.run(c, args[0]) },
	}
	flags := c.Flags()
	flags.StringVar(&f.base, "base", "", "Git revision to compare with")
	f.lookFlags(flags)
	return c
}

// lookFlags are those of a look, whoever takes it.
func (f *previewFlags) lookFlags(flags *pflag.FlagSet) {
	flags.StringVar(&f.resolver, "resolver", "", "recursive DNS resolver, ADDR:PORT (default: the first of /etc/resolv.conf)")
	flags.BoolVar(&f.trustAD, "trust-ad", false, "believe the resolver's AD bit: it validates DNSSEC and the way to it is safe")
	flags.StringVar(&f.roots, "roots", "", "PEM file with root certificates (default: the built-in Mozilla roots)")
	flags.BoolVar(&f.loopback, "allow-loopback", false, "permit hosts on loopback")
	flags.Uint16Var(&f.httpsPort, "https-port", 443, "port of MTA-STS policy hosts")
	flags.Uint16Var(&f.smtpPort, "smtp-port", 25, "port of mail servers, also in the names of TLSA records")
}

func (f *previewFlags) run(c *cobra.Command, source string) error {
	if f.base == "" {
		return usage(c, errors.New("say with --base what the change is compared with"))
	}
	looker, err := f.looker()
	if err != nil {
		return usage(c, err)
	}
	checked, err := readSource(c, source, f.base)
	switch {
	case err != nil:
		return err
	case policy.HasErrors(checked.Findings()):
		return &term.Exit{Code: exitFail, Err: fmt.Errorf("the source %s has errors", source), Hint: "starttls-list check --base " + f.base + " " + source + " lists them"}
	}
	changes, w := checked.Changes(), c.OutOrStdout()
	if len(changes) == 0 {
		fmt.Fprintln(w, "no domain changes")
	}
	strangers, strange, silent := pipeline.NewStrangers(checked), 0, false
	for i, ch := range changes {
		if i == maxPreviewed {
			fmt.Fprintf(w, "… and %s, at which nobody looked\n", term.Plural(len(changes)-maxPreviewed, "more domain"))
		}
		if i >= maxPreviewed {
			found := strangers.Unseen(ch)
			printFindings(w, "  ", found)
			strange += len(found)
			continue
		}
		seen, dane := looker.look(c.Context(), ch.Domain)
		if err := c.Context().Err(); err != nil {
			return err
		}
		silent = silent || seen.Route.Kind == discovery.RouteUnknown
		printPreview(w, checked, ch, seen, dane)
		found := strangers.Seen(ch, seen.Route)
		printFindings(w, "  ", found)
		strange += len(found)
	}
	switch {
	case strange > 0:
		return &term.Exit{Code: exitFail, Err: fmt.Errorf("a person has to agree to %s that no MX record uses", term.Plural(strange, "foreign MX pattern")),
			Hint: "a maintainer who agrees names each in the entry's note, with the reason"}
	case silent:
		return &term.Exit{Code: exitInconclusive}
	}
	return nil
}

// looker asks a resolver and policy hosts, no mail server.
type looker struct {
	client  *discovery.Client
	fetcher discovery.Fetcher
	port    int
}

func (f *previewFlags) looker() (*looker, error) {
	resolver, err := resolverAddr(f.resolver)
	if err != nil {
		return nil, fmt.Errorf("--resolver: %w", err)
	}
	roots, err := probe.MozillaRoots()
	if f.roots != "" {
		var text []byte
		if text, err = readFile(f.roots, maxSmallFile); err == nil {
			roots, err = probe.ParseRoots(text)
		}
	}
	if err != nil {
		return nil, fmt.Errorf("--roots: %w", err)
	}
	client, err := discovery.NewClient(discovery.Options{Resolver: resolver, TrustAD: f.trustAD})
	if err != nil {
		return nil, err
	}
	allow := discovery.Public
	if f.loopback {
		allow = func(a netip.Addr) bool { return a.IsLoopback() || discovery.Public(a) }
	}
	return &looker{client, discovery.Fetcher{Allow: allow, Roots: roots.Pool, Port: int(f.httpsPort)}, int(f.smtpPort)}, nil
}

// hostDANE is what the DNS says about DANE for one MX host.
type hostDANE struct {
	name string
	discovery.DANE
}

func (l *looker) look(ctx context.Context, d policy.Domain) (pipeline.Sighted, previewDetail) {
	ctx, cancel := context.WithTimeout(ctx, previewTimeout)
	defer cancel()
	now := time.Now().UTC().Truncate(time.Second)
	s := pipeline.Sighted{At: now, Route: discovery.FindMX(ctx, l.client, d)}
	s.STS = discovery.FindSTS(ctx, l.client, &l.fetcher, d)
	s.Proof = discovery.FindProof(ctx, l.client, d, now)
	detail := previewDetail{tlsrpt: discovery.FindTLSRPT(ctx, l.client, d)}
	for _, h := range s.Route.Hosts {
		if h.Flaw != "" {
			continue
		}
		name := h.Domain.String()
		dane := discovery.FindTLSA(ctx, l.client, s.Route.Answer, h.Domain, l.port, l.client.LookupA(ctx, name), l.client.LookupAAAA(ctx, name))
		detail.dane = append(detail.dane, hostDANE{name, dane})
	}
	return s, detail
}
