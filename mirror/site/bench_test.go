package site

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/starttls-everywhere/policylist/mirror"
	"github.com/starttls-everywhere/policylist/mirror/dir"
	"github.com/starttls-everywhere/policylist/policy"
)

// BenchmarkBuild builds sites of 926 and of 100,000 domains in a folder: "first" from nothing, "next" with cache and
// manifest after a release that changes one domain. Metrics: ms to read and verify the mirror (read-ms) and to build
// (build-ms); both together over the time that writing the same objects, made before, to another folder takes
// (of-writing), which is the baseline of the same run: whatever else the machine does slows both. For "next", first/next
// is how much faster it is than the first build of the same run.
func BenchmarkBuild(b *testing.B) {
	for _, n := range []int{926, 100_000} {
		o := newOperator(b)
		o.publish(many(n)...)
		for i := range 30 { // renewals, as nearly all releases are
			o.publish(set(fmt.Sprintf("d%06d.example", i), policy.Enforce))
		}
		b.Run(fmt.Sprint(n), func(b *testing.B) { benchmarkBuild(b, o) })
	}
}

func benchmarkBuild(b *testing.B, o *operator) {
	var first, next, writing, read time.Duration
	for range b.N {
		folder, cache := b.TempDir(), b.TempDir()
		store, err := dir.Open(filepath.Join(folder, "site"))
		must(b, err)
		began := time.Now()
		m := o.read(Extra{Cache: cache})
		read += time.Since(began)
		_, err = Build(b.Context(), m, store, Options{})
		must(b, err)
		first += time.Since(began)

		writing += writeAll(b, m, filepath.Join(folder, "plain"))

		o.publish(set(fmt.Sprintf("d%06d.example", o.last.Leaf.Release), policy.Enforce))
		began = time.Now()
		report, err := Build(b.Context(), o.read(Extra{Cache: cache}), store, Options{})
		must(b, err)
		next += time.Since(began)
		if report.Written > 20 {
			b.Fatalf("%+v", report)
		}
		must(b, store.Close())
		must(b, os.RemoveAll(folder))
	}
	ms := func(d time.Duration) float64 { return float64(d.Milliseconds()) / float64(b.N) }
	b.ReportMetric(ms(read), "read-ms")
	b.ReportMetric(ms(first-read), "build-ms")
	b.ReportMetric(first.Seconds()/writing.Seconds(), "of-writing")
	b.ReportMetric(ms(next), "next-ms")
	b.ReportMetric(first.Seconds()/next.Seconds(), "first/next")
	b.ReportMetric(0, "ns/op")
}

// writeAll is how long the objects' bytes take to be written as a build writes them, without their making.
func writeAll(b *testing.B, m *Model, folder string) time.Duration {
	b.Helper()
	made := newMemory()
	_, err := Build(b.Context(), m, made, Options{})
	must(b, err)
	store, err := dir.Open(folder)
	must(b, err)
	defer store.Close()
	began := time.Now()
	g, ctx := errgroup.WithContext(b.Context())
	g.SetLimit(writers)
	for path, data := range made.objects {
		g.Go(func() error { return store.Put(ctx, mirror.NewObject(path, data)) })
	}
	must(b, g.Wait())
	return time.Since(began)
}
