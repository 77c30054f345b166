package main

import (
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil/promlint"
	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"

	"github.com/starttls-everywhere/policylist/cmd/internal/exposition"
	"github.com/starttls-everywhere/policylist/policy"
)

func parseMetrics(t *testing.T, text string) map[string]*dto.MetricFamily {
	t.Helper()
	parser := expfmt.NewTextParser(model.LegacyValidation)
	families, err := parser.TextToMetricFamilies(strings.NewReader(text))
	if err != nil {
		t.Fatalf("%v\n%s", err, text)
	}
	return families
}

// value finds the sample with these label values, in the metric's order.
func value(t *testing.T, families map[string]*dto.MetricFamily, name string, labels ...string) float64 {
	t.Helper()
	for _, m := range families[name].GetMetric() {
		var got []string
		for _, l := range m.GetLabel() {
			got = append(got, l.GetValue())
		}
		if slices.Equal(got, labels) {
			return m.GetCounter().GetValue() + m.GetGauge().GetValue()
		}
	}
	t.Errorf("no sample of %s with %q", name, labels)
	return -1
}

// judge has Prometheus' parser and linter look at a text, and holds its metrics together with the table.
func judge(t *testing.T, text string, table []exposition.Metric) map[string]*dto.MetricFamily {
	t.Helper()
	families := parseMetrics(t, text)
	problems, err := promlint.New(strings.NewReader(text)).Lint()
	if err != nil || len(problems) > 0 {
		t.Errorf("promlint: %v %v", problems, err)
	}
	for _, m := range table {
		if families[m.Name] == nil {
			t.Errorf("%s is missing", m.Name)
		}
	}
	if len(families) != len(table) {
		t.Errorf("%d metrics, the table has %d", len(families), len(table))
	}
	return families
}

// The linter is there to find what is wrong.
func TestJudgeFindsFaults(t *testing.T) {
	problems, err := promlint.New(strings.NewReader("# HELP x_count_milliseconds y\n# TYPE x_count_milliseconds counter\nx_count_milliseconds 1\n")).Lint()
	if err != nil || len(problems) == 0 {
		t.Errorf("promlint finds nothing in a bad metric: %v", err)
	}
}

// watched is a configuration with a textfile and overrides, one of which has ended.
const watched = `[metrics]
textfile = "DIR/prom/starttls-policy.prom"
[[override]]
domain = "past.example"
reason = "x"
until = "2026-02-01"
[[override]]
domain = "now.example"
reason = "x"
`

// What "status --prometheus" prints follows the lists.
func TestStatusPrometheus(t *testing.T) {
	m := newMachine(t, watched)
	families := judge(t, m.runs(0, "status", "--prometheus"), slices.Concat(standingMetrics, staticMetrics))
	unix := func(s string) float64 {
		at, err := policy.ParseTime(s)
		if err != nil {
			t.Fatal(err)
		}
		return float64(at.Unix())
	}
	for _, c := range []struct {
		name   string
		labels []string
		want   float64
	}{
		{"list_release", []string{"example"}, 1},
		{"list_domains", []string{"example"}, 2},
		{"list_state", []string{"example", "fresh"}, 1},
		{"list_state", []string{"example", "expired"}, 0},
		{"list_made_timestamp_seconds", []string{"example"}, unix("2026-03-01T12:00:00Z")},
		{"list_expires_timestamp_seconds", []string{"example"}, unix("2026-03-15T12:00:00Z")},
		{"list_confirmed_timestamp_seconds", []string{"example"}, unix("2026-03-01T13:00:00Z")},
		{"trust_expires_timestamp_seconds", []string{"example"}, unix("2027-03-01T12:00:00Z")},
		{"trust_version", []string{"example"}, 1},
		{"updates_total", []string{"fresh"}, 1},
		{"updates_total", []string{"no_mirror"}, 0},
		{"overrides", []string{"active"}, 1},
		{"overrides", []string{"expired"}, 1},
		{"outputs_current", nil, 1},
		{"left_out_domains", nil, 0},
		{"list_pinned", []string{"example"}, 0},
		{"disabled", nil, 0},
	} {
		if got := value(t, families, metricPrefix+c.name, c.labels...); got != c.want {
			t.Errorf("%s %q: %f, want %f", c.name, c.labels, got, c.want)
		}
	}
}

// Mirrors that fail count, over several updates, also for the textfile; its judgement is nobody's exit code.
func TestTextfileFollowsUpdates(t *testing.T) {
	m := newMachine(t, watched)
	if err := os.Rename(m.dir+"/public", m.dir+"/gone"); err != nil {
		t.Fatal(err)
	}
	m.at = m.at.Add(50 * time.Hour)
	m.runs(exitNoMirror, "update")
	m.runs(exitNoMirror, "update")
	m.runs(0, "disable", "--reason", "x")
	text, err := os.ReadFile(m.dir + "/prom/starttls-policy.prom")
	if err != nil {
		t.Fatal(err)
	}
	families := judge(t, string(text), slices.Concat(standingMetrics, staticMetrics))
	for name, want := range map[string]float64{"updates_total no_mirror": 2, "updates_total fresh": 1, "mirror_errors_total example": 2,
		"list_state example stale": 1, "list_state example fresh": 0, "disabled": 1} {
		words := strings.Fields(name)
		if got := value(t, families, metricPrefix+words[0], words[1:]...); got != want {
			t.Errorf("%s: %f, want %f", name, got, want)
		}
	}
	if other := m.runs(0, "status", "--prometheus"); other != string(text) {
		t.Errorf("the textfile is not what status prints:\n%s\n%s", text, other)
	}
	if strings.Contains(string(text), ".example\"") {
		t.Errorf("there is a domain in it:\n%s", text)
	}
}

