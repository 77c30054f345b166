package main

import (
	"io"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"github.com/starttls-everywhere/policylist/cmd/internal/exposition"
	"github.com/starttls-everywhere/policylist/cmd/internal/term"
	"github.com/starttls-everywhere/policylist/mirror/feedback"
	"github.com/starttls-everywhere/policylist/policy/mta/doctor"
	"github.com/starttls-everywhere/policylist/policy/tlsrpt"
)

// feedbackReport is what "feedback status" and "status" tell.
type feedbackReport struct {
	URL         string           `json:"url"`
	Contributor string           `json:"contributor"`
	List        string           `json:"list"`
	Source      string           `json:"source"`
	Since       string           `json:"since,omitempty"` // the first day that is told of
	Days        []feedback.Entry `json:"days,omitempty"`  // oldest first
	Next        string           `json:"next,omitempty"`  // when something is sent, if nothing fails
	Notices     []tlsrpt.Notice  `json:"notices,omitempty"`
	Error       string           `json:"error,omitempty"` // why something could not be made, or nothing can be sent
}

// noticeTexts explain the codes.
var noticeTexts = map[tlsrpt.Notice]string{
	tlsrpt.NoticeCanary: "mail was delivered to a domain that is listed and broken on purpose: this mail server does not enforce the list; starttls-policy doctor tells why",
}

func newFeedbackStatus(a *app) *cobra.Command {
	return &cobra.Command{
		Use:   "status",
		Short: "tell what was sent, what waits, and what the operator answered",
		Long: `Status reads what is kept of the last two weeks and asks nobody: each day's document and what became of it, when the next one
goes out, and what the operator says about this mail server.

Exit codes: 0 done, however it stands; 1 something local failed; 2 wrong usage or configuration.`,
		Example: `  $ starttls-policy feedback status
  feedback is off: there is no [feedback] in /etc/starttls-policy/config.toml`,
		Args: arguments(0, 0),

		ValidArgsFunction: cobra.NoFileCompletions,
		RunE: func(*cobra.Command, []string) error {
			cfg, err := a.loadConfig()
			if err != nil {
				return err
			}
			r := a.feedbackStatus(cfg)
			if r == nil {
				line(a.stdout, "feedback is off: there is no [feedback] in %s", a.configPath)
				return nil
			}
			return a.tellFeedback(r)
		},
	}
}

// feedbackStatus returns nil where feedback is off.
func (a *app) feedbackStatus(cfg config) *feedbackReport {
	if cfg.Feedback == nil {
		return nil
	}
	book, err := feedback.LoadBook(cfg.State)
	r := a.feedbackReport(cfg, book)
	if err != nil {
		r.Error = flat{err}.Error()
	}
	return r
}

func (a *app) feedbackReport(cfg config, book *feedback.Book) *feedbackReport {
	f := cfg.Feedback
	r := &feedbackReport{
		URL: f.URL.String(), Contributor: f.Contributor.String(), List: string(f.List), Source: string(f.Source),
		Days: book.Days, Notices: book.Notices(), Error: book.Error,
	}
	if book.Since != 0 {
		r.Since = book.Since.String()
	}
	key, err := feedback.LoadKey(keyPath(cfg))
	if err != nil {
		if r.Error == "" {
			r.Error = err.Error()
		}
		return r
	}
	for _, e := range book.Days {
		if e.State == feedback.Waiting {
			r.Next = stamp(later(key.Due(e.Day), e.Next))
			break
		}
	}
	return r
}

func later(a, b time.Time) time.Time {
	if b.After(a) {
		return b
	}
	return a
}

func (a *app) tellFeedback(r *feedbackReport) error {
	if a.json {
		return writeJSON(a.stdout, r)
	}
	r.print(a.stdout)
	return nil
}

// shownDays are printed; --json has all.
const shownDays = 4

func (r *feedbackReport) print(w io.Writer) {
	line(w, "feedback: about list %s, from %s, as %s, to %s", r.List, r.Source, r.Contributor, r.URL)
	if r.Error != "" {
		line(w, "  error: %s", r.Error)
	}
	if r.Since == "" {
		line(w, "  it never ran")
	}
	for _, e := range r.Days[max(0, len(r.Days)-shownDays):] {
		switch {
		case e.State == feedback.Sent:
			line(w, "  %s: sent %s, %s", e.Day, stamp(e.Sent), term.Plural(e.Domains, "domain"))
		case e.State == feedback.GivenUp:
			line(w, "  %s: GIVEN UP after %s: %s", e.Day, term.Plural(e.Attempts, "attempt"), orUnknown(e.Error))
		case e.Attempts > 0:
			line(w, "  %s: %s FAILED: %s", e.Day, term.Plural(e.Attempts, "attempt"), e.Error)
		}
	}
	if r.Next != "" {
		line(w, "  next: %s", r.Next)
	}
	for _, n := range r.Notices {
		line(w, "  the operator says %s: %s", n, noticeTexts[n])
	}
}

func orUnknown(s string) string {
	if s == "" {
		return "it could not be made in time"
	}
	return s
}

// addFeedback adds what the book tells; zero where feedback is off.
func addFeedback(set *exposition.Set, cfg config) {
	book := &feedback.Book{}
	if cfg.Feedback != nil {
		book, _ = feedback.LoadBook(cfg.State) // "feedback status" says what is wrong with it
	}
	for _, n := range tlsrpt.Notices() {
		set.Add(metricPrefix+"feedback_notice", truth(slices.Contains(book.Notices(), n)), string(n))
	}
	set.Add(metricPrefix+"feedback_overdue", float64(book.Overdue()))
}

// feedbackIdle is how long nothing may start it before somebody should look: its timer is hourly.
const feedbackIdle = 26 * time.Hour

// feedbackFacts are for doctor; nil where feedback is off.
func (a *app) feedbackFacts(cfg config) *doctor.Feedback {
	if cfg.Feedback == nil {
		return nil
	}
	book, err := feedback.LoadBook(cfg.State)
	f := &doctor.Feedback{Canary: slices.Contains(book.Notices(), tlsrpt.NoticeCanary), Overdue: book.Overdue(), Why: book.Error}
	for _, e := range book.Days {
		if e.Error != "" {
			f.Why = e.Error
		}
	}
	switch age := a.now().Sub(book.Ran); {
	case book.Ran.IsZero():
		f.Idle = "it never ran"
	case age > feedbackIdle:
		f.Idle = "it last ran " + stamp(book.Ran)
	}
	if err != nil {
		f.Why = flat{err}.Error()
	}
	if _, err := feedback.LoadKey(keyPath(cfg)); err != nil {
		f.NoKey = err.Error()
	}
	return f
}
