package survey_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime"
	"testing"
	"time"

	"github.com/starttls-everywhere/policylist/pipeline/probe"
	"github.com/starttls-everywhere/policylist/pipeline/survey"
)

// BenchmarkTally counts the evidence of a lab of 1,000 domains, and beside that decodes the same lines and does nothing
// with them: "x-decode" is how many times as long counting takes, in the same run.
func BenchmarkTally(b *testing.B) {
	w := build(b, 1000)
	file := w.evidence(b)
	var decoding, counting time.Duration
	for b.Loop() {
		start := time.Now()
		decode(b, file)
		decoding += time.Since(start)
		start = time.Now()
		tally(b, survey.Options{}, fileOf("north", file))
		counting += time.Since(start)
	}
	b.ReportMetric(counting.Seconds()/decoding.Seconds(), "x-decode")
	b.ReportMetric(float64(1000*b.N)/counting.Seconds(), "domains/s")
	b.ReportMetric(float64(len(file))/1000, "B/domain")
}

func decode(t testing.TB, file []byte) {
	r, err := probe.NewReader(bytes.NewReader(file), probe.MaxEvidence)
	must(t, err)
	for {
		line, err := r.Next()
		if errors.Is(err, io.EOF) {
			return
		}
		must(t, err)
		_, err = line.Record()
		must(t, err)
	}
}

// many is evidence of n domains, made while it is read: the nth has an MX host of provider n modulo providers.
func many(t testing.TB, n, providers int) probe.EvidenceFile {
	template := paper{vantage: "north", trustAD: 1, said: []string{"d0000000.example mx.p0000000.net good"}}.bytes(t)
	lines := bytes.SplitAfter(template, []byte("\n"))
	return probe.EvidenceFile{Name: "many", Open: func() (io.ReadCloser, error) {
		r, w := io.Pipe()
		go func() {
			_, err := w.Write(lines[0])
			for i := 0; i < n && err == nil; i++ {
				line := bytes.ReplaceAll(lines[1], []byte("d0000000.example"), fmt.Appendf(nil, "d%07d.example", i))
				_, err = w.Write(bytes.ReplaceAll(line, []byte("p0000000"), fmt.Appendf(nil, "p%07d", i%providers)))
			}
			w.Close()
		}()
		return r, nil
	}}
}

// TestMemoryOfMany: the memory of a tally depends on its rows, not on the domains (a million with POLICYLIST_FULL), and
// evidence that makes up a provider for each domain gets no more than 262,144 rows.
func TestMemoryOfMany(t *testing.T) {
	domains := 4_000
	full := os.Getenv("POLICYLIST_FULL") == "1"
	if full {
		domains = 1_000_000
	}
	grown := func(n, providers int) (int, survey.Report) {
		c := survey.New(survey.Options{Min: 1})
		before := heap()
		must(t, probe.ReadSorted([]probe.EvidenceFile{many(t, n, providers)}, c.Add))
		after := heap()
		return after - before, c.Report()
	}
	kept, r := grown(domains, 500)
	t.Logf("%d domains of 500 providers: %d KiB kept", domains, kept>>10)
	if r.Total.Domains != domains || len(r.Providers.Rows) != 500 || kept > 2<<20 {
		t.Errorf("%d domains, %d providers, %d KiB kept", r.Total.Domains, len(r.Providers.Rows), kept>>10)
	}
	if !full {
		return
	}
	kept, r = grown(domains, domains)
	t.Logf("%d domains of as many providers: %d MiB kept", domains, kept>>20)
	if len(r.Providers.Rows) != 1<<18 || r.Providers.Other.Domains != domains-1<<18 || kept > 256<<20 {
		t.Errorf("%d providers, %d MiB kept", len(r.Providers.Rows), kept>>20)
	}
}

func heap() int {
	var m runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&m)
	return int(m.HeapAlloc)
}
