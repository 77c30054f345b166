package main

import (
	"context"
	"fmt"
	"io"
	"os"

	"github.com/starttls-everywhere/policylist/cmd/internal/term"
	"github.com/starttls-everywhere/policylist/policy"
	"github.com/starttls-everywhere/policylist/policy/mta/doctor"
	"github.com/starttls-everywhere/policylist/policy/mta/maillog"
)

// doctorLog reads mail logs and says what the list would have changed.
func (a *app) doctorLog(ctx context.Context, cfg config, files []string) error {
	lists, err := a.standings(cfg)
	if err != nil {
		return err
	}
	a.warn(lists)
	local := a.localSay(cfg)
	history := &doctor.History{Lookup: func(d policy.Domain) (policy.Policy, bool) { return inForce(lists, local, d) }}
	linker, summary := new(maillog.Linker), maillog.Summary{}
	for _, name := range files {
		if err := readLog(ctx, name, linker, &summary, history.Add); err != nil {
			return failed(fmt.Errorf("%s: %w", name, err), "")
		}
	}
	report := history.Report(summary)
	code := 0
	if doctor.HasErrors(report.Findings) {
		code = exitFailed
	}
	if a.json {
		if err := writeJSON(a.stdout, report); err != nil {
			return err
		}
		return exit(code)
	}
	a.printHistory(report)
	return exit(code)
}

// inForce is what the mail server is told of a domain, as far as lists and administrator decide it.
func inForce(lists []standing, local localSay, d policy.Domain) (policy.Policy, bool) {
	if o, ok := local.overrides.Find(d, local.now); ok {
		return o.Policy, len(o.Policy.MXs) > 0
	}
	_, p, ok := find(lists, d)
	if ok && p.Mode == policy.Testing && local.adopt.has(d) {
		p.Mode = policy.Enforce
	}
	return p, ok
}

// readLog walks over one file, or standard input. It ends early when ctx does.
func readLog(ctx context.Context, name string, l *maillog.Linker, s *maillog.Summary, add func(maillog.Attempt)) error {
	in := io.ReadCloser(os.Stdin)
	if name != "-" {
		f, err := os.Open(name)
		if err != nil {
			return err
		}
		in = f
	}
	defer in.Close()
	defer context.AfterFunc(ctx, func() { in.Close() })()
	return maillog.Walk(in, l, s, func(a maillog.Attempt) error {
		add(a)
		return ctx.Err()
	})
}

// maxRows is how many listed domains are printed; --json has all.
const maxRows = 50

func (a *app) printHistory(r doctor.HistoryReport) {
	w := a.stdout
	if r.First != "" {
		line(w, "from %s to %s: %s in %s", r.First, r.Last, term.Plural(int(r.Attempts), "attempt"), term.Plural(int(r.Lines), "line"))
	}
	least := ""
	if r.AtLeast {
		least = "at least "
	}
	line(w, "%s%s delivered to; %d always showed a good certificate", least, term.Plural(r.Destinations, "domain"), r.Good)
	line(w, "%d of the list: %d enforce, %d testing; %s to them", r.Enforce+r.Testing, r.Enforce, r.Testing, delivered(r.Sent))
	line(w, "with the list in force %d of these would have waited", r.Waits)
	for i, d := range r.Listed {
		if i == maxRows {
			line(w, "  … and %d more (--json has all)", len(r.Listed)-maxRows)
			break
		}
		line(w, "  %s (%s): %s, %d fine, %d not known%s%s", d.Domain, d.Mode, delivered(d.Sent), d.Fine, d.Unknown, d.Why(), deferrals(d))
	}
	printFindings(w, r.Findings)
}

func delivered(n int) string {
	if n == 1 {
		return "1 delivery"
	}
	return fmt.Sprintf("%d deliveries", n)
}

func deferrals(d doctor.Destination) string {
	if d.Deferred == 0 {
		return ""
	}
	return fmt.Sprintf("; %d deferred already for reasons of TLS", d.Deferred)
}
