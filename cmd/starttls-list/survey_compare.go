package main

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/starttls-everywhere/policylist/cmd/internal/term"
	"github.com/starttls-everywhere/policylist/pipeline/survey"
)

const compareLong = `Compare prints how deployment changed between surveys, from the files that "survey --stats" wrote: for each class its share
in each survey, in the order of time, and by how many percentage points it grew from the first to the last. Shares are of
the domains that have mail and of which something is known, those of codes of all domains.

Shares of different lists of domains compare only so far; the number of domains of each survey stands in the first line.

Exit codes: 0 ok, 3 usage or a file that is no good, 4 internal.`

const compareExample = `  $ starttls-list survey compare march.json april.json
                                 2026-03-01  2026-04-01  change
  domains                        9           10          +1
  verdict      pass              75.0%       80.0%       +5.0
  verdict      fail              25.0%       20.0%       -5.0
  …
  code         starttls.missing  22.2%       20.0%       -2.2
  …`

func newSurveyCompareCommand() *cobra.Command {
	return &cobra.Command{
		Use: "compare STATISTICS STATISTICS…", Short: "tells how deployment changed between surveys", Long: compareLong, Example: compareExample,
		RunE: func(c *cobra.Command, args []string) error {
			if len(args) < 2 {
				return usage(c, errors.New("name the statistics of two surveys or more"))
			}
			var reports []survey.Report
			for _, path := range args {
				data, err := readFile(path, survey.MaxReport)
				var r survey.Report
				if err == nil {
					r, err = survey.ReadReport(data)
				}
				if err != nil {
					return &term.Exit{Code: exitUsage, Err: fmt.Errorf("%s: %w", path, err)}
				}
				reports = append(reports, r)
			}
			slices.SortStableFunc(reports, func(a, b survey.Report) int { return strings.Compare(a.Until, b.Until) })
			return survey.Compare(c.OutOrStdout(), reports)
		},
	}
}
