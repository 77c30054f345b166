package mirror

import (
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"testing"
	"time"

	"github.com/starttls-everywhere/policylist/policy"
)

// BenchmarkUpdate measures updates of a list of 100,000 domains: nothing new, ten changes by delta, the whole list.
func BenchmarkUpdate(b *testing.B) {
	w := newWorld(b, 3)
	var edits []policy.Edit
	for i := range 100_000 {
		edits = append(edits, set(fmt.Sprintf("d%06d.example", i), policy.Testing, fmt.Sprintf("mx.p%d.example", i%500)))
	}
	w.release(edits...)
	m := w.mirror()
	r := w.join(m)
	r.update()
	measure := func(name string, method Method) {
		start := r.files()
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			m.forget()
			for range b.N {
				b.StopTimer()
				r.restore(start)
				b.StartTimer()
				r.Method = method
				r.update()
			}
			b.ReportMetric(float64(m.bytes)/float64(b.N), "transferred-B/op")
			b.ReportMetric(float64(len(m.asked))/float64(b.N), "requests/op")
		})
		r.restore(start)
	}
	measure("nothing new", Auto)
	var few []policy.Edit
	for i := range 10 {
		few = append(few, set(fmt.Sprintf("new%d.example", i), policy.Enforce))
	}
	w.release(few...)
	measure("delta", Delta)
	measure("snapshot", Snapshot)
}

// BenchmarkVerifyUpdate is one update of a client with a list of 1,000,000 domains (100,000 with -short) that holds it
// or the one before: nothing new, then 2,000 changes by delta and by snapshot. The transfer is in memory, the client's
// folder is real. In the same round, what nobody can do without is timed as the baseline: one SHA-256 of policy.json
// and its bare decoding by encoding/json, checking nothing. Metrics: seconds of both, and their ratio.
func BenchmarkVerifyUpdate(b *testing.B) {
	domains := 1_000_000
	if testing.Short() {
		domains = 100_000
	}
	w := newWorld(b, 3)
	edits := make([]policy.Edit, domains)
	for i := range edits {
		edits[i] = set(fmt.Sprintf("d%07d.example", i), policy.Testing, fmt.Sprintf("mx1.p%d.example", i%500), fmt.Sprintf("mx2.p%d.example", i%500))
	}
	w.release(edits...)
	r := w.join(w.mirror())
	r.update()
	start := r.files()
	verifyRounds(b, r, "no change", Auto, start)
	for i := range 2_000 {
		edits[i] = set(fmt.Sprintf("d%07d.example", i*(domains/2_000)), policy.Enforce, "mx.new.example")
	}
	w.release(edits[:2_000]...)
	verifyRounds(b, r, "2,000 changes, delta", Delta, start)
	verifyRounds(b, r, "2,000 changes, snapshot", Snapshot, start)
}

func verifyRounds(b *testing.B, r *reader, name string, method Method, start map[string]string) {
	b.Run(name, func(b *testing.B) {
		b.ReportAllocs()
		var ours, bare time.Duration
		for b.Loop() {
			r.restore(start)
			r.Method = method
			began := time.Now()
			r.update()
			ours += time.Since(began)

			file := []byte(r.files()[ListPath])
			var list struct {
				Policies map[string]struct {
					Mode string
					MXs  []string
				}
			}
			began = time.Now()
			digest := sha256.Sum256(file)
			if err := json.Unmarshal(file, &list); err != nil || digest == [32]byte{} || len(list.Policies) < 100_000 {
				b.Fatal(err, len(list.Policies))
			}
			bare += time.Since(began)
		}
		b.ReportMetric(ours.Seconds()/float64(b.N), "update-s")
		b.ReportMetric(bare.Seconds()/float64(b.N), "baseline-s")
		b.ReportMetric(ours.Seconds()/bare.Seconds(), "update/baseline")
	})
}
