package pipeline_test

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"syscall"
	"testing"
	"time"

	"github.com/starttls-everywhere/policylist/mirror"
	"github.com/starttls-everywhere/policylist/pipeline"
	"github.com/starttls-everywhere/policylist/policy/mta"
)

// BenchmarkMillion is one walk through everything with a list of 1,000,000 domains in 1,000 fragments: a first release,
// a client by snapshot, a release with 2,000 changes, a client by delta and one by snapshot, the Postfix map. Run it with
// -benchtime 1x. Each metric is seconds of one step; peak-MiB is the process's largest resident size.
func BenchmarkMillion(b *testing.B) {
	for range b.N {
		walkMillion(b, 1_000, 1_000)
	}
}

func walkMillion(b *testing.B, fragments, perFragment int) {
	o := newOperator(b, "public")
	o.SkipVerify = true
	if err := os.RemoveAll(o.path("list/domains")); err != nil {
		b.Fatal(err)
	}
	for f := range fragments {
		writeFragment(b, o, f, perFragment, "mx")
	}
	timed := func(name string, step func()) {
		start := time.Now()
		step()
		b.ReportMetric(time.Since(start).Seconds(), name+"-s")
		runtime.GC()
	}
	timed("check", func() {
		if _, err := pipeline.Check(b.Context(), o.Source); err != nil {
			b.Fatal(err)
		}
	})
	timed("first-release", func() { o.release() })
	warm, cold := o.client("public", mirror.Snapshot), o.client("public", mirror.Snapshot)
	update := func(c *mirror.Client, want int64) {
		got, err := c.Update(b.Context())
		if err != nil || got.Release.Release != want || got.List.Len() != fragments*perFragment {
			b.Fatal(err, got.Problems)
		}
	}
	timed("first-snapshot", func() { update(warm, 1) })
	writeFragment(b, o, 1, perFragment, "mail")
	writeFragment(b, o, 2, perFragment, "mail")
	timed("release-2000-changes", func() { o.release() })
	warm.Method = mirror.Delta
	timed("delta", func() { update(warm, 2) })
	timed("nothing-new", func() { update(warm, 2) })
	timed("snapshot", func() { update(cold, 2) })
	got, err := warm.Load()
	if err != nil {
		b.Fatal(err)
	}
	timed("postfix", func() {
		if _, err := mta.Postfix(io.Discard, got.List.All(), mta.Options{Dialect: mta.SNI, Header: mta.Header{Origin: o.Trust.Newest().Origin, Expires: got.Release.Expires}}); err != nil {
			b.Fatal(err)
		}
	})
	var usage syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &usage); err == nil {
		b.ReportMetric(float64(usage.Maxrss)/1024, "peak-MiB")
	}
}

// writeFragment writes fragment f: its domains share ten mail providers, as most domains do.
func writeFragment(b *testing.B, o *operator, f, domains int, mx string) {
	b.Helper()
	text := []byte(`{"policies":{`)
	for i := range domains {
		if i > 0 {
			text = append(text, ',')
		}
		text = fmt.Appendf(text, "\n\"d%03d-%03d.example\":{\"mode\":\"enforce\",\"mxs\":[\"%s1.provider%d.example\",\"%s2.provider%d.example\"]}", f, i, mx, i%10, mx, i%10)
	}
	if err := os.WriteFile(filepath.Join(o.dir, fmt.Sprintf("list/f%04d.json", f)), append(text, "\n}}\n"...), 0o644); err != nil {
		b.Fatal(err)
	}
}
