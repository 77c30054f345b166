package soak

import (
	"bytes"
	"fmt"
	"os"
	"runtime"
	"strconv"
	"time"
)

// Trend is how a size went over time, by a straight line through its samples (least squares) once the run was warm.
type Trend struct {
	Samples int     `json:"samples"`
	Mean    float64 `json:"mean_bytes"`
	Rise    float64 `json:"rise_bytes"`  // of the line, from the first sample to the last
	Bound   float64 `json:"bound_bytes"` // what it may rise
	Flat    bool    `json:"flat"`
}

// String is for people.
func (t Trend) String() string {
	if t.Samples == 0 {
		return "not told by this system"
	}
	verdict := "flat"
	if !t.Flat {
		verdict = "NOT flat"
	}
	const mb = 1 << 20
	return fmt.Sprintf("%.1f MiB, trend %+.1f MiB over %d samples, at most %.0f: %s", t.Mean/mb, t.Rise/mb, t.Samples, t.Bound/mb, verdict)
}

// What a trend may rise: the larger of a share of the mean and a size below which nothing can be said. A heap is measured
// after a collection. What the process has of the machine moves with the moments at which the collector runs.
const (
	heapShare, heapLeast = 0.10, 8 << 20
	rssShare, rssLeast   = 0.30, 64 << 20
	// warm is the share of the run after which it counts: connections, caches and the judge's own memory (kept in judge.go)
	// are full by then.
	warm = 0.3
	// fewest samples make a line.
	fewest = 5
)

// sample is a size at a time.
type sample struct {
	at   time.Duration // since the start
	size float64
}

// trend draws the line. Fewer than fewest samples are never flat: nothing was measured. None at all are, where the system
// does not tell.
func trend(all []sample, share, least float64) Trend {
	if len(all) == 0 {
		return Trend{Flat: true}
	}
	end := all[len(all)-1].at
	var kept []sample
	for _, s := range all {
		if float64(s.at) >= warm*float64(end) {
			kept = append(kept, s)
		}
	}
	n := float64(len(kept))
	var meanAt, mean float64
	for _, s := range kept {
		meanAt += s.at.Seconds() / n
		mean += s.size / n
	}
	var above, below float64
	for _, s := range kept {
		above += (s.at.Seconds() - meanAt) * (s.size - mean)
		below += (s.at.Seconds() - meanAt) * (s.at.Seconds() - meanAt)
	}
	t := Trend{Samples: len(kept), Mean: mean, Bound: max(least, share*mean)}
	if below > 0 {
		t.Rise = above / below * (end - kept[0].at).Seconds()
	}
	t.Flat = len(kept) >= fewest && t.Rise <= t.Bound
	return t
}

// heap is what is in use after a collection.
func heap() float64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return float64(m.HeapAlloc)
}

// resident is what the process has of the machine's memory; false where the system does not say (proc(5), statm).
func resident() (float64, bool) {
	data, err := os.ReadFile("/proc/self/statm")
	fields := bytes.Fields(data)
	if err != nil || len(fields) < 2 {
		return 0, false
	}
	pages, err := strconv.ParseInt(string(fields[1]), 10, 64)
	return float64(pages) * float64(os.Getpagesize()), err == nil
}
