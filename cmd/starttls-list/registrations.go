package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/starttls-everywhere/policylist/cmd/internal/term"
	"github.com/starttls-everywhere/policylist/mirror"
	"github.com/starttls-everywhere/policylist/pipeline/registration"
	"github.com/starttls-everywhere/policylist/policy"
)

const registrationsLong = `Registrations asks the registries, over RDAP, when the domains of SOURCE were registered: a domain that lapsed and was
registered anew has another owner, whom the list must not take for the one who agreed. What it finds out goes into PLACE, a
folder or a private s3://bucket/prefix, as registrations.jsonl; a release with the same place in [gate] registrations then
suspends what rests on the word of the owner before, and raises the alarm gate.reregistered. It weakens and removes
nothing.

It is made to run daily. One question a second goes to one registry, at most --most a run, for the names first that were asked
longest ago; a registry that is busy or broken is left alone until the next run. Which registry knows a name stands in the
bootstrap registry of IANA (RFC 9224), https://data.iana.org/rdap/dns.json, as a file or a URL. Suffixes that nobody answers for
are counted, and nothing is said of them.

Exit codes: 0 asked, 1 the source has errors, 2 the bootstrap registry could not be read, 3 usage, 4 internal.`

const registrationsExample = `  $ starttls-list registrations list --bootstrap https://data.iana.org/rdap/dns.json --out /var/lib/policylist/registry
  300 registered names: 212 ok, 3 undated, 85 nobody; 41 asked, none left for later`

// registrationsFile is its name in a place.
const registrationsFile = "registrations.jsonl"

// registrationsFlags are the flags of "registrations" as given.
type registrationsFlags struct {
	bootstrap, out   string
	published, trust string
	most             int
	interval, every  time.Duration
	deadline         time.Duration
	loopback, asJSON bool
}

func newRegistrationsCommand() *cobra.Command {
	var f registrationsFlags
	c := &cobra.Command{
		Use: "registrations SOURCE --bootstrap FILE|URL --out PLACE", Short: "asks registries when the listed domains were registered", Long: registrationsLong,
		Example: registrationsExample, Args: exactly(1),
		RunE: func(c *cobra.Command, args []string) error { return f.run(c, args[0]) },
	}
	flags := c.Flags()
	flags.StringVar(&f.bootstrap, "bootstrap", "", "bootstrap registry for domain names (RFC 9224), a file or an https:// URL")
	flags.StringVar(&f.out, "out", "", "folder, or s3://bucket/prefix, for "+registrationsFile)
	flags.StringVar(&f.published, "published", "", "a mirror of the list, to ask also about what is listed and no longer in SOURCE")
	flags.StringVar(&f.trust, "trust", "", "with --published: file with the signed trust version to start from")
	flags.IntVar(&f.most, "most", 1000, "questions to one registry in one run")
	flags.DurationVar(&f.interval, "interval", time.Second, "time between two questions to one registry")
	flags.DurationVar(&f.every, "every", 20*time.Hour, "ask again about a name after this long")
	flags.DurationVar(&f.deadline, "deadline", 2*time.Hour, "longest duration of the run; the next one goes on")
	flags.BoolVar(&f.loopback, "allow-loopback", false, "permit registries on loopback, also over http")
	flags.BoolVar(&f.asJSON, "json", false, "print the counts as JSON")
	return c
}

func (f *registrationsFlags) check() error {
	switch {
	case f.bootstrap == "" || f.out == "":
		return errors.New("name the bootstrap registry with --bootstrap, and with --out the place for the answers")
	case (f.published != "") != (f.trust != ""):
		return errors.New("--published and --trust belong together: what a mirror itself serves proves nothing")
	case f.most < 1:
		return fmt.Errorf("--most: %d is no number of questions", f.most)
	case f.interval < 100*time.Millisecond && !f.loopback:
		return fmt.Errorf("--interval: more than ten questions a second (%s) are no manners", f.interval)
	case f.every < 0 || f.deadline <= 0:
		return errors.New("--every and --deadline take times above zero")
	}
	return nil
}

