package tlsrpt_test

import (
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/starttls-everywhere/policylist/pipeline/lab"
	intake "github.com/starttls-everywhere/policylist/pipeline/tlsrpt"
	"github.com/starttls-everywhere/policylist/policy"
	"github.com/starttls-everywhere/policylist/policy/discovery"
	"github.com/starttls-everywhere/policylist/policy/tlsrpt"
)

// host is where the world's intake is reached.
const host = "reports.operator.example"

// clock is a time that a test moves.
type clock struct {
	mu sync.Mutex
	t  time.Time
}

func (c *clock) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.t
}

func (c *clock) pass(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.t = c.t.Add(d)
}

// world is a store, a lab whose DNS has the records of domains, and a clock that begins at noon of 2026-01-11.
type world struct {
	t     testing.TB
	dir   string
	clock *clock
	store *intake.Store
	lab   *lab.Lab
	dns   *discovery.Client
}

func newWorld(t testing.TB, opts intake.Options) *world {
	t.Helper()
	w := &world{t: t, dir: t.TempDir() + "/store", clock: &clock{t: time.Date(2026, 1, 11, 12, 0, 0, 0, time.UTC)}}
	w.store = w.open(opts)
	return w
}

func (w *world) open(opts intake.Options) *intake.Store {
	w.t.Helper()
	opts.Now = w.clock.now
	s, err := intake.Open(w.dir, opts)
	if err != nil {
		w.t.Fatal(err)
	}
	return s
}

// startLab gives the world its DNS.
func (w *world) startLab() {
	w.t.Helper()
	l, err := lab.Start(w.t.Context(), lab.Options{})
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(l.Close)
	w.lab = l
	if w.dns, err = discovery.NewClient(discovery.Options{Resolver: l.Resolver(), Timeout: 2 * time.Second}); err != nil {
		w.t.Fatal(err)
	}
}

// enrolled enrols domains by their own records.
func (w *world) enrolled(names ...string) {
	w.t.Helper()
	if w.lab == nil {
		w.startLab()
	}
	for _, name := range names {
		d := domain(w.t, name)
		token, err := w.store.Enrol(w.t.Context(), d)
		if err != nil {
			w.t.Fatal(err)
		}
		w.record(name, "v=TLSRPTv1; rua=mailto:tls@"+name+","+intake.ReportURI(host, token))
		if e, err := w.store.Look(w.t.Context(), w.dns, host, d); err != nil || e.State != intake.Enrolled {
			w.t.Fatalf("%s: %+v, %v", name, e, err)
		}
	}
}

// record puts the TXT records of a domain's TLSRPT in place of what there was.
func (w *world) record(name string, txts ...string) {
	w.t.Helper()
	if err := w.lab.RemoveRecords("_smtp._tls."+name, "TXT"); err != nil {
		w.t.Fatal(err)
	}
	for _, txt := range txts {
		quoted := ""
		for ; len(txt) > 200; txt = txt[200:] {
			quoted += fmt.Sprintf("%q ", txt[:200])
		}
		if err := w.lab.AddRecord("_smtp._tls." + name + " 60 IN TXT " + quoted + fmt.Sprintf("%q", txt)); err != nil {
			w.t.Fatal(err)
		}
	}
}

func domain(t testing.TB, name string) policy.Domain {
	t.Helper()
	d, err := policy.ParseDomain(name)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func day(t testing.TB, text string) tlsrpt.Day {
	t.Helper()
	d, err := tlsrpt.ParseDay(text)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// reportText is a report of 2026-01-10 about domains, with so many good and expired sessions for each.
func reportText(org, id string, good, failed int, domains ...string) string {
	policies := ""
	for i, d := range domains {
		if i > 0 {
			policies += ","
		}
		details := ""
		if failed > 0 {
			details = fmt.Sprintf(`,"failure-details":[{"result-type":"certificate-expired","failed-session-count":%d}]`, failed)
		}
		policies += fmt.Sprintf(`{"policy":{"policy-type":"sts","policy-domain":%q},"summary":{"total-successful-session-count":%d,"total-failure-session-count":%d}%s}`,
			d, good, failed, details)
	}
	return fmt.Sprintf(`{"organization-name":%q,"date-range":{"start-datetime":"2026-01-10T00:00:00Z","end-datetime":"2026-01-10T23:59:59Z"},`+
		`"contact-info":"tls@sender.example","report-id":%q,"policies":[%s]}`, org, id, policies)
}

// document reads a report as the intake does.
func document(t testing.TB, body, submitter string) intake.Document {
	t.Helper()
	r, err := tlsrpt.Read([]byte(body), tlsrpt.DefaultLimits())
	if err != nil {
		t.Fatal(err)
	}
	d := intake.Document{Report: r, Body: []byte(body), Via: intake.ViaMail}
	if submitter != "" {
		d.Submitter = domain(t, submitter)
	}
	return d
}

// rows returns what the store has of a day, a line each.
func rows(t testing.TB, s *intake.Store, text string) (all []string) {
	t.Helper()
	err := s.Rows(t.Context(), day(t, text), day(t, text), func(r intake.Row) error {
		all = append(all, fmt.Sprintf("%s %s %v: %d reports, %d sessions, %d failed", r.Domain, r.Reporter, r.Authenticated, r.Reports, r.Sessions, r.Failed))
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}
