package site

import (
	"fmt"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/starttls-everywhere/policylist/mirror"
	"github.com/starttls-everywhere/policylist/mirror/dir"
	"github.com/starttls-everywhere/policylist/policy"
)

// BenchmarkBuild builds sites of 926 and of 100,000 domains, with POLICYLIST_FULL=1 also of a million, in a folder: "first" from nothing, "next" with cache and
// manifest after a release that changes one domain. Metrics: ms to read and verify the mirror (read-ms) and to build
// (build-ms); both together over the time that writing the same objects, made before, to another folder takes
// (of-writing), which is the baseline of the same run: whatever else the machine does slows both. For "next", first/next
// is how much faster it is than the first build of the same run. read-cpu-ms, build-cpu-ms and next-cpu-ms are what the
// process used of its processors meanwhile, which other work on the machine changes little; peak-MB is the most memory that
// the process had until then, with the mirror, which is in memory as well (mirror-MB).
func BenchmarkBuild(b *testing.B) {
	sizes := []int{926, 100_000}
	if os.Getenv("POLICYLIST_FULL") == "1" {
		sizes = append(sizes, 1_000_000)
	}
	for _, n := range sizes {
		o := newOperator(b)
		o.publish(many(n)...)
		for i := range 30 { // renewals, as nearly all releases are
			o.publish(set(fmt.Sprintf("d%06d.example", i), policy.Enforce))
		}
		b.Run(fmt.Sprint(n), func(b *testing.B) { benchmarkBuild(b, o) })
	}
}

func benchmarkBuild(b *testing.B, o *operator) {
	var first, next, writing, read, readCPU, firstCPU, nextCPU time.Duration
	for range b.N {
		folder, cache := b.TempDir(), b.TempDir()
		store, err := dir.Open(filepath.Join(folder, "site"))
		must(b, err)
		began, beganCPU := time.Now(), used(b)
		m := o.read(Extra{Cache: cache})
		read, readCPU = read+time.Since(began), readCPU+used(b)-beganCPU
		_, err = Build(b.Context(), m, store, Options{})
		must(b, err)
		first, firstCPU = first+time.Since(began), firstCPU+used(b)-beganCPU
		b.ReportMetric(peak(b), "peak-MB")

		writing += writeAll(b, m, filepath.Join(folder, "plain"))

		o.publish(set(fmt.Sprintf("d%06d.example", o.last.Leaf.Release), policy.Enforce))
		began, beganCPU = time.Now(), used(b)
		report, err := Build(b.Context(), o.read(Extra{Cache: cache}), store, Options{})
		must(b, err)
		next, nextCPU = next+time.Since(began), nextCPU+used(b)-beganCPU
		if report.Written > 40 {
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
	b.ReportMetric(ms(readCPU), "read-cpu-ms")
	b.ReportMetric(ms(firstCPU-readCPU), "build-cpu-ms")
	b.ReportMetric(ms(nextCPU), "next-cpu-ms")
	size := 0
	for _, data := range o.mirror.objects {
		size += len(data)
	}
	b.ReportMetric(float64(size)/1e6, "mirror-MB")
	b.ReportMetric(first.Seconds()/next.Seconds(), "first/next")
	b.ReportMetric(0, "ns/op")
}

// used is the processor time of this process so far.
func used(b *testing.B) time.Duration {
	b.Helper()
	var r syscall.Rusage
	must(b, syscall.Getrusage(syscall.RUSAGE_SELF, &r))
	return time.Duration(r.Utime.Nano() + r.Stime.Nano())
}

// peak is the most memory that the process had so far, in MB.
func peak(b *testing.B) float64 {
	b.Helper()
	var r syscall.Rusage
	must(b, syscall.Getrusage(syscall.RUSAGE_SELF, &r))
	return float64(r.Maxrss) * 1024 / 1e6 // KiB, getrusage(2)
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
