package main

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/starttls-everywhere/policylist/cmd/internal/exposition"
	"github.com/starttls-everywhere/policylist/mirror/storetest/tool"
)

var (
	quoted    = regexp.MustCompile(`"(\\.|[^"\\])*"`)
	selector  = regexp.MustCompile(`\{[^{}]*\}`)
	grouping  = regexp.MustCompile(`\b(by|without|on|ignoring) *\(([^()]*)\)`)
	interval  = regexp.MustCompile(`\[[^\[\]]*\]`)
	bareword  = regexp.MustCompile(`[a-zA-Z_:][a-zA-Z0-9_:]*( *\()?`)
	labelName = regexp.MustCompile(`[a-z_]+`)
)

// scraped are the labels that Prometheus itself gives to everything, and "up" is its metric.
var scraped = []string{"instance", "job"}

// checkQuery tells what is wrong with the names in a PromQL expression: metrics that there are none of, labels that none
// of its metrics has.
func checkQuery(expr string) error {
	table := slices.Concat(standingMetrics, staticMetrics, daemonMetrics, []exposition.Metric{{Name: "up"}})
	bare := quoted.ReplaceAllString(expr, "")
	var labels []string
	for _, s := range selector.FindAllString(bare, -1) {
		labels = append(labels, labelName.FindAllString(s, -1)...)
	}
	for _, g := range grouping.FindAllStringSubmatch(bare, -1) {
		labels = append(labels, labelName.FindAllString(g[2], -1)...)
	}
	for _, r := range []*regexp.Regexp{selector, grouping, interval} {
		bare = r.ReplaceAllString(bare, " ")
	}
	known, metrics := slices.Clone(scraped), 0
	for _, word := range bareword.FindAllString(bare, -1) {
		i := slices.IndexFunc(table, func(m exposition.Metric) bool { return m.Name == word })
		switch {
		case strings.HasSuffix(word, "("), word == "and", word == "or", word == "unless":
		case i < 0:
			return fmt.Errorf("there is no metric %q in %s", word, expr)
		default:
			metrics++
			known = append(known, table[i].Labels...)
		}
	}
	for _, l := range labels {
		if !slices.Contains(known, l) {
			return fmt.Errorf("none of the metrics has the label %q in %s", l, expr)
		}
	}
	if metrics == 0 {
		return fmt.Errorf("there is no metric in %s", expr)
	}
	return nil
}

func TestCheckQuery(t *testing.T) {
	for expr, want := range map[string]string{
		`starttls_policy_disabled == 1`: "",
		`sum by (source) (rate(starttls_policy_lookups_total{result="temp {x}"}[5m]))`: "",
		`label_values(starttls_policy_list_release{instance=~"$instance"}, list)`:      "no metric \"list\"",
		`startls_policy_disabled == 1`:                    "no metric \"startls_policy_disabled\"",
		`sum by (domain) (starttls_policy_lookups_total)`: "label \"domain\"",
		`starttls_policy_disabled{list="x"}`:              "label \"list\"",
		`time()`:                                          "there is no metric",
		`starttls_policy_disabled and on (instance) starttls_policy_list_evidence{list="a"} > 0`: "",
	} {
		if err := checkQuery(expr); fmt.Sprint(err) != "<nil>" && want == "" || want != "" && !strings.Contains(fmt.Sprint(err), want) {
			t.Errorf("%s: %v, want %q", expr, err, want)
		}
	}
}

// expressions are the values of "expr" anywhere in a JSON document.
func expressions(v any) (out []string) {
	switch v := v.(type) {
	case map[string]any:
		if s, ok := v["expr"].(string); ok {
			out = append(out, s)
		}
		for _, x := range v {
			out = append(out, expressions(x)...)
		}
	case []any:
		for _, x := range v {
			out = append(out, expressions(x)...)
		}
	}
	return out
}

