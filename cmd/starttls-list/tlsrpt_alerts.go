package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"github.com/starttls-everywhere/policylist/cmd/internal/term"
	"github.com/starttls-everywhere/policylist/policy"
)

const tlsrptAlertsLong = `Alerts tells what reports of the last seven days say about listed domains that somebody should look at: a reporter that
finds no MTA-STS policy any more where it found one; one that gets no STARTTLS where all others do; senders led to MX hosts
that the list does not allow. Where several domains of one provider show the same, it is one incident.

Alerts rest on single reporters, and so are the operator's alone; they do not say which, and change nothing of the list.
What enough reporters see is in the tables, and release tells it. "starttls-list code CODE" explains each.

Exit codes: 0 none, 1 there are alerts, 3 usage, 4 internal, 75 the store is in use.`

const tlsrptAlertsExample = `  $ starttls-list tlsrpt alerts --config policylist.toml
  nothing to tell`

func newTLSRPTAlertsCommand() *cobra.Command {
	var path string
	var asJSON bool
	c := &cobra.Command{
		Use: "alerts --config FILE", Short: "tells what single reporters see and others do not", Long: tlsrptAlertsLong, Example: tlsrptAlertsExample,
		Args: exactly(0),
		RunE: func(c *cobra.Command, _ []string) error { return runTLSRPTAlerts(c, path, asJSON) },
	}
	c.Flags().StringVar(&path, "config", configName, "configuration file with [tlsrpt]")
	c.Flags().BoolVar(&asJSON, "json", false, "print the alerts as JSON")
	return c
}

func runTLSRPTAlerts(c *cobra.Command, path string, asJSON bool) error {
	cfg, store, err := openTLSRPT(path, true)
	if err != nil {
		return err
	}
	listed, err := cfg.listed(c.Context())
	if err != nil {
		return &term.Exit{Code: exitUsage, Err: err, Hint: "list in [tlsrpt] names a policy.json"}
	}
	alerts, err := store.Alerts(c.Context(), listed)
	if err != nil {
		return tlsrptError(err)
	}
	if asJSON {
		err = encodeLine(c.OutOrStdout(), map[string][]policy.Finding{"alerts": append([]policy.Finding{}, alerts...)})
	} else if len(alerts) == 0 {
		_, err = fmt.Fprintln(c.OutOrStdout(), "nothing to tell")
	}
	if err != nil || len(alerts) == 0 {
		return err
	}
	if !asJSON {
		for _, a := range alerts {
			a.Summary = domainAnd(a)
			term.Findings(c.OutOrStdout(), []policy.Finding{a})
		}
	}
	return &term.Exit{Code: exitFail}
}

// domainAnd puts the domain before the summary, where there is no file to name.
func domainAnd(f policy.Finding) string {
	if f.Domain == "" {
		return f.Summary
	}
	return f.Domain + ": " + f.Summary
}
