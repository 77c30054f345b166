package tlsrpt_test

import (
	"fmt"
	"os"
	"runtime"
	"strings"
	"testing"

	intake "github.com/starttls-everywhere/policylist/pipeline/tlsrpt"
	"github.com/starttls-everywhere/policylist/policy"
	"github.com/starttls-everywhere/policylist/policy/tlsrpt"
)

// TestLargeContributions: contributors who name thousands of domains each day fill neither the disk nor the
// memory of who makes tables and looks for alerts.
func TestLargeContributions(t *testing.T) {
	w := newWorld(t, intake.Options{})
	const domains, contributors = 8_000, 4
	c := tlsrpt.Contribution{ID: strings.Repeat("0", 32)}
	for i := range domains {
		c.Entries = append(c.Entries, tlsrpt.Contributed{Domain: domain(t, fmt.Sprintf("d%05d.example", i)), Type: tlsrpt.STS, Successful: 20, Failed: 20,
			Details: []tlsrpt.ContributedDetail{{Result: tlsrpt.CertificateExpired, Failed: 20}}})
	}
	for c.Day = day(t, "2026-01-07"); c.Day < day(t, "2026-01-11"); c.Day++ {
		for i := range contributors {
			if err := w.store.Contribute(t.Context(), domain(t, fmt.Sprintf("c%d.example", i)), c); err != nil {
				t.Fatal(err)
			}
		}
	}
	const documents = 4 * contributors
	if taken, _, err := w.store.Size(t.Context()); err != nil || taken > documents*160<<10 {
		t.Errorf("%d documents take %d bytes, %v", documents, taken, err)
	}
	var before, most runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	asked := 0
	listed := func(d policy.Domain) (string, bool) {
		if asked++; asked == documents*domains-1 { // nearly at the end
			runtime.GC()
			runtime.ReadMemStats(&most)
		}
		return "provider.example", true
	}
	if _, err := w.store.Alerts(t.Context(), listed); err != nil {
		t.Fatal(err)
	}
	// One document that is being read, and some 300 bytes for a contributor's word about a domain, however many days there are.
	if limit := uint64(domains*contributors*400 + 20<<20); most.HeapAlloc > before.HeapAlloc+limit {
		t.Errorf("%d MiB, more than %d", (most.HeapAlloc-before.HeapAlloc)>>20, limit>>20)
	}
	t.Logf("%d MiB while alerts are looked for", (int64(most.HeapAlloc)-int64(before.HeapAlloc))>>20)
	info, err := os.Stat(w.dir + "/tlsrpt.db")
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("%d documents of %d domains: %d KiB", documents, domains, info.Size()>>10)
}
