package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/starttls-everywhere/policylist/cmd/internal/term"
	"github.com/starttls-everywhere/policylist/pipeline/probe"
	"github.com/starttls-everywhere/policylist/policy"
)

const mergeLong = `Merge joins the evidence of several vantage points, and the shards of one, into one verdict a domain. Pass and warn
need a quorum of vantages, and so does fail; everything else is inconclusive. Where one vantage says that mail arrives and
another that it does not, the code vantage.disagree and what each said are shown; that alone is never a fail. A vantage
whose canary looked wrong counts as absent.

The same files give the same bytes, in whatever order. The merged evidence goes to standard output, or to the file
--out; then what it says is printed instead, for people or with --json one object a domain. It holds the vantages' own
lines and signatures, so that "probe merge --verify FILE" repeats the merge and all checks from it alone.

Keys of the vantages and the quorum come from list.json of the source list --source, or from --key and --quorum.
Without keys signatures cannot be verified, which is told. Files may be compressed with zstd (.zst).

Exit codes: 0 all pass or warn, 1 a domain fails, 2 none fails but something is inconclusive, 3 usage or a file that is
no good, 4 internal.`

const mergeExample = `  $ starttls-list probe merge north.jsonl south.jsonl --source list --quorum 2 --out merged.jsonl
  good.example  pass
  odd.example  inconclusive  vantage.disagree vantage.quorum
    warning vantage.disagree: north pass, south fail (cert.name): mail would arrive as one vantage sees it and would not as another does
      fix: compare what they saw: servers behind one name that differ, name servers that differ, or a network that strips STARTTLS
    warning vantage.quorum: north pass, south fail (cert.name): too few vantages agree, so nothing is decided
      fix: see what each vantage says, and whether all of them ran; the next scans decide
  2 domains by 2 of 2 vantages (north, south): 1 pass, 1 inconclusive; 1 disagreement
  $ echo $?
  2`

// mergeFlags are the flags of "probe merge" as given.
type mergeFlags struct {
	quorum         int
	source         string
	keys           []string
	out            string
	asJSON         bool
	verify         bool
	window, maxAge time.Duration
	now            func() time.Time
}

func newMergeCommand() *cobra.Command {
	f := mergeFlags{now: time.Now}
	c := &cobra.Command{
		Use: "merge FILE…", Short: "joins the evidence of several vantage points by quorum", Long: mergeLong, Example: mergeExample,
		RunE: func(c *cobra.Command, args []string) error { return f.run(c, args) },
	}
	flags := c.Flags()
	flags.IntVar(&f.quorum, "quorum", 0, "how many vantages must agree (default: that of --source)")
	flags.StringVar(&f.source, "source", "", "source list, or its list.json: names, keys and quorum of the vantages")
	flags.StringArrayVar(&f.keys, "key", nil, "NAME=KEY, a vantage and its Ed25519 key in base64 as list.json has it; may be repeated")
	flags.StringVar(&f.out, "out", "", "write the merged evidence to this file")
	flags.BoolVar(&f.asJSON, "json", false, "with --out or --verify: print one JSON object a line")
	flags.BoolVar(&f.verify, "verify", false, "FILE is merged evidence: repeat the merge and all checks")
	flags.DurationVar(&f.window, "window", 24*time.Hour, "refuse scans that began further apart than this; 0 takes any")
	flags.DurationVar(&f.maxAge, "max-age", 0, "refuse scans that began longer ago than this, or that begin more than 10 minutes from now; 0 only tells")
	return c
}

// toldAge is the age from which the command says that a release will not take the evidence; maxAhead is how far a
// vantage's clock may be ahead of ours, as in a release.
const (
	toldAge  = 24 * time.Hour
	maxAhead = 10 * time.Minute
)

