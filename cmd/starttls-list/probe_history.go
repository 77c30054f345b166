package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/starttls-everywhere/policylist/cmd/internal/term"
	"github.com/starttls-everywhere/policylist/pipeline/probe"
	"github.com/starttls-everywhere/policylist/policy"
)

const historyLong = `History tells from evidence files how long each verdict on a domain has stood and who saw it: of merged evidence what was
decided by quorum, of others what each vantage saw. It depends on the files' contents alone, not on their order, and
needs nothing else; the same evidence twice counts once. Files may be compressed with zstd (.zst), as on a mirror.

A span begins where its first evidence says that the verdict began, and ends with the last that saw it.

Signatures are not looked at here: "probe merge" does that.

Exit codes: 0 ok, 2 no evidence about --domain, 3 usage or a file that is no good, 4 internal.`

const historyExample = `  $ starttls-list probe history monday.jsonl tuesday.jsonl
  good.example
    2026-03-02T08:00:00Z to 2026-03-03T08:00:00Z  pass  (2 scans by north)
  odd.example
    2026-03-02T08:00:00Z to 2026-03-02T08:00:00Z  pass  (1 scan by north)
    2026-03-03T08:00:00Z to 2026-03-03T08:00:00Z  fail  cert.expired  (1 scan by north)`

func newHistoryCommand() *cobra.Command {
	var domain string
	var asJSON bool
	c := &cobra.Command{
		Use: "history FILE…", Short: "tells from evidence files since when each verdict stands", Long: historyLong, Example: historyExample,
		RunE: func(c *cobra.Command, args []string) error { return runHistory(c, args, domain, asJSON) },
	}
	c.Flags().StringVar(&domain, "domain", "", "only this domain")
	c.Flags().BoolVar(&asJSON, "json", false, "print one JSON object a domain")
	return c
}

func runHistory(c *cobra.Command, args []string, name string, asJSON bool) error {
	if len(args) == 0 {
		return usage(c, errors.New("no file given"))
	}
	var only policy.Domain
	if name != "" {
		var err error
		if only, err = policy.NormalizeDomain(name); err != nil {
			return usage(c, fmt.Errorf("--domain: %w", err))
		}
	}
	show := historyPrinter(c.OutOrStdout(), asJSON)
	shown := 0
	err := probe.ReadHistory(evidenceInputs(args), func(h probe.History) error {
		if !only.IsZero() && h.Domain != only {
			return nil
		}
		shown++
		return show(h)
	})
	if err != nil {
		return evidenceError(err)
	}
	if shown == 0 && !only.IsZero() {
		return &term.Exit{Code: exitInconclusive, Err: fmt.Errorf("there is no evidence about %s", only)}
	}
	return nil
}

func historyPrinter(out io.Writer, asJSON bool) func(probe.History) error {
	if asJSON {
		enc := json.NewEncoder(out)
		enc.SetEscapeHTML(false)
		return func(h probe.History) error { return enc.Encode(historyJSON(h)) }
	}
	return func(h probe.History) error {
		if _, err := fmt.Fprintln(out, h.Domain); err != nil {
			return err
		}
		for _, s := range h.Spans {
			if _, err := fmt.Fprintln(out, "  "+spanText(s)); err != nil {
				return err
			}
		}
		return nil
	}
}

// spanText is "2026-… to 2026-…  fail  cert.expired  (2 scans by quorum: north, south)".
func spanText(s probe.Span) string {
	text := fmt.Sprintf("%s to %s  %s", s.Since.Format(policy.TimeFormat), s.Until.Format(policy.TimeFormat), s.Verdict)
	if len(s.Codes) > 0 {
		text += "  " + strings.Join(s.Codes, " ")
	}
	by := "nobody named"
	if names := term.Escape(strings.Join(s.Vantages, ", ")); names != "" {
		by = names
	}
	if s.Merged {
		by = "quorum: " + by
	}
	return fmt.Sprintf("%s  (%s by %s)", text, term.Plural(s.Scans, "scan"), by)
}

// historyJSON is the shape of history --json.
func historyJSON(h probe.History) any {
	type span struct {
		Verdict  probe.Verdict `json:"verdict"`
		Since    time.Time     `json:"since"`
		Until    time.Time     `json:"until"`
		Codes    []string      `json:"codes"`
		Vantages []string      `json:"vantages"`
		Merged   bool          `json:"merged"`
		Scans    int           `json:"scans"`
	}
	spans := make([]span, len(h.Spans))
	for i, s := range h.Spans {
		spans[i] = span{s.Verdict, s.Since, s.Until, append([]string{}, s.Codes...), append([]string{}, s.Vantages...), s.Merged, s.Scans}
	}
	return struct {
		Domain string `json:"domain"`
		Spans  []span `json:"spans"`
	}{h.Domain.String(), spans}
}
