package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/starttls-everywhere/policylist/cmd/internal/term"
	"github.com/starttls-everywhere/policylist/pipeline/probe"
	"github.com/starttls-everywhere/policylist/pipeline/survey"
	"github.com/starttls-everywhere/policylist/policy"
)

const surveyLong = `Survey counts what mail domains have deployed of STARTTLS, certificates, TLS versions, MTA-STS, DANE and TLSRPT, and what
is wrong with it: over all domains, by top-level domain and public suffix, and by who runs their MX hosts. It looks at them
as "starttls-list probe" does, with the same manners, flags and evidence, or counts evidence that is there (--from), of one
vantage, of the shards of a scan, or merged; then nothing is asked on the network, and signatures are not looked at.

FILE has a domain a line, "-" is standard input: in any case and with U-labels, "#" begins a comment. Of several columns the
domain is the first, or the second behind a number, as in the rankings ("1,example.com"). Lines that name no domain are told
with their numbers, counted and left out.

What could not be found out counts as inconclusive, never as a failure; shares are of the domains that have mail and of
which something is known. DANE needs --trust-ad and a resolver that validates. Rows of fewer than --min domains are told
together as "other": in a survey of domains that are not public, such a row would tell of single ones.

The total goes to standard output, with --json everything; --stats and --csv write everything to files, for a site.
"survey compare" tells from such files how deployment changes.

Exit codes: 0 counted, whatever the domains are like; 2 nothing can be said of any domain, so no statistics were written;
3 usage, or a file that is no good; 4 internal, or interrupted.`

const surveyExample = `  $ starttls-list survey tranco.csv --ehlo probe.operator.example --canary good.example --out today.jsonl --resume --stats today.json
  …
  $ starttls-list survey --from today.jsonl --list list
  domains                         3
  verdict      pass               1  50.0%
  verdict      fail               1  50.0%
  verdict      inconclusive       1
  …
  mta-sts      none               3  100.0%
  …
  code         smtp.refused-temp  1  33.3%`

// surveyFlags are the flags of "survey" as given.
type surveyFlags struct {
	probeFlags
	from       bool
	list       string
	min        int
	stats, csv string
}

func newSurveyCommand() *cobra.Command {
	var f surveyFlags
	c := &cobra.Command{
		Use: "survey FILE | --from EVIDENCE…", Short: "counts what mail domains have deployed", Long: surveyLong, Example: surveyExample,
		RunE: func(c *cobra.Command, args []string) error { return f.run(c, args) },
	}
	c.AddCommand(newSurveyCompareCommand())
	flags := c.Flags()
	flags.BoolVar(&f.from, "from", false, "count the evidence files that are named; nothing is asked on the network")
	flags.StringVar(&f.list, "list", "", "source list: hold its entries against the domains, and count who is on it")
	flags.IntVar(&f.min, "min", survey.DefaultMin, "tell rows of fewer domains together; 1 tells all")
	flags.StringVar(&f.stats, "stats", "", "write the statistics to this file, as JSON")
	flags.StringVar(&f.csv, "csv", "", "write the statistics to this file, as CSV")
	flags.BoolVar(&f.asJSON, "json", false, "print all statistics as JSON instead of the total")
	f.scanFlags(flags)
	return c
}

func (f *surveyFlags) run(c *cobra.Command, args []string) error {
	if err := f.check(c, args); err != nil {
		return usage(c, err)
	}
	entries, err := f.entries(c)
	if err != nil {
		return err
	}
	t := survey.New(survey.Options{Tool: "starttls-list " + version, Min: f.min, List: entries})
	var input *survey.Input
	if f.from {
		err := probe.ReadSorted(evidenceInputs(args), func(r *probe.Reader, l probe.Line) error {
			if c.Context().Err() != nil {
				return &term.Exit{Code: exitInternal, Err: errors.New("interrupted: no statistics were written")}
			}
			return t.Add(r, l)
		})
		if err != nil {
			return evidenceError(err)
		}
	} else if input, err = f.look(c, args[0], entries, t); err != nil {
		return err
	}
	report := t.Report()
	report.Input = input
	if !t.Conclusive() {
		return &term.Exit{Code: exitInconclusive, Err: fmt.Errorf("nothing can be said of any of %s, so no statistics were written", term.Plural(report.Total.Domains, "domain")),
			Hint: "starttls-list probe DOMAIN says why; a wrong canary, a closed port 25 and a missing --ehlo look like this"}
	}
	if t.WithoutDNSSEC() {
		fmt.Fprintln(c.ErrOrStderr(), "starttls-list: note: DANE is inconclusive where a vantage has no resolver that validates DNSSEC (--trust-ad)")
	}
	return f.write(c.OutOrStdout(), report)
}

