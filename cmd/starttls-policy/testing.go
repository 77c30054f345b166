package main

import (
	"cmp"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/starttls-everywhere/policylist/mirror/trial"
	"github.com/starttls-everywhere/policylist/policy"
)

const (
	testingFiles = "testing-" // begins the names of the files in the state folder
	tallyFile    = testingFiles + "tally.json"
	probesFile   = testingFiles + "probes.json"
)

// testingReport is what is known of listed domains from mail that went there, and from the probes.
type testingReport struct {
	Log     *logReport     `json:"log,omitempty"` // nil: no log is configured
	Omitted int            `json:"omitted,omitempty"`
	Domains []testedDomain `json:"domains,omitempty"` // those with failures first
	Error   string         `json:"error,omitempty"`
	// Told says that [feedback] tells the list's operator of the log, in its form.
	Told bool `json:"told,omitempty"`
}

// logReport says how the log was read.
type logReport struct {
	Files   []string `json:"files"`
	Lines   int64    `json:"lines"`
	Mails   int64    `json:"deliveries"`
	Rotated bool     `json:"rotated,omitempty"`
	Gap     bool     `json:"gap,omitempty"`
	TLS     bool     `json:"tls_logged"` // false: nothing can be said about certificates
	Error   string   `json:"error,omitempty"`
}

// testedDomain is one domain: its deliveries of the last days, and its last probe.
type testedDomain struct {
	Domain string `json:"domain"`
	Mode   string `json:"mode"`
	trial.Day
	Failures int64             `json:"failures"`
	Probe    string            `json:"probe,omitempty"` // the verdict
	Probed   string            `json:"probed,omitempty"`
	Hosts    []trial.HostVisit `json:"hosts,omitempty"`
}

// listedBy looks domains up in the lists as they are held. What is wrong with a list is told elsewhere.
func (a *app) listedBy(cfg config) (trial.Listed, error) {
	decider, err := a.localDecider(cfg, false)
	if err != nil {
		return nil, err
	}
	return decider.Listed, nil
}

// readLog counts what the log has more than at the last update. Nothing that goes wrong here makes an update fail.
func (a *app) readLog(cfg config) *logReport {
	if cfg.Testing.Log == "" {
		return nil
	}
	listed, err := a.listedBy(cfg)
	if err != nil {
		return &logReport{Files: []string{string(cfg.Testing.Log)}, Error: flat{err}.Error()}
	}
	tally, r := a.continueLog(cfg, listed)
	if r.Error != "" {
		return r
	}
	if err := tally.Save(filepath.Join(cfg.State, tallyFile)); err != nil {
		r.Error = flat{err}.Error()
	}
	return r
}

// continueLog reads the log from where it was left, and saves nothing.
func (a *app) continueLog(cfg config, listed trial.Listed) (*trial.Tally, *logReport) {
	r := &logReport{Files: []string{string(cfg.Testing.Log)}}
	tally, err := trial.LoadTally(filepath.Join(cfg.State, tallyFile))
	if err != nil {
		a.complain("the counts of deliveries begin anew: %v", err)
		tally = &trial.Tally{}
	}
	reading, err := tally.Read(string(cfg.Testing.Log), a.now(), listed)
	if err != nil {
		r.Error = flat{err}.Error()
	}
	r.Lines, r.Mails, r.Rotated, r.Gap = reading.Lines, reading.Attempts, reading.Rotated, reading.Gap
	r.TLS = a.now().Sub(tally.LogsTLS).Abs() < trial.Days*24*time.Hour
	return tally, r
}

// walkLogs counts whole logs, as status --log does.
func (a *app) walkLogs(paths []string, listed trial.Listed) (*trial.Tally, *logReport, error) {
	tally, r := &trial.Tally{}, &logReport{Files: paths}
	for _, path := range paths {
		f, err := os.Open(path)
		if err != nil {
			return nil, nil, err
		}
		s, err := tally.Walk(f, a.now(), listed)
		f.Close()
		if err != nil {
			return nil, nil, fmt.Errorf("%s: %w", path, err)
		}
		r.Lines, r.Mails, r.TLS = r.Lines+s.Lines, r.Mails+s.Attempts, r.TLS || s.Connections > 0
	}
	return tally, r, nil
}

