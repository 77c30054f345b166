package leaveout

import (
	"fmt"
	"path/filepath"
	"testing"
	"time"

	"github.com/starttls-everywhere/policylist/mirror/socketmap"
	"github.com/starttls-everywhere/policylist/policy"
)

// BenchmarkBook is what a book of 100,000 domains, a fifth of them with DANE, costs each update and each status: reading it,
// asking it about every domain, choosing whose turn it is, and writing it.
func BenchmarkBook(b *testing.B) {
	now := time.Date(2026, 3, 10, 12, 0, 0, 0, time.UTC)
	live := &socketmap.Live{Now: func() time.Time { return now }}
	book, err := Open(filepath.Join(b.TempDir(), "book"), live)
	if err != nil {
		b.Fatal(err)
	}
	var all []policy.Domain
	for i := range 100_000 {
		d, err := policy.ParseDomain(fmt.Sprintf("d%06d.example", i))
		if err != nil {
			b.Fatal(err)
		}
		at := now.Add(-time.Duration(i) * time.Second)
		all, book.answers[d] = append(all, d), Answer{Asked: at, DANE: i%5 == 0, DANEAt: at, STSAt: at}
	}
	if err := book.Save(); err != nil {
		b.Fatal(err)
	}
	steps := map[string]func(*Book) error{
		"read": func(*Book) error { _, err := Open(book.path, live); return err },
		"reasons": func(k *Book) error {
			for _, d := range all {
				k.Reason(d, policy.Policy{Mode: policy.Enforce}, Sources{DANE: true, STS: true})
			}
			return nil
		},
		"turns": func(k *Book) error { k.due(all); return nil },
		"write": func(k *Book) error { return k.Save() },
	}
	for name, step := range steps {
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				if err := step(book); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
