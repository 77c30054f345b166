package tilelog

import (
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/starttls-everywhere/policylist/transparency/tilelog/tesseratest"
)

// benchLeaves is the size of the log in the benchmarks: a large list's first release.
const benchLeaves = 100_000

// BenchmarkAppendAgainstTessera appends 100,000 leaves to an empty log, and to an empty Tessera POSIX log, in turn.
// Metrics: seconds of each and tilelog/tessera, their ratio.
func BenchmarkAppendAgainstTessera(b *testing.B) {
	leaves := makeLeaves(0, benchLeaves)
	var ours, theirs time.Duration
	for b.Loop() {
		l := newLog(b)
		start := time.Now()
		mustAppend(b, l, 0, leaves)
		ours += time.Since(start)

		other := tesseratest.New(b, benchLeaves, 5*time.Millisecond)
		start = time.Now()
		other.Append(b, 0, leaves)
		theirs += time.Since(start)
	}
	b.ReportMetric(ours.Seconds()/float64(b.N), "tilelog-s")
	b.ReportMetric(theirs.Seconds()/float64(b.N), "tessera-s")
	b.ReportMetric(ours.Seconds()/theirs.Seconds(), "tilelog/tessera")
}

// BenchmarkFreshProcess starts a program that opens a log of 100,000 leaves and adds one. Metrics: ms from the program's
// main to the durable leaf, and process-ms, which has the start and end of the process in it.
func BenchmarkFreshProcess(b *testing.B) {
	program := buildAppendOne(b)
	dir := filepath.Join(b.TempDir(), "log")
	l := mustOpen(b, dir)
	mustAppend(b, l, 0, makeLeaves(0, benchLeaves))
	if err := l.Close(); err != nil {
		b.Fatal(err)
	}
	var inside, wall time.Duration
	for b.Loop() {
		start := time.Now()
		inside += runAppendOne(b, program, dir)
		wall += time.Since(start)
	}
	b.ReportMetric(float64(inside.Microseconds())/1000/float64(b.N), "ms")
	b.ReportMetric(float64(wall.Microseconds())/1000/float64(b.N), "process-ms")
}

func buildAppendOne(t testing.TB) string {
	t.Helper()
	program := filepath.Join(t.TempDir(), "appendone")
	cmd := exec.Command("go", "build", "-buildvcs=false", "-o", program, "./testdata/appendone")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	return program
}

// runAppendOne runs the program and returns the time that it measured. The program must print nothing else.
func runAppendOne(t testing.TB, program, dir string) time.Duration {
	t.Helper()
	cmd := exec.Command(program, dir)
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	ns, err := strconv.ParseInt(strings.TrimSuffix(string(out), "\n"), 10, 64)
	if err != nil {
		t.Fatalf("unexpected output %q", out)
	}
	return time.Duration(ns)
}