func (f *mergeFlags) run(c *cobra.Command, args []string) error {
	keys, quorum, err := vantageKeys(f.source, f.keys)
	switch {
	case err != nil:
		return usage(c, err)
	case len(args) == 0:
		return usage(c, errors.New("no file given"))
	case f.verify && (len(args) != 1 || f.out != ""):
		return usage(c, errors.New("--verify takes one merged file, and writes none"))
	case f.quorum != 0:
		quorum = f.quorum
	case quorum == 0 && !f.verify:
		return usage(c, errors.New("say with --quorum how many vantages must agree, or with --source where list.json says so"))
	}
	switch {
	case quorum < 0:
		return usage(c, fmt.Errorf("--quorum %d: at least one vantage must agree", quorum))
	case quorum > probe.MaxQuorum:
		return usage(c, fmt.Errorf("--quorum %d: a merge has at most %d vantages", quorum, probe.MaxQuorum))
	case f.window < 0 || f.maxAge < 0:
		return usage(c, errors.New("--window and --max-age are 0 or more"))
	}
	if f.out != "" {
		if err := checkOut(f.out); err != nil {
			return usage(c, fmt.Errorf("--out: %w", err))
		}
	}
	if err := f.overwrites(args); err != nil {
		return usage(c, err)
	}
	o := probe.MergeOptions{Quorum: quorum, Keys: keys, Window: f.window}
	report, err := f.merge(c, args, o)
	if err != nil {
		return evidenceError(err)
	}
	for _, note := range report.Notes {
		fmt.Fprintf(c.ErrOrStderr(), "starttls-list: note: %s\n", term.Escape(note))
	}
	return verdictExit(report)
}

// overwrites refuses an --out that is one of the files: what a vantage signed would be gone.
func (f *mergeFlags) overwrites(args []string) error {
	out, err := os.Stat(f.out)
	if f.out == "" || err != nil {
		return nil // there is nothing to overwrite
	}
	for _, arg := range args {
		if in, err := os.Stat(arg); err == nil && os.SameFile(in, out) {
			return fmt.Errorf("--out %s would overwrite a file that is to be merged", f.out)
		}
	}
	return nil
}

// merge reads the files twice: what is shown and written has been verified before.
func (f *mergeFlags) merge(c *cobra.Command, args []string, o probe.MergeOptions) (probe.MergeReport, error) {
	pass := func(out io.Writer, each func(probe.Merged) error) (probe.MergeReport, error) {
		return probe.Merge(out, evidenceInputs(args), o, each)
	}
	if f.verify {
		pass = func(_ io.Writer, each func(probe.Merged) error) (probe.MergeReport, error) {
			in, err := openEvidence(args[0])
			if err != nil {
				return probe.MergeReport{}, err
			}
			defer in.Close()
			report, err := probe.VerifyMerged(in, probe.MaxMerged, o, each)
			if err != nil {
				err = fmt.Errorf("%s: %w", args[0], err)
			}
			return report, err
		}
	}
	first, err := f.first(func(out io.Writer) (probe.MergeReport, error) {
		report, err := pass(out, nil)
		if err == nil {
			err = f.age(c, report)
		}
		return report, err
	})
	if err != nil {
		return first, err
	}
	var second probe.MergeReport
	if f.out == "" && !f.verify {
		second, err = pass(c.OutOrStdout(), nil)
	} else {
		second, err = pass(nil, mergedPrinter(c.OutOrStdout(), f.asJSON))
	}
	if err == nil && second.SHA256 != first.SHA256 {
		err = fmt.Errorf("%w: a file changed while it was read", probe.ErrEvidence)
	}
	if err == nil {
		to := c.OutOrStdout()
		if f.asJSON || f.out == "" && !f.verify {
			to = c.ErrOrStderr()
		}
		_, err = fmt.Fprintln(to, mergeSummary(second, o.Quorum))
	}
	return second, err
}

// first merges into the file --out, if any, which gets its name when everything is verified.
func (f *mergeFlags) first(pass func(io.Writer) (probe.MergeReport, error)) (probe.MergeReport, error) {
	if f.out == "" {
		return pass(nil)
	}
	temp, err := createBeside(f.out)
	if err != nil {
		return probe.MergeReport{}, err
	}
	defer os.Remove(temp.Name()) // after the rename there is none
	defer temp.Close()
	report, err := pass(temp)
	if err != nil {
		return report, err
	}
	err = errors.Join(temp.Chmod(0o644), temp.Sync(), temp.Close())
	if err == nil {
		err = os.Rename(temp.Name(), f.out)
	}
	return report, err
}

