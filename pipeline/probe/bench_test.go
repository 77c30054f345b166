package probe

import (
	"fmt"
	"testing"

	"github.com/starttls-everywhere/policylist/pipeline/lab"
)

// BenchmarkScan probes 10,000 domains that share 100 MX hosts, without a rate limit. Each tenth has an MTA-STS policy, all of
// them at one address, as a provider's are.
func BenchmarkScan(b *testing.B) {
	l := startLab(b)
	const domains, hosts = 10_000, 100
	for i := range hosts {
		must(b, l.AddHost(lab.Host{Name: fmt.Sprintf("mx%d.provider.example", i)}))
	}
	targets := make([]Target, domains)
	for i := range targets {
		name, mx := fmt.Sprintf("d%d.example", i), fmt.Sprintf("mx%d.provider.example", i%hosts)
		d := lab.Domain{Name: name, MX: []string{mx}}
		if i%10 == 0 {
			d.STS = lab.STSPolicy("enforce", weeks, mx)
		}
		must(b, l.AddDomain(d))
		targets[i] = Target{Domain: domain(name), Policy: enforce(b, name, mx)}
	}
	for b.Loop() {
		done := 0
		err := newProber(b, l, false, nil).Each(b.Context(), targets, func(r Result) error {
			if r.Verdict == Pass {
				done++
			}
			return nil
		})
		if err != nil || done != domains {
			b.Fatalf("%d of %d pass, %v", done, domains, err)
		}
	}
	b.ReportMetric(float64(domains*b.N)/b.Elapsed().Seconds(), "domains/s")
}
