package pipeline_test

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/starttls-everywhere/policylist/pipeline"
)

// bulkSource writes a source of n domains in fragments of per each and returns its folder and the fragments' bytes.
// The entries are as in a real list: hosts of their own, a provider's suffix, an alias.
func bulkSource(tb testing.TB, n, per int) (dir string, fragments [][]byte) {
	tb.Helper()
	dir = tb.TempDir()
	write := func(name string, data []byte) {
		if err := os.WriteFile(filepath.Join(dir, name), data, 0o644); err != nil {
			tb.Fatal(err)
		}
	}
	write("list.json", []byte(`{"author": "bulk", "origin": "bulk.example/list"}`))
	for first := 0; first < n; first += per {
		var b strings.Builder
		b.WriteString("{\n")
		if first == 0 {
			b.WriteString(`  "policy-aliases": {"provider": {"mode": "enforce", "mxs": ["mx1.provider.example", "mx2.provider.example"]}},` + "\n")
		}
		b.WriteString("  \"policies\": {\n")
		for i := first; i < min(first+per, n); i++ {
			if i > first {
				b.WriteString(",\n")
			}
			switch i % 4 {
			case 0:
				fmt.Fprintf(&b, `    "d%07d.example": {"policy-alias": "provider", "managed-by": "mta-sts"}`, i)
			case 1:
				fmt.Fprintf(&b, `    "d%07d.example": {"mode": "testing", "mxs": [".mail.d%07d.example"]}`, i, i)
			default:
				fmt.Fprintf(&b, `    "d%07d.example": {"mode": "enforce", "mxs": ["mx1.d%07d.example", "mx2.d%07d.example"]}`, i, i, i)
			}
		}
		b.WriteString("\n  }\n}\n")
		write(fmt.Sprintf("f%05d.json", first/per), []byte(b.String()))
		fragments = append(fragments, []byte(b.String()))
	}
	return dir, fragments
}

func decodeAll(tb testing.TB, fragments [][]byte) {
	for _, f := range fragments {
		var v any
		if err := json.Unmarshal(f, &v); err != nil {
			tb.Fatal(err)
		}
	}
}

func checkAll(tb testing.TB, dir string, n int) {
	checked, err := pipeline.Check(tb.Context(), dir)
	if err != nil || len(checked.Findings()) > 0 || len(checked.Entries()) != n {
		tb.Fatal(err, len(checked.Findings()), len(checked.Entries()))
	}
}

// BenchmarkDecode100k is the yardstick: nothing but encoding/json on the same bytes.
func BenchmarkDecode100k(b *testing.B) {
	_, fragments := bulkSource(b, 100_000, 100)
	for b.Loop() {
		decodeAll(b, fragments)
	}
}

// BenchmarkCheck100k reads, validates and judges 100,000 domains in 1,000 fragments; x-decode is how many times longer
// that takes than the bare decode, measured in turns. The aim is at most 10.
func BenchmarkCheck100k(b *testing.B) {
	dir, fragments := bulkSource(b, 100_000, 100)
	var check, decode time.Duration
	for b.Loop() {
		start := time.Now()
		checkAll(b, dir, 100_000)
		check += time.Since(start)
		b.StopTimer()
		start = time.Now()
		decodeAll(b, fragments)
		decode += time.Since(start)
		b.StartTimer()
	}
	b.ReportMetric(float64(check)/float64(decode), "x-decode")
}

// BenchmarkCheck1M is the smoke run: a million domains, aim at most 12 s on two cores.
func BenchmarkCheck1M(b *testing.B) {
	if testing.Short() {
		b.Skip("a million domains")
	}
	dir, _ := bulkSource(b, 1_000_000, 1000)
	for b.Loop() {
		checkAll(b, dir, 1_000_000)
	}
}