// One file that is not as it should be is enough, be it the table or another.
func TestOutputsCurrent(t *testing.T) {
	m := newMachine(t, "[postfix]\nmap = \"DIR/table\"\n[[export]]\nformat = \"json\"\nfile = \"DIR/x.json\"\n")
	for _, c := range []struct {
		file string
		want float64
	}{{"", 1}, {"table", 0}, {"x.json", 0}} {
		m.runs(0, "update")
		if c.file != "" {
			if err := os.WriteFile(filepath.Join(m.dir, c.file), []byte("# another\n"), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		if got := value(t, parseMetrics(t, m.runs(0, "status", "--prometheus")), metricPrefix+"outputs_current"); got != c.want {
			t.Errorf("%q: %f, want %f", c.file, got, c.want)
		}
	}
}

// The daemon's metrics follow what it is asked, and hold no domain.
func TestDaemonMetrics(t *testing.T) {
	m := newMachine(t, "")
	s := m.serving(io.Discard)
	ask := func(mapName, key string) { withRefresh{s}.Answer(t.Context(), mapName, key) }
	s.current.Load().Live = nil // nobody is asked
	ask("floor", "a.example")
	ask("floor", "a.example")
	ask("tlsrpt", "t.example")
	ask("sni", ".example")
	families := judge(t, string(s.metricsText()), slices.Concat(standingMetrics, daemonMetrics))
	for name, want := range map[string]float64{
		"lookups_total list policy floor": 2, "lookups_total list notfound tlsrpt": 1, "lookups_total none notfound sni": 0,
		"lookups_without_domain_total": 1, "list_reloads_total ok": 1, "list_domains example": 2, "list_state example fresh": 1,
		"updates_total fresh": 1, "stopping": 0, "cache_entries mx": 0,
	} {
		words := strings.Fields(name)
		if got := value(t, families, metricPrefix+words[0], words[1:]...); got != want {
			t.Errorf("%s: %f, want %f", name, got, want)
		}
	}
	for _, r := range []string{"a.example", "t.example"} {
		if strings.Contains(string(s.metricsText()), r) {
			t.Errorf("%s is in the metrics", r)
		}
	}
	// Time alone makes a list stale, and ends it.
	for _, c := range []struct {
		after   time.Duration
		state   string
		domains float64
	}{{49 * time.Hour, "stale", 2}, {15 * 24 * time.Hour, "expired", 0}} {
		m.at = time.Date(2026, 3, 1, 13, 0, 0, 0, time.UTC).Add(c.after)
		families := parseMetrics(t, string(s.metricsText()))
		if value(t, families, metricPrefix+"list_state", "example", c.state) != 1 || value(t, families, metricPrefix+"list_domains", "example") != c.domains {
			t.Errorf("after %s the list is not %s", c.after, c.state)
		}
	}
}

// The page has a row for each metric, and no other.
func TestUsagePageMetrics(t *testing.T) {
	page, err := os.ReadFile("../../mirror/USAGE.md")
	if err != nil {
		t.Fatal(err)
	}
	rows := regexp.MustCompile("(?m)^\\| `((?:starttls_policy|process)_[a-z_]+)`.*$").FindAllStringSubmatch(string(page), -1)
	var got []string
	for _, r := range rows {
		got = append(got, r[0])
	}
	var want []string
	for _, part := range []struct {
		where   string
		metrics []exposition.Metric
	}{{"both", standingMetrics}, {"table", staticMetrics}, {"daemon", daemonMetrics}} {
		for _, m := range part.metrics {
			want = append(want, metricRow(m, part.where))
		}
	}
	if !slices.Equal(got, want) {
		t.Errorf("the page's table is not that of the metrics; it should be\n%s", strings.Join(want, "\n"))
	}
	for _, state := range healthStates {
		if !strings.Contains(string(page), "`"+state+"`") {
			t.Errorf("the page does not explain the health %q", state)
		}
	}
}

func metricRow(m exposition.Metric, where string) string {
	labels := ""
	for i, l := range m.Labels {
		if i > 0 {
			labels += ", "
		}
		labels += "`" + l + "`"
	}
	return fmt.Sprintf("| `%s` | %s | %s | %s | %s |", m.Name, m.Kind, labels, where, m.Help)
}

// A scrape over the wire; the daemon serves it while it answers its last questions.
func TestMetricsListener(t *testing.T) {
	m := newMachine(t, "[serve]\nsources = [\"list\"]\nmetrics = \"127.0.0.1:0\"\n")
	var log lockedLog
	s := m.serving(&log)
	stop := s.serveWeb(t.Context())
	address := regexp.MustCompile(`msg="metrics and health" address=(\S+)`).FindStringSubmatch(log.String())
	if address == nil {
		t.Fatalf("no address in the log:\n%s", log.String())
	}
	s.stopping.Store(true)
	resp, err := http.Get("http://" + address[1] + "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil || value(t, parseMetrics(t, string(text)), metricPrefix+"stopping") != 1 {
		t.Errorf("%v\n%s", err, text)
	}
	// An address that is taken costs the metrics, not the answers.
	cfg := *s.config.Serve
	if err := cfg.Metrics.UnmarshalText([]byte(address[1])); err != nil {
		t.Fatal(err)
	}
	s.config.Serve = &cfg
	s.serveWeb(t.Context())()
	if !strings.Contains(log.String(), `level=ERROR msg="no metrics and no health"`) {
		t.Errorf("nothing is said of a taken address:\n%s", log.String())
	}
	stop()
	if _, err := http.Get("http://" + address[1] + "/metrics"); err == nil {
		t.Error("it goes on after its end")
	}
}
