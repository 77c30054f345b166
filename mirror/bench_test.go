package mirror

import (
	"fmt"
	"testing"

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