// check refuses what cannot come to a good end before anybody is asked.
func (f *surveyFlags) check(c *cobra.Command, args []string) error {
	switch {
	case len(args) == 0 && f.from:
		return errors.New("--from counts evidence files: name them")
	case len(args) == 0:
		return errors.New("no file of domains given")
	case len(args) > 1 && !f.from:
		return errors.New("name one file of domains")
	case f.min < 1:
		return fmt.Errorf("--min %d: a row has at least one domain", f.min)
	}
	if name := scanFlagGiven(c); f.from && name != "" {
		return fmt.Errorf("--%s is about a scan, and --from makes none", name)
	}
	taken := append([]string{}, args...)
	for _, out := range []struct{ flag, path string }{{"out", f.out}, {"stats", f.stats}, {"csv", f.csv}} {
		if out.path == "" {
			continue
		}
		if err := checkOut(out.path); err != nil {
			return fmt.Errorf("--%s: %w", out.flag, err)
		}
		for _, other := range taken {
			if sameFile(out.path, other) {
				return fmt.Errorf("--%s would overwrite %s", out.flag, other)
			}
		}
		taken = append(taken, out.path)
	}
	return f.probeFlags.check()
}

// scanFlagGiven is a flag of a scan that was given, "" for none.
func scanFlagGiven(c *cobra.Command) string {
	var own probeFlags
	scan := cobra.Command{}
	own.scanFlags(scan.Flags())
	given := ""
	c.Flags().Visit(func(flag *pflag.Flag) {
		if scan.Flags().Lookup(flag.Name) != nil {
			given = flag.Name
		}
	})
	return given
}

func sameFile(a, b string) bool {
	if filepath.Clean(a) == filepath.Clean(b) {
		return true
	}
	one, err1 := os.Stat(a)
	two, err2 := os.Stat(b)
	return err1 == nil && err2 == nil && os.SameFile(one, two)
}

// entries are those of --list; nil without it.
func (f *surveyFlags) entries(c *cobra.Command) (map[policy.Domain]policy.Policy, error) {
	if f.list == "" {
		return nil, nil
	}
	listed, err := f.listed(c, f.list)
	if err != nil {
		return nil, err
	}
	entries := make(map[policy.Domain]policy.Policy, len(listed))
	for _, t := range listed {
		entries[t.Domain] = t.Policy
	}
	return entries, nil
}

// look probes the domains of a file and counts what it sees.
func (f *surveyFlags) look(c *cobra.Command, path string, entries map[policy.Domain]policy.Policy, t *survey.Tally) (*survey.Input, error) {
	domains, input, err := readDomains(c, path)
	if err != nil {
		return nil, &term.Exit{Code: exitUsage, Err: err, Hint: domainsHint}
	}
	if err := tellBadLines(c.ErrOrStderr(), path, input); err != nil {
		return nil, err
	}
	shard, err := probe.ParseShard(f.shard)
	if err != nil {
		return nil, usage(c, fmt.Errorf("--shard: %w", err))
	}
	var targets []probe.Target
	for _, d := range domains {
		targets = append(targets, probe.Target{Domain: d, Policy: entries[d]})
	}
	targets = shard.Select(targets)
	p, err := f.prober(c)
	if err != nil {
		return nil, err
	}
	return &input, f.scan(c, p, targets, scanResults{
		earlier: func(l probe.Line) error { return t.AddLine(l, f.trustAD) },
		fresh:   func(r probe.Result) error { return t.AddLine(probe.Line{Domain: r.Domain, Raw: r.Line}, f.trustAD) },
	})
}

// domainsHint says what a file of domains is.
const domainsHint = "it has a domain a line, or a number and a domain as in the rankings; - is the standard input"

func readDomains(c *cobra.Command, path string) ([]policy.Domain, survey.Input, error) {
	in := c.InOrStdin()
	if path != "-" {
		f, err := os.Open(path)
		if err != nil {
			return nil, survey.Input{}, err // it names the path
		}
		defer f.Close()
		in = f
	}
	domains, input, err := survey.ReadDomains(in)
	if errors.Is(err, survey.ErrInput) {
		err = fmt.Errorf("%s: %w", path, err)
	}
	return domains, input, err
}

// tellBadLines tells the first lines that name no domain, and refuses a file without any good one: it is another kind of
// file.
func tellBadLines(stderr io.Writer, path string, input survey.Input) error {
	for _, b := range input.BadLines {
		fmt.Fprintf(stderr, "starttls-list: %s:%d: %s\n", term.Escape(path), b.Line, term.Escape(b.Why))
	}
	if more := input.Bad - len(input.BadLines); more > 0 {
		fmt.Fprintf(stderr, "starttls-list: %s: and %s more\n", term.Escape(path), term.Plural(more, "bad line"))
	}
	if input.Domains == 0 {
		return &term.Exit{Code: exitUsage, Err: fmt.Errorf("%s names no domain", path), Hint: domainsHint}
	}
	return nil
}
