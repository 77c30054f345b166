package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/starttls-everywhere/policylist/cmd/internal/term"
	"github.com/starttls-everywhere/policylist/mirror/durable"
	"github.com/starttls-everywhere/policylist/mirror/feedback"
	"github.com/starttls-everywhere/policylist/policy/tlsrpt"
)

type feedbackOptions struct {
	dryRun   bool
	day      string
	loopback bool
}

func newFeedback(a *app) *cobra.Command {
	var o feedbackOptions
	cmd := &cobra.Command{
		Use:   "feedback [--dry-run [--day DAY]]",
		Short: "tell the list's operator how deliveries to listed domains went; off unless [feedback] says so",
		Long: `Feedback sends one small document for each UTC day, at a random time 2 to 26 hours after the day's end, once. Run it every
hour from a timer: it knows what is due. It does nothing, and sends nothing, without [feedback] in the configuration.

The document has listed domains with 20 sessions or more on the day, what kind of policy they had, and how sessions ended, as
rough numbers (20, 50, 100, 500). It has no addresses, no names of servers, people or organisations, no domain that is not
listed. A day without any of that sends an empty document of the same size, so that silence tells nothing.

--dry-run sends nothing and changes nothing: it prints the request as it would go out, to the byte, and on the standard error
stream to whom and when. To stop, take [feedback] out of the configuration.

Exit codes: 0 done, or nothing to do; 1 something local failed; 2 wrong usage or configuration. An operator that does not
answer is none of these: the same bytes are sent again later, for four days, and "feedback status" tells.`,
		Example: `  $ starttls-policy feedback
  feedback is off: there is no [feedback] in /etc/starttls-policy/config.toml`,
		Args: arguments(0, 0),
		RunE: func(c *cobra.Command, _ []string) error {
			if o.day != "" && !o.dryRun {
				return usage(c, errors.New("--day goes with --dry-run"))
			}
			f, err := a.openFeedback(o.loopback)
			if f == nil {
				return err
			}
			if o.dryRun {
				return f.dryRun(c, o.day)
			}
			return f.run(c.Context())
		},
	}
	cmd.Flags().BoolVar(&o.dryRun, "dry-run", false, "print what would be sent, to the byte, and send nothing")
	cmd.Flags().StringVar(&o.day, "day", "", "the UTC day that --dry-run is about, such as 2026-01-31; yesterday if left out")
	cmd.Flags().BoolVar(&o.loopback, "allow-loopback", false, "let the URL be http:// to an address of this machine, for tests")
	cmd.AddCommand(newFeedbackKey(a), newFeedbackStatus(a))
	return cmd
}

// contributor is one run of feedback.
type contributor struct {
	*app
	config config
	sender *feedback.Sender
}

// openFeedback returns nil where feedback is off, which is said.
func (a *app) openFeedback(loopback bool) (*contributor, error) {
	cfg, err := a.loadConfig()
	if err != nil {
		return nil, err
	}
	f := cfg.Feedback
	if f == nil {
		line(a.stdout, "feedback is off: there is no [feedback] in %s", a.configPath)
		return nil, nil
	}
	if feedback.Clear(f.URL) && !loopback {
		return nil, &term.Exit{Code: exitUsage, Err: fmt.Errorf("[feedback]: %s is not https; --allow-loopback lets it pass, for tests", f.URL)}
	}
	key, err := feedback.LoadKey(keyPath(cfg))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, failed(fmt.Errorf("[feedback]: there is no key: %w", err), "starttls-policy feedback key makes one, and prints the record for the DNS")
	}
	if err != nil {
		return nil, failed(err, "")
	}
	c := &contributor{app: a, config: cfg}
	c.sender = &feedback.Sender{
		Dir: cfg.State, Key: key, Target: feedback.NewTarget(f.URL, f.Contributor, key), Now: a.now,
		Make: func(day tlsrpt.Day) (tlsrpt.Contribution, error) { return c.contribution(key, day) },
	}
	return c, nil
}

func keyPath(c config) string { return filepath.Join(c.State, feedback.KeyFile) }

func (c *contributor) run(ctx context.Context) error {
	book, err := c.sender.Run(ctx)
	if errors.Is(err, durable.ErrLocked) {
		return failed(err, "another feedback is running; this one has nothing to do")
	}
	if err != nil {
		return failed(err, "")
	}
	return c.tellFeedback(c.feedbackReport(c.config, book))
}

// dryRun prints the document that stands in the outbox, or the one that would.
func (c *contributor) dryRun(cmd *cobra.Command, text string) error {
	day := tlsrpt.DayOf(c.now()) - 1
	if text != "" {
		var err error
		if day, err = tlsrpt.ParseDay(text); err != nil {
			return usage(cmd, err)
		}
	}
	book, err := feedback.LoadBook(c.config.State)
	if err != nil {
		return failed(err, "")
	}
	body, err := book.Document(day)
	state := "was made of the day, and goes out"
	if errors.Is(err, fs.ErrNotExist) {
		state = "would be made of the day now, and go out"
		body, err = c.sender.Preview(day)
	}
	if err != nil {
		return failed(err, "")
	}
	r, err := c.sender.Target.Request(cmd.Context(), body)
	if err != nil {
		return err
	}
	when := ": " + stamp(c.sender.Key.Due(day))
	switch e := book.Entry(day); {
	case e == nil:
		state, when = "would be made of the day now; of the day itself nothing goes out", ""
	case e.State == feedback.Sent:
		state, when = "was sent", ": "+stamp(e.Sent)
	case e.State == feedback.GivenUp:
		state, when = "was given up and is not sent any more", ""
	}
	line(c.stderr, "%s, to %s: this %s%s", day, c.config.Feedback.URL, state, when)
	return r.Write(c.stdout)
}

func newFeedbackKey(a *app) *cobra.Command {
	rotate := false
	cmd := &cobra.Command{
		Use:   "key [--rotate]",
		Short: "make the key that feedback is signed with, and print the record for the DNS",
		Long: `Key makes an Ed25519 key where there is none, readable for its owner alone, and prints the TXT record by which the operator
knows that a document comes from the contributor of [feedback]. With --rotate it makes another one in its place: exactly one such
record counts, so put the new record into the DNS in the place of the old one. Until everybody sees it, documents wait.

Exit codes: 0 done; 1 something local failed; 2 wrong usage or configuration.`,
		Example: `  $ starttls-policy feedback key
  key: /var/lib/starttls-policy/feedback-key.pem
  _starttls-feedback.your-domain.example. IN TXT "v=STF1; k=ed25519; p=…"`,
		Args:              arguments(0, 0),
		ValidArgsFunction: cobra.NoFileCompletions,
		RunE:              func(*cobra.Command, []string) error { return a.feedbackKey(rotate) },
	}
	cmd.Flags().BoolVar(&rotate, "rotate", false, "replace the key")
	return cmd
}

func (a *app) feedbackKey(rotate bool) error {
	cfg, err := a.loadConfig()
	if err != nil {
		return err
	}
	key, err := feedback.LoadKey(keyPath(cfg))
	if rotate || errors.Is(err, fs.ErrNotExist) {
		if key, err = feedback.NewKey(rand.Reader); err == nil {
			err = key.Save(keyPath(cfg), rotate)
		}
	}
	if err != nil {
		return failed(err, "")
	}
	domain := "your-domain.example"
	if cfg.Feedback != nil {
		domain = cfg.Feedback.Contributor.String()
	}
	line(a.stderr, "key: %s", keyPath(cfg))
	line(a.stdout, `%s.%s. IN TXT "%s"`, tlsrpt.KeyLabel, domain, key.Record())
	return nil
}
