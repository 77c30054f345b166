package main

import (
	"bytes"
	"fmt"
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus/testutil/promlint"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"

	"github.com/starttls-everywhere/policylist/mirror/audit"
	"github.com/starttls-everywhere/policylist/policy"
)

// promText reads a metrics file, which Prometheus' own parser and linter have nothing to say against, and of which every
// name stands in the table.
func promText(t *testing.T, path string) string {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	parser := expfmt.NewTextParser(model.LegacyValidation)
	if _, err := parser.TextToMetricFamilies(bytes.NewReader(data)); err != nil {
		t.Errorf("%v\n%s", err, data)
	}
	problems, err := promlint.New(bytes.NewReader(data)).Lint()
	if err != nil || len(problems) > 0 {
		t.Errorf("%v %v", problems, err)
	}
	return string(data)
}

// rows are the table rows of a page whose first cell is code: that code, and the row.
func rows(page string) map[string]string {
	out := map[string]string{}
	for _, m := range regexp.MustCompile("(?m)^\\| `([^`]+)` \\|.*$").FindAllStringSubmatch(page, -1) {
		out[m[1]] = m[0]
	}
	return out
}

// The page about freshness says of codes, options, exit codes and metrics what the program says.
func TestFreshnessPage(t *testing.T) {
	data, err := os.ReadFile("../../mirror/audit/FRESHNESS.md")
	if err != nil {
		t.Fatal(err)
	}
	page := string(data)
	have := rows(page)
	want := map[string]string{}
	for _, c := range audit.Codes() {
		if strings.HasPrefix(c.ID, "freshness.") {
			severity := map[policy.Severity]string{policy.Error: "critical", policy.Warning: "warning", policy.Notice: "notice"}[c.Severity]
			if c.ID == audit.FreshUnreachable {
				severity = "unknown"
			}
			want[c.ID] = fmt.Sprintf("| `%s` | %s | %s |", c.ID, severity, c.Summary)
		}
	}
	for _, m := range freshnessTable {
		labels := ""
		for i, l := range m.Labels {
			labels += []string{"", ", "}[min(i, 1)] + "`" + l + "`"
		}
		want[m.Name] = fmt.Sprintf("| `%s` | %s | %s |", m.Name, labels, m.Help)
	}
	command := newFreshnessCommand()
	for _, name := range []string{"release-old", "release-stale", "life", "trust-soon", "trust-last", "cosignature-old", "mirror-lags", "mirror-stuck"} {
		f := command.Flags().Lookup(name)
		if f == nil {
			t.Fatalf("there is no --%s", name)
		}
		want["--"+name] = fmt.Sprintf("| `--%s` | %s | %s |", name, f.DefValue, f.Usage)
	}
	for name, row := range want {
		if strings.ReplaceAll(have[name], "|  |", "| |") != strings.ReplaceAll(row, "|  |", "| |") {
			t.Errorf("the page has\n%s\nwant\n%s", have[name], row)
		}
	}
	for name := range have {
		if _, ok := want[name]; !ok {
			t.Errorf("the page has %s, the program does not", name)
		}
	}
	for _, code := range []int{exitPass, exitFail, exitInconclusive, exitUsage, exitInternal, exitWarned, exitFork} {
		if !strings.Contains(page, fmt.Sprintf("\n| %d | ", code)) || !regexp.MustCompile(fmt.Sprintf(`\b%d `, code)).MatchString(freshnessLong) {
			t.Errorf("exit code %d is not explained", code)
		}
	}
}
