package tlsrpt_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	intake "github.com/starttls-everywhere/policylist/pipeline/tlsrpt"
	"github.com/starttls-everywhere/policylist/policy/tlsrpt"
)

// largeReport is a report as large senders write them, about 2 KB of JSON: one policy with its text, and details of ten hosts.
func largeReport(id string) string {
	var details []string
	for i := range 10 {
		details = append(details, fmt.Sprintf(`{"result-type":"certificate-expired","sending-mta-ip":"192.0.2.%d","receiving-ip":"198.51.100.%d","receiving-mx-hostname":"mx%d.a.example","failed-session-count":1}`, i, i, i))
	}
	return strings.Replace(reportText("Sender", id, 1000, 0, "a.example"), `"total-failure-session-count":0}`, `"total-failure-session-count":10},"failure-details":[`+strings.Join(details, ",")+`]`, 1)
}

// BenchmarkIngest tells how many reports a second go from a folder into the store, durably, and what part of that is reading
// them: "decode" is the reader alone over the same bytes. Run: go test ./pipeline/tlsrpt -run xxx -bench Ingest
func BenchmarkIngest(b *testing.B) {
	const files = 500
	w := newWorld(b, intake.Options{})
	w.enrolled("a.example")
	spool := b.TempDir()
	var bodies [][]byte
	round := 0
	fill := func() {
		bodies = bodies[:0]
		for i := range files {
			body := zipped(largeReport(fmt.Sprint(round, "-", i)))
			bodies = append(bodies, body)
			if err := os.WriteFile(filepath.Join(spool, fmt.Sprint(i, ".json.gz")), body, 0o600); err != nil {
				b.Fatal(err)
			}
		}
		round++
	}
	fill()
	var decode float64 // seconds a report
	b.Run("decode", func(b *testing.B) {
		for b.Loop() {
			for _, body := range bodies {
				if _, err := tlsrpt.Read(body, tlsrpt.DefaultLimits()); err != nil {
					b.Fatal(err)
				}
			}
		}
		decode = b.Elapsed().Seconds() / float64(b.N*files)
		b.ReportMetric(1/decode, "reports/s")
	})
	b.Run("store", func(b *testing.B) {
		in := &intake.Ingester{Store: w.store, DNS: w.dns, Now: w.clock.now}
		for range b.N {
			b.StopTimer()
			fill()
			b.StartTimer()
			taken := 0
			err := in.TakeAll(b.Context(), spool, func(r intake.Ingested) {
				if len(r.Outcomes) == 1 && len(r.Outcomes[0].Counted) == 1 {
					taken++
				}
			})
			if err != nil || taken != files {
				b.Fatalf("%d of %d taken, %v", taken, files, err)
			}
		}
		each := b.Elapsed().Seconds() / float64(b.N*files)
		b.ReportMetric(1/each, "reports/s")
		b.ReportMetric(each/decode, "times-decode")
	})
}

// TestFiguresSpool takes a spool of 100 MB (3 MB in the short form) and tells how much memory that took at most.
func TestFiguresSpool(t *testing.T) {
	megabytes := 3
	if os.Getenv("POLICYLIST_FULL") == "1" {
		megabytes = 100
	}
	w := newWorld(t, intake.Options{})
	w.enrolled("a.example")
	spool := t.TempDir()
	// Reports of 250 KB, as those of a domain with many hosts and a bad day.
	detail := `{"result-type":"certificate-expired","sending-mta-ip":"192.0.2.1","receiving-ip":"198.51.100.1","receiving-mx-hostname":"mx.a.example","failed-session-count":1}`
	details := strings.Repeat(detail+",", 1500) + detail
	size, files := 0, 0
	for ; size < megabytes<<20; files++ {
		text := strings.Replace(reportText("Sender", fmt.Sprint(files), 1000, 0, "a.example"), `"total-failure-session-count":0}`, `"total-failure-session-count":1501},"failure-details":[`+details+`]`, 1)
		if err := os.WriteFile(filepath.Join(spool, fmt.Sprint(files, ".json")), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		size += len(text)
	}
	before := peak(t)
	taken := 0
	in := &intake.Ingester{Store: w.store, DNS: w.dns, Now: w.clock.now}
	err := in.TakeAll(t.Context(), spool, func(r intake.Ingested) {
		if len(r.Outcomes) == 1 && len(r.Outcomes[0].Counted) == 1 {
			taken++
		}
	})
	if err != nil || taken != files {
		t.Fatalf("%d of %d taken, %v", taken, files, err)
	}
	t.Logf("figures: a spool of %d MB in %d files, peak memory %d MB, before it %d MB", size>>20, files, peak(t)>>20, before>>20)
}

// peak is the most memory that this process has had in use, in bytes (VmHWM of proc(5)).
func peak(t testing.TB) int64 {
	t.Helper()
	text, err := os.ReadFile("/proc/self/status")
	if err != nil {
		t.Skipf("needs the proc file system, to tell the memory: %v", err)
	}
	_, rest, _ := strings.Cut(string(text), "VmHWM:")
	n, err := strconv.ParseInt(strings.TrimSpace(strings.TrimSuffix(strings.TrimSpace(rest[:strings.IndexByte(rest, '\n')]), "kB")), 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	return n << 10
}
