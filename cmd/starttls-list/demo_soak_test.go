package main

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"

	"github.com/starttls-everywhere/policylist/cmd/internal/soak"
)

// TestDemoSoak lets the program run a short soak, whose parts are processes of it.
func TestDemoSoak(t *testing.T) {
	var out, errs bytes.Buffer
	if code := run(t.Context(), []string{"demo", "--soak", "1ms", "--fault-every", "1ms", "--seed", "29", "--json"}, nil, &out, &errs); code != 0 {
		t.Fatalf("exit code %d\n%s%s", code, out.String(), errs.String())
	}
	var report soak.Report
	if err := json.Unmarshal(out.Bytes(), &report); err != nil {
		t.Fatal(err)
	}
	if report.Seed != 29 || report.Killed["publisher"] == 0 || report.Wrong.Total() > 0 || report.Answers == 0 {
		t.Errorf("%+v", report)
	}
	for _, args := range [][]string{{"--seed", "1"}, {"--json"}, {"--soak", "-1s"}, {"--soak", "0s"}, {"--soak", "1s", "--fault-every", "0s"}} {
		if code := run(t.Context(), append([]string{"demo"}, args...), nil, &out, &errs); code != exitUsage {
			t.Errorf("demo %v: exit code %d", args, code)
		}
	}
	// Whoever names the gateway wants S3, and no folder in its place.
	errs.Reset()
	if code := run(t.Context(), []string{"demo", "--soak", "1ms", "--versitygw", t.TempDir() + "/absent"}, nil, &out, &errs); code == 0 || !strings.Contains(errs.String(), "does not start") {
		t.Errorf("a gateway that is not there: exit code %d, %s", code, errs.String())
	}
}