func (f *registrationsFlags) run(c *cobra.Command, source string) error {
	if err := f.check(); err != nil {
		return usage(c, err)
	}
	domains, err := f.domains(c, source)
	if err != nil {
		return err
	}
	place, err := openStore(c.Context(), f.out)
	if err != nil {
		return err
	}
	asker := registration.Asker{
		Agent: "starttls-list/" + version + " (registrations)", Interval: f.interval, Most: f.most, Every: f.every, Timeout: 30 * time.Second,
		Loopback: f.loopback, Now: time.Now, Sleep: sleep,
	}
	if asker.Bootstrap, err = f.readBootstrap(c.Context(), &asker); err != nil {
		return err
	}
	before, err := readRegistrations(c.Context(), place)
	if errors.Is(err, registration.ErrFile) {
		fmt.Fprintf(c.ErrOrStderr(), "starttls-list: what was known is damaged, and is asked for anew: %s\n", term.Escape(err.Error()))
	} else if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(c.Context(), f.deadline)
	defer cancel()
	file, report, err := asker.Ask(ctx, domains, before)
	if err != nil && !errors.Is(err, context.DeadlineExceeded) && !errors.Is(err, context.Canceled) {
		return err
	}
	// Also where the run ends in the middle: what was asked need not be asked again.
	data, err := file.Bytes()
	if err == nil {
		err = place.Put(context.WithoutCancel(c.Context()), mirror.Object{Path: registrationsFile, Data: data, ContentType: "application/x-ndjson", CacheControl: "no-store"})
	}
	if err != nil {
		return err
	}
	f.tell(c.OutOrStdout(), report)
	return c.Context().Err()
}

// domains are those of the source, and of the published list.
func (f *registrationsFlags) domains(c *cobra.Command, source string) (out []policy.Domain, err error) {
	checked, err := readSource(c, source, "")
	switch {
	case err != nil:
		return nil, err
	case policy.HasErrors(checked.Findings()):
		return nil, &term.Exit{Code: exitFail, Err: fmt.Errorf("the source %s has errors", source), Hint: "starttls-list check " + source + " lists them"}
	}
	all := probeFlags{published: f.published, trust: f.trust}
	targets, err := all.withPublished(c, targetsOf(checked.Entries()))
	for _, t := range targets {
		out = append(out, t.Domain)
	}
	return out, err
}

func (f *registrationsFlags) readBootstrap(ctx context.Context, a *registration.Asker) (registration.Bootstrap, error) {
	var data []byte
	var err error
	if strings.Contains(f.bootstrap, "://") {
		data, err = a.Fetch(ctx, f.bootstrap)
	} else {
		data, err = readFile(f.bootstrap, registration.MaxBootstrap)
	}
	var boot registration.Bootstrap
	if err == nil {
		boot, err = registration.ParseBootstrap(data)
	}
	if err != nil {
		return boot, &term.Exit{Code: exitInconclusive, Err: fmt.Errorf("--bootstrap: %w", err), Hint: "IANA's is https://data.iana.org/rdap/dns.json; a copy of it will do for months"}
	}
	return boot, nil
}

// readRegistrations is what is known; nothing where nobody asked yet.
func readRegistrations(ctx context.Context, place mirror.Reader) (registration.File, error) {
	data, err := place.Get(ctx, registrationsFile, registration.MaxFile)
	if errors.Is(err, fs.ErrNotExist) {
		return registration.File{}, nil
	}
	if err != nil {
		return registration.File{}, err
	}
	return registration.Parse(data)
}

func (f *registrationsFlags) tell(w io.Writer, r registration.Report) {
	if f.asJSON {
		json.NewEncoder(w).Encode(r)
		return
	}
	var parts []string
	for _, s := range []registration.Status{registration.OK, registration.Absent, registration.Undated, registration.Failed, registration.Nobody} {
		if n := r.Status[s]; n > 0 {
			parts = append(parts, fmt.Sprintf("%d %s", n, s))
		}
	}
	left := "none"
	if r.Left > 0 {
		left = fmt.Sprint(r.Left)
	}
	fmt.Fprintf(w, "%s: %s; %d asked, %s left for later\n", term.Plural(r.Domains, "registered name"), strings.Join(parts, ", "), r.Asked, left)
}

// sleep waits for d, or for the end of ctx.
func sleep(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-t.C:
		return nil
	}
}
