//go:build unix

package trillianlog_test

import (
	"testing"
	"time"

	"github.com/starttls-everywhere/policylist/mirror/storetest/trillianserver"
	"github.com/starttls-everywhere/policylist/transparency/logtest"
	"github.com/starttls-everywhere/policylist/transparency/tilelog"
	"github.com/starttls-everywhere/policylist/transparency/trillianlog"
)

// benchLeaves is the size of the log in the benchmark: a large list's first release.
const benchLeaves = 100_000

// BenchmarkAppend appends 100,000 leaves to an empty log by way of Trillian on PostgreSQL, and to one of the embedded
// engine, and then one leaf to each; and it rebuilds Trillian's log in an empty folder. Metrics: seconds, and
// milliseconds for the one leaf.
func BenchmarkAppend(b *testing.B) {
	s := trillianserver.Start(b)
	leaves := logtest.Leaves(0, benchLeaves)
	took := map[string]time.Duration{}
	measure := func(name string, f func() error) {
		start := time.Now()
		if err := f(); err != nil {
			b.Fatal(err)
		}
		took[name] += time.Since(start)
	}
	for b.Loop() {
		o := trillianlog.Options{Address: s.Address, Tree: s.NewTree(b)}
		theirs, err := trillianlog.Open(b.Context(), b.TempDir(), o)
		if err != nil {
			b.Fatal(err)
		}
		ours, err := tilelog.Open(b.TempDir())
		if err != nil {
			b.Fatal(err)
		}
		for name, log := range map[string]appender{"trillian": theirs, "embedded": ours} {
			measure(name+"-s", func() error { _, err := log.Append(b.Context(), 0, leaves); return err })
			measure(name+"-one-ms", func() error { _, err := log.Append(b.Context(), benchLeaves, leaves[:1]); return err })
		}
		theirs.Close()
		ours.Close()
		measure("rebuild-s", func() error {
			l, err := trillianlog.Open(b.Context(), b.TempDir(), o)
			if err == nil {
				err = l.Close()
			}
			return err
		})
	}
	for name, d := range took {
		value := d.Seconds() / float64(b.N)
		if name == "trillian-one-ms" || name == "embedded-one-ms" {
			value *= 1000
		}
		b.ReportMetric(value, name)
	}
}