// Every query of the dashboard is about metrics and labels that there are, and one that Prometheus takes; every metric
// is on it.
func TestDashboard(t *testing.T) {
	data, err := os.ReadFile("grafana/starttls-policy.json")
	if err != nil {
		t.Fatal(err)
	}
	var dashboard struct {
		Panels []struct {
			ID      int
			Title   string
			GridPos struct{ X, Y, W, H int }
		}
		Templating struct{ List []struct{ Definition string } }
	}
	var all any
	if err := json.Unmarshal(data, &all); err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(data, &dashboard); err != nil {
		t.Fatal(err)
	}
	queries := expressions(all)
	if len(queries) < 30 {
		t.Errorf("%d queries", len(queries))
	}
	rules := "groups:\n- name: dashboard\n  rules:\n"
	for i, q := range queries {
		if err := checkQuery(q); err != nil {
			t.Error(err)
		}
		q = strings.NewReplacer("$instance", ".*", "$list", ".*", "$__rate_interval", "5m").Replace(q)
		rules += fmt.Sprintf("  - record: q%d\n    expr: %q\n", i, q)
	}
	for _, v := range dashboard.Templating.List {
		name, _, _ := strings.Cut(strings.TrimPrefix(v.Definition, "label_values("), ",")
		if v.Definition != "" && checkQuery(name) != nil {
			t.Errorf("a variable asks for %s: %v", v.Definition, checkQuery(name))
		}
	}
	for _, m := range slices.Concat(standingMetrics, staticMetrics, daemonMetrics) {
		if !strings.Contains(string(data), m.Name) {
			t.Errorf("%s is not on the dashboard", m.Name)
		}
	}
	seen := map[int]bool{}
	for i, p := range dashboard.Panels {
		g := p.GridPos
		if seen[p.ID] || g.X < 0 || g.W < 1 || g.X+g.W > 24 || g.H < 1 {
			t.Errorf("panel %q: number %d, place %+v", p.Title, p.ID, g)
		}
		seen[p.ID] = true
		for _, other := range dashboard.Panels[:i] {
			if o := other.GridPos; g.X < o.X+o.W && o.X < g.X+g.W && g.Y < o.Y+o.H && o.Y < g.Y+g.H {
				t.Errorf("panel %q lies over %q", p.Title, other.Title)
			}
		}
	}
	file := filepath.Join(t.TempDir(), "rules.yml")
	if err := os.WriteFile(file, []byte(rules), 0o644); err != nil {
		t.Fatal(err)
	}
	promtool(t, "check", "rules", file)
}

// The alerts are about metrics that there are, and fire when their test says so, in Prometheus' own words.
func TestAlerts(t *testing.T) {
	data, err := os.ReadFile("prometheus/alerts.yml")
	if err != nil {
		t.Fatal(err)
	}
	tests, err := os.ReadFile("prometheus/alerts_test.yml")
	if err != nil {
		t.Fatal(err)
	}
	rules := strings.Split(string(data), "- alert: ")[1:]
	for _, r := range rules {
		name, rest, _ := strings.Cut(r, "\n")
		_, expr, _ := strings.Cut(rest, "expr: ")
		expr, _, _ = strings.Cut(expr, "labels: {")
		expr, _, _ = strings.Cut(expr, "for: ")
		if err := checkQuery(strings.TrimPrefix(strings.TrimSpace(expr), "|")); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if n := strings.Count(string(tests), "alertname: "+name); n < 2 {
			t.Errorf("%s is asked about %d times in its test: once before it fires, once when it does", name, n)
		}
	}
	if len(rules) < 10 {
		t.Errorf("%d alerts", len(rules))
	}
	promtool(t, "check", "rules", "prometheus/alerts.yml")
	promtool(t, "test", "rules", "prometheus/alerts_test.yml")
	broken := t.TempDir()
	for name, text := range map[string][]byte{"alerts.yml": []byte(strings.Replace(string(data), "> 0.5", "> 0.9", 1)), "alerts_test.yml": tests} {
		if err := os.WriteFile(filepath.Join(broken, name), text, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if out, err := exec.Command(promtoolPath(t), "test", "rules", filepath.Join(broken, "alerts_test.yml")).CombinedOutput(); err == nil {
		t.Errorf("another threshold passes the test:\n%s", out)
	}
}

// The metrics are what promtool takes.
func TestPromtoolTakesMetrics(t *testing.T) {
	m := newMachine(t, "")
	cmd := exec.Command(promtoolPath(t), "check", "metrics")
	cmd.Stdin = strings.NewReader(m.runs(0, "status", "--prometheus"))
	if out, err := cmd.CombinedOutput(); err != nil || len(out) > 0 {
		t.Errorf("%v\n%s", err, out)
	}
}

func promtoolPath(t *testing.T) string {
	return filepath.Join(tool.Tree(t, "prometheus"), "usr/bin/promtool")
}

func promtool(t *testing.T, args ...string) {
	t.Helper()
	if out, err := exec.Command(promtoolPath(t), args...).CombinedOutput(); err != nil {
		t.Errorf("promtool %q: %v\n%s", args, err, out)
	}
}
