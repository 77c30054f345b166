//go:build linux

package main

import (
	"context"
	"fmt"
	"io"
	"path/filepath"
	"syscall"
	"testing"
	"time"
)

// BenchmarkExportPostfix is "export postfix" to nowhere, as a whole: reading and verifying the list that is held, and rendering
// it. The process around it is not measured. cpu-ms/op is the work, which other programs on the machine do not lengthen.
func BenchmarkExportPostfix(b *testing.B) {
	for _, domains := range []int{926, 100_000} {
		b.Run(fmt.Sprint(domains), func(b *testing.B) {
			d := newBenchDaemon(b, domains)
			args := []string{"export", "postfix", "--dialect", "floor", "--config", filepath.Join(d.dir, "c.toml")}
			before := worked(b)
			for b.Loop() {
				if code := run(context.Background(), args, world{io.Discard, io.Discard, time.Now}); code != 0 {
					b.Fatalf("exit code %d", code)
				}
			}
			b.ReportMetric(float64((worked(b)-before).Microseconds())/1000/float64(b.N), "cpu-ms/op")
		})
	}
}

// worked is the processor time that this process has had.
func worked(b *testing.B) time.Duration {
	b.Helper()
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
