package main

import (
	"context"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/starttls-everywhere/policylist/cmd/internal/term"
	"github.com/starttls-everywhere/policylist/pipeline/tlsrpt"
	"github.com/starttls-everywhere/policylist/policy"
	rfc8460 "github.com/starttls-everywhere/policylist/policy/tlsrpt"
)

const tlsrptStatusLong = `Status tells which domains pass on their reports, what came in the last days, and what was reported of those days, domain
by domain. "Only shown" is what came without a proof of who sent it. It may be asked while "tlsrpt serve" runs.

--lines prints the documents that came on one day instead, as they are kept: lines of canonical JSON with the body in Base64.

Exit codes: 0 done, 3 usage, 4 internal, 75 the store is in use.`

const tlsrptStatusExample = `  $ starttls-list tlsrpt status --config policylist.toml
  a.example: waiting, asked …, never seen: there is no TLSRPT record
  1 domain: 0 enrolled, 1 waiting, 0 gone
  last 7 days: nothing came
  store: … KiB of 2.0 GiB`

// statusFlags are the options of tlsrpt status.
type statusFlags struct {
	config, domain, lines string
	days                  int
	json                  bool
}

func newTLSRPTStatusCommand() *cobra.Command {
	var f statusFlags
	c := &cobra.Command{
		Use: "status --config FILE", Short: "tells who is enrolled and what was reported", Long: tlsrptStatusLong, Example: tlsrptStatusExample,
		Args: exactly(0),
		RunE: func(c *cobra.Command, _ []string) error { return runTLSRPTStatus(c, f) },
	}
	c.Flags().StringVar(&f.config, "config", configName, "configuration file with [tlsrpt]")
	c.Flags().StringVar(&f.domain, "domain", "", "of this domain only")
	c.Flags().IntVar(&f.days, "days", 7, "how many days back, today included; 1 to 90")
	c.Flags().StringVar(&f.lines, "lines", "", "print the documents that came on this day (UTC), such as 2026-01-10; they stay 7 days")
	c.Flags().BoolVar(&f.json, "json", false, "print the status as JSON")
	return c
}

// tlsrptStatus is what status tells.
type tlsrptStatus struct {
	Domains []domainStatus         `json:"domains"`
	Counts  map[tlsrpt.Count]int64 `json:"counts"` // by day of arrival, summed
	Days    []dayStatus            `json:"days"`   // by day of the sessions
	Bytes   int64                  `json:"bytes"`
	Space   int64                  `json:"space"`
	states  map[tlsrpt.EnrolmentState]int
}

type domainStatus struct {
	Domain string   `json:"domain"`
	State  string   `json:"state"`
	Asked  string   `json:"asked"`
	Looked string   `json:"looked,omitempty"`
	Seen   string   `json:"seen,omitempty"`
	Faults []string `json:"faults"`
}

// dayStatus is what was reported of one domain on one day. Reporters are those that count.
type dayStatus struct {
	Day       rfc8460.Day                  `json:"day"`
	Domain    string                       `json:"domain"`
	Reporters int                          `json:"reporters"`
	Sessions  int64                        `json:"sessions"`
	Failed    int64                        `json:"failed"`
	Results   map[rfc8460.ResultType]int64 `json:"results"`
	Shown     shownStatus                  `json:"shown"` // without a proof
}

type shownStatus struct {
	Reporters int   `json:"reporters"`
	Sessions  int64 `json:"sessions"`
	Failed    int64 `json:"failed"`
}

func runTLSRPTStatus(c *cobra.Command, f statusFlags) error {
	if f.days < 1 || f.days > tlsrpt.KeepTallies {
		return usage(c, fmt.Errorf("--days %d: 1 to %d", f.days, tlsrpt.KeepTallies))
	}
	var only policy.Domain
	var err error
	if f.domain != "" {
		if only, err = policy.NormalizeDomain(f.domain); err != nil {
			return usage(c, fmt.Errorf("--domain: %w", err))
		}
	}
	var lines rfc8460.Day
	if f.lines != "" {
		if lines, err = rfc8460.ParseDay(f.lines); err != nil {
			return usage(c, fmt.Errorf("--lines: %w", err))
		}
	}
	_, store, err := openTLSRPT(f.config, true)
	if err != nil {
		return err
	}
	if f.lines != "" {
		return tlsrptError(store.Lines(c.Context(), lines, func(line []byte) error {
			_, err := fmt.Fprintf(c.OutOrStdout(), "%s\n", line)
			return err
		}))
	}
	status, err := readTLSRPTStatus(c.Context(), store, only, f.days)
	if err != nil {
		return tlsrptError(err)
	}
	if f.json {
		return printAuditJSON(c, status)
	}
	status.print(c.OutOrStdout(), f.days)
	return nil
}

