package mta

import (
	"fmt"
	"io"
	"os"
	"testing"
	"time"

	"github.com/starttls-everywhere/policylist/mirror/storetest/tool"
	"github.com/starttls-everywhere/policylist/policy"
)

// timed adds what run takes to sum.
func timed(b *testing.B, sum *time.Duration, run func() error) {
	b.Helper()
	begin := time.Now()
	err := run()
	*sum += time.Since(begin)
	if err != nil {
		b.Fatal(err)
	}
}

// Against postmap, which makes the same database of the same text in the same minute. The aim is six times faster.
func BenchmarkCDBAgainstPostmap(b *testing.B) {
	postfix := tool.NewPostfix(b, "cdb")
	for _, n := range []int{20_000, 1_000_000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			l, o := many(b, n), Options{Dialect: Floor, Header: header}
			path := tables(b, l, o)
			var ours, theirs time.Duration
			for b.Loop() {
				timed(b, &ours, func() error {
					file, err := os.Create(path + ".cdb")
					if err != nil {
						return err
					}
					defer file.Close()
					c := NewCDB(file)
					if _, err := Postfix(c.Lines(), l.All(), o); err != nil {
						return err
					}
					return c.Close()
				})
				cmd := postfix.Command(b.Context(), b, "postmap", "cdb:"+path)
				timed(b, &theirs, cmd.Run)
			}
			b.ReportMetric(ours.Seconds()/float64(b.N), "s/cdb")
			b.ReportMetric(theirs.Seconds()/ours.Seconds(), "postmap/cdb")
		})
	}
}

// Against the reading and rendering that the old client does with the same list, written in the same language.
func BenchmarkTextAgainstOldClient(b *testing.B) {
	for _, n := range []int{926, 100_000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			signed := header.Expires.AddDate(0, 0, -14)
			data, err := many(b, n).Bytes(policy.Header{Timestamp: signed, Expires: header.Expires, Author: "x"})
			if err != nil {
				b.Fatal(err)
			}
			var ours, old time.Duration
			for b.Loop() {
				timed(b, &ours, func() error {
					_, held, err := policy.ParseList(data)
					if err != nil {
						return err
					}
					_, err = Postfix(io.Discard, held.All(), Options{Dialect: Floor, Header: header})
					return err
				})
				timed(b, &old, func() error {
					_, err := oldTable(data, signed, false)
					return err
				})
			}
			b.ReportMetric(old.Seconds()/ours.Seconds(), "old/ours")
		})
	}
}
