package mta

import (
	"fmt"
	"io"
	"testing"

	"github.com/starttls-everywhere/policylist/policy"
)

// many is a list of n domains with the shape of the old list: most with one or two exact hosts, one in six with a
// suffix pattern, one in ten testing.
func many(t testing.TB, n int) policy.List {
	t.Helper()
	kinds := []policy.Policy{
		rule(t, policy.Enforce, "mx1.provider.example", "mx2.provider.example"),
		rule(t, policy.Enforce, "mx.one.example"),
		rule(t, policy.Enforce, ".suffix.example", "mx.suffix.example"),
		rule(t, policy.Testing, "mx.testing.example"),
	}
	entries := make([]policy.Entry, n)
	for i := range entries {
		kind := i % 2
		switch {
		case i%6 == 0:
			kind = 2
		case i%10 == 1:
			kind = 3
		}
		entries[i] = policy.Entry{Domain: domain(t, fmt.Sprintf("d%07d.example", i)), Policy: kinds[kind]}
	}
	return list(t, entries...)
}

func BenchmarkPostfix(b *testing.B) {
	for _, n := range []int{926, 100_000, 1_000_000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			l := many(b, n)
			b.ReportAllocs()
			for b.Loop() {
				report, err := Postfix(io.Discard, l.All(), Options{Dialect: Floor, Header: header})
				if err != nil || len(report.Refused) > 0 {
					b.Fatal(report.Refused, err)
				}
			}
		})
	}
}
