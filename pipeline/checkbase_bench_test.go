package pipeline_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/starttls-everywhere/policylist/pipeline"
)

// processorTime is what this process and its children, git among them, have used of the processors.
func processorTime(tb testing.TB) time.Duration {
	tb.Helper()
	var sum time.Duration
	for _, who := range []int{syscall.RUSAGE_SELF, syscall.RUSAGE_CHILDREN} {
		var u syscall.Rusage
		if err := syscall.Getrusage(who, &u); err != nil {
			tb.Fatal(err)
		}
		sum += time.Duration(u.Utime.Nano() + u.Stime.Nano())
	}
	return sum
}

// pullRequest is a list of n domains in fragments of per each, committed, with one domain more in the working tree.
func pullRequest(tb testing.TB, n, per int) (dir string, fragments [][]byte) {
	tb.Helper()
	dir, fragments = bulkSource(tb, n, per)
	r := repository{tb, dir}
	r.git("init", "-q", "-b", "main")
	r.git("-c", "user.name=test", "-c", "user.email=test@list.example", "commit", "-q", "--allow-empty", "-m", "empty")
	r.git("add", "-A")
	r.git("-c", "user.name=test", "-c", "user.email=test@list.example", "commit", "-q", "-m", "list")
	text, err := json.Marshal(map[string]any{"policies": map[string]any{
		"new.example": map[string]any{"mode": "testing", "mxs": []string{"mx.new.example"}}}})
	if err == nil {
		err = os.WriteFile(filepath.Join(dir, "new.json"), text, 0o644)
	}
	if err != nil {
		tb.Fatal(err)
	}
	return dir, fragments
}

func checkOne(tb testing.TB, dir string) {
	tb.Helper()
	checked, err := pipeline.CheckAgainst(tb.Context(), dir, "HEAD")
	if err != nil || len(checked.Findings()) > 0 || len(checked.Changes()) != 1 || checked.Changes()[0].Domain.String() != "new.example" {
		tb.Fatal(err, checked.Findings(), len(checked.Changes()))
	}
}

// BenchmarkCheckBase100k is the check of a pull request that adds one domain to 100,000 in 1,000 fragments: cpu-s is the
// time of processors that it takes, git's included, and x-decode how many times that of a bare decode of the list as it is
// now, measured in turns. The aim is below one second.
func BenchmarkCheckBase100k(b *testing.B) {
	dir, fragments := pullRequest(b, 100_000, 100)
	var check, decode time.Duration
	for b.Loop() {
		start := processorTime(b)
		checkOne(b, dir)
		mid := processorTime(b)
		decodeAll(b, fragments)
		check, decode = check+mid-start, decode+processorTime(b)-mid
	}
	b.ReportMetric(check.Seconds()/float64(b.N), "cpu-s")
	b.ReportMetric(float64(check)/float64(decode), "x-decode")
}