// age holds the times of the scans against ours. With --max-age, one from the future is refused too: with a clock that is
// ahead, a vantage's scan would never be too old.
func (f *mergeFlags) age(c *cobra.Command, report probe.MergeReport) error {
	age := f.now().Sub(report.Oldest).Round(time.Second)
	if f.maxAge > 0 && age > f.maxAge {
		return fmt.Errorf("%w: the oldest scan began %s ago, --max-age is %s", probe.ErrEvidence, age, f.maxAge)
	}
	ahead := report.Newest.Sub(f.now()).Round(time.Second)
	if ahead > maxAhead {
		err := fmt.Errorf("%w: the scan of vantage %s begins %s from now: compare the clocks", probe.ErrEvidence, term.Escape(report.NewestOf), ahead)
		if f.maxAge > 0 {
			return err
		}
		fmt.Fprintf(c.ErrOrStderr(), "starttls-list: note: %v; a release does not take it\n", err)
	}
	if age > toldAge && !f.verify {
		fmt.Fprintf(c.ErrOrStderr(), "starttls-list: note: the oldest scan began %s ago; a release takes nothing older than %s\n", age, toldAge)
	}
	return nil
}

func verdictExit(report probe.MergeReport) error {
	switch {
	case report.Verdicts[probe.Fail] > 0:
		return &term.Exit{Code: exitFail}
	case report.Verdicts[probe.Inconclusive] > 0:
		return &term.Exit{Code: exitInconclusive}
	}
	return nil
}

func mergeSummary(r probe.MergeReport, quorum int) string {
	var counts []string
	for _, v := range []probe.Verdict{probe.Pass, probe.Warn, probe.Fail, probe.Inconclusive} {
		if n := r.Verdicts[v]; n > 0 {
			counts = append(counts, fmt.Sprintf("%d %s", n, v))
		}
	}
	by := fmt.Sprintf("%d of %s", quorum, term.Plural(len(r.Vantages), "vantage"))
	if quorum == 0 {
		by = term.Plural(len(r.Vantages), "vantage")
	}
	names := make([]string, len(r.Vantages))
	for i, name := range r.Vantages {
		names[i] = term.Escape(name)
	}
	return fmt.Sprintf("%s by %s (%s): %s; %s", term.Plural(r.Domains, "domain"), by, strings.Join(names, ", "),
		strings.Join(counts, ", "), term.Plural(r.Disagreed, "disagreement"))
}

// mergedPrinter is printer for merged evidence: each vantage's own verdict comes along.
func mergedPrinter(out io.Writer, asJSON bool) func(probe.Merged) error {
	if !asJSON {
		return func(m probe.Merged) error { return printResult(out, m.Result()) }
	}
	type vote struct {
		Name    string        `json:"name"`
		Verdict probe.Verdict `json:"verdict"`
		Codes   []string      `json:"codes"`
		Since   time.Time     `json:"since"`
		Void    string        `json:"void,omitempty"` // why it does not count
	}
	enc := json.NewEncoder(out)
	enc.SetEscapeHTML(false)
	return func(m probe.Merged) error {
		votes := make([]vote, len(m.Votes))
		for i, v := range m.Votes {
			votes[i] = vote{v.Vantage, v.Verdict, append([]string{}, v.Codes...), v.Since, v.Void}
		}
		return enc.Encode(struct {
			Domain   string           `json:"domain"`
			Verdict  probe.Verdict    `json:"verdict"`
			Since    time.Time        `json:"since"`
			Codes    []string         `json:"codes"`
			Findings []policy.Finding `json:"findings"`
			Vantages []vote           `json:"vantages"`
		}{m.Domain.String(), m.Verdict, m.Since, append([]string{}, m.Codes...), append([]policy.Finding{}, m.Result().Findings...), votes})
	}
}