// testingStatus is what status tells; nil when [testing] is not configured and no log is named.
func (a *app) testingStatus(cfg config, logs []string) (*testingReport, error) {
	if len(logs) == 0 && cfg.Testing.Log == "" && !cfg.Testing.probes() {
		return nil, nil
	}
	listed, err := a.listedBy(cfg)
	if err != nil {
		return nil, err
	}
	r, tally := &testingReport{}, &trial.Tally{}
	switch {
	case len(logs) > 0:
		if tally, r.Log, err = a.walkLogs(logs, listed); err != nil {
			return nil, err
		}
	case cfg.Testing.Log != "":
		tally, r.Log = a.continueLog(cfg, listed)
	}
	visits, err := trial.ReadVisits(filepath.Join(cfg.State, probesFile))
	if err != nil {
		r.Error = flat{err}.Error()
	}
	if !cfg.Testing.probes() {
		visits = nil // of another time
	}
	r.Omitted = tally.Omitted
	r.Told = cfg.Feedback != nil && cfg.Feedback.Source == fromLog
	r.take(listed, tally, visits)
	return r, nil
}

// take joins both by domain. What is listed no more is left out.
func (r *testingReport) take(listed trial.Listed, tally *trial.Tally, visits []trial.Visit) {
	domains := map[string]*testedDomain{}
	row := func(name string) *testedDomain {
		d, errName := policy.ParseDomain(name)
		p, ok := listed(d)
		if errName != nil || !ok {
			return nil
		}
		if domains[name] == nil {
			domains[name] = &testedDomain{Domain: name, Mode: p.Mode.String()}
		}
		return domains[name]
	}
	for _, t := range tally.Domains {
		if d := row(t.Domain); d != nil {
			d.Day = t.Sum()
			d.Failures = d.Day.Failures()
		}
	}
	for _, v := range visits {
		if v.At.IsZero() {
			continue
		}
		if d := row(v.Domain); d != nil {
			d.Probe, d.Probed, d.Hosts = v.Verdict(), stamp(v.At), v.Hosts
		}
	}
	for _, d := range domains {
		r.Domains = append(r.Domains, *d)
	}
	slices.SortFunc(r.Domains, func(x, y testedDomain) int {
		return cmp.Or(-cmp.Compare(x.bad(), y.bad()), -cmp.Compare(x.Deliveries, y.Deliveries), cmp.Compare(x.Domain, y.Domain))
	})
}

// bad orders what a person should see first.
func (d testedDomain) bad() int64 {
	switch d.Probe {
	case "fail":
		return d.Failures + 2
	case "partial":
		return d.Failures + 1
	}
	return d.Failures
}

func (r testingReport) print(w io.Writer) {
	whom := "sent to nobody"
	if r.Told {
		whom = "and told to the list's operator in rough numbers, see feedback below"
	}
	line(w, "listed domains that mail went to, last %d days in UTC; counted on this machine, %s:", trial.Days, whom)
	if r.Log != nil {
		r.Log.print(w)
	}
	if r.Error != "" {
		line(w, "  probes: %s", r.Error)
	}
	if len(r.Domains) == 0 {
		line(w, "  none")
	}
	for _, d := range r.Domains[:min(len(r.Domains), maxShown)] {
		d.print(w)
	}
	if more := len(r.Domains) - maxShown; more > 0 {
		line(w, "  and %d more; --json has all", more)
	}
	if r.Omitted > 0 {
		line(w, "  %d deliveries were to domains beyond the most that are counted", r.Omitted)
	}
}

func (r logReport) print(w io.Writer) {
	name := strings.Join(r.Files, ", ")
	switch {
	case r.Error != "":
		line(w, "  log %s NOT READ, what was counted before stays: %s", name, r.Error)
	case !r.TLS:
		line(w, "  log %s says nothing about TLS; main.cf needs smtp_tls_loglevel = 1", name)
	}
	if r.Gap {
		line(w, "  log %s: some of it could not be found any more", name)
	}
}

func (d testedDomain) print(w io.Writer) {
	failed := "would have failed"
	if d.Mode == policy.Enforce.String() {
		failed = "failed, or would have"
	}
	if d.Deliveries > 0 {
		text := fmt.Sprintf("%d deliveries: %d verified, %d by a trusted CA, %d unknown, %d %s", d.Deliveries, d.Verified, d.Trusted, d.Unknown, d.Failures, failed)
		for _, code := range slices.Sorted(maps.Keys(d.Failed)) {
			text += fmt.Sprintf("; %s %d", code, d.Failed[code])
		}
		if d.Example != "" {
			text += " (" + d.Example + ")"
		}
		line(w, "  %s (%s): %s", d.Domain, d.Mode, text)
	} else {
		line(w, "  %s (%s)", d.Domain, d.Mode)
	}
	if d.Probe == "" {
		return
	}
	line(w, "    probe %s: %s", d.Probed, d.Probe)
	for _, h := range d.Hosts {
		if h.Code != trial.CodeGood {
			line(w, "      %s %s %s", h.Host, h.Code, h.Detail)
		}
	}
}