func readTLSRPTStatus(ctx context.Context, store *tlsrpt.Store, only policy.Domain, days int) (*tlsrptStatus, error) {
	s := &tlsrptStatus{Domains: []domainStatus{}, Days: []dayStatus{}, states: map[tlsrpt.EnrolmentState]int{}}
	all, err := store.Enrolments(ctx)
	if err != nil {
		return nil, err
	}
	for _, e := range all {
		if only.IsZero() || e.Domain == only {
			s.Domains = append(s.Domains, domainStatus{e.Domain.String(), string(e.State), spelled(e.Added), spelled(e.Looked), spelled(e.Seen), append([]string{}, e.Faults...)})
			s.states[e.State]++
		}
	}
	today := rfc8460.DayOf(time.Now())
	from := today - rfc8460.Day(days-1)
	if s.Counts, err = store.DayCounts(ctx, from, today); err != nil {
		return nil, err
	}
	if s.Bytes, s.Space, err = store.Size(ctx); err != nil {
		return nil, err
	}
	return s, store.Rows(ctx, from, today+1, func(r tlsrpt.Row) error {
		if only.IsZero() || r.Domain == only {
			s.add(r)
		}
		return nil
	})
}

// spelled is "" for no time.
func spelled(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.UTC().Format(policy.TimeFormat)
}

// add takes a row; those of one day and domain follow one another.
func (s *tlsrptStatus) add(r tlsrpt.Row) {
	n := len(s.Days)
	if n == 0 || s.Days[n-1].Day != r.Day || s.Days[n-1].Domain != r.Domain.String() {
		s.Days = append(s.Days, dayStatus{Day: r.Day, Domain: r.Domain.String(), Results: map[rfc8460.ResultType]int64{}})
		n++
	}
	d := &s.Days[n-1]
	if !r.Authenticated {
		d.Shown.Reporters++
		d.Shown.Sessions = min(d.Shown.Sessions+r.Sessions, rfc8460.MaxCount)
		d.Shown.Failed = min(d.Shown.Failed+r.Failed, rfc8460.MaxCount)
		return
	}
	d.Reporters++
	d.Sessions, d.Failed = min(d.Sessions+r.Sessions, rfc8460.MaxCount), min(d.Failed+r.Failed, rfc8460.MaxCount)
	for _, p := range r.Policies {
		for _, res := range p.Results {
			d.Results[res.Result] = min(d.Results[res.Result]+res.Sessions, rfc8460.MaxCount)
		}
	}
}

func (s *tlsrptStatus) print(w io.Writer, days int) {
	for _, d := range s.Domains {
		seen := "never seen"
		if d.Seen != "" {
			seen = "seen " + d.Seen
		}
		fmt.Fprintf(w, "%s: %s, asked %s, %s", d.Domain, d.State, d.Asked, seen)
		if len(d.Faults) > 0 {
			fmt.Fprintf(w, ": %s", term.Escape(strings.Join(d.Faults, "; ")))
		}
		fmt.Fprintln(w)
	}
	fmt.Fprintf(w, "%s: %d enrolled, %d waiting, %d gone\n", term.Plural(len(s.Domains), "domain"), s.states[tlsrpt.Enrolled], s.states[tlsrpt.Waiting], s.states[tlsrpt.Gone])
	for _, d := range s.Days {
		fmt.Fprintf(w, "%s %s: %s", d.Day, d.Domain, sessions(d.Sessions, d.Failed, d.Reporters))
		for _, r := range append(rfc8460.ResultTypes(), rfc8460.OtherResult) {
			if n := d.Results[r]; n > 0 {
				fmt.Fprintf(w, ", %s %d", r, n)
			}
		}
		if d.Shown.Reporters > 0 {
			fmt.Fprintf(w, "; only shown: %s", sessions(d.Shown.Sessions, d.Shown.Failed, d.Shown.Reporters))
		}
		fmt.Fprintln(w)
	}
	var counted []string
	for _, name := range tlsrpt.Counts() {
		if n := s.Counts[name]; n > 0 {
			counted = append(counted, fmt.Sprintf("%d %s", n, name))
		}
	}
	if counted == nil {
		counted = []string{"nothing came"}
	}
	fmt.Fprintf(w, "last %s: %s\n", term.Plural(days, "day"), strings.Join(counted, ", "))
	fmt.Fprintf(w, "store: %d KiB of %.1f GiB\n", (s.Bytes+1023)>>10, float64(s.Space)/(1<<30))
}

func sessions(all, failed int64, reporters int) string {
	return fmt.Sprintf("%d sessions, %d failed, by %s", all, failed, term.Plural(reporters, "reporter"))
}
