package mta

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"testing"

	"github.com/starttls-everywhere/policylist/mirror/storetest/tool"
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

// BenchmarkCDB makes a database of a list on disk, as far as the page cache; BenchmarkPostmapCDB is the baseline, in the
// same run: go test ./policy/mta -run '^$' -bench CDB
func BenchmarkCDB(b *testing.B) {
	for _, n := range []int{100_000, 1_000_000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			l := many(b, n)
			path := filepath.Join(b.TempDir(), "table.cdb")
			b.ReportAllocs()
			for b.Loop() {
				file, err := os.Create(path)
				if err != nil {
					b.Fatal(err)
				}
				c := NewCDB(file)
				_, err = Postfix(c.Lines(), l.All(), Options{Dialect: Floor, Header: header})
				for _, err := range []error{err, c.Close(), file.Close()} {
					if err != nil {
						b.Fatal(err)
					}
				}
			}
		})
	}
}

// postmap reads the text of the same list and makes the same database.
func BenchmarkPostmapCDB(b *testing.B) {
	postfix := tool.NewPostfix(b, "cdb")
	for _, n := range []int{100_000, 1_000_000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			path := tables(b, many(b, n), Options{Dialect: Floor, Header: header})
			for b.Loop() {
				b.StopTimer()
				cmd := postfix.Command(b.Context(), b, "postmap", "cdb:"+path)
				b.StartTimer()
				if out, err := cmd.CombinedOutput(); err != nil {
					b.Fatalf("%v: %s", err, out)
				}
			}
		})
	}
}

// tinycdb makes a database from records without looking at a table's text: how fast the format can be written in C.
func BenchmarkTinycdb(b *testing.B) {
	tree := tool.Tree(b, "tinycdb")
	path := tables(b, many(b, 1_000_000), Options{Dialect: Floor, Header: header})
	for b.Loop() {
		b.StopTimer()
		cmd := tool.Command(b.Context(), b, tree, "usr/bin/cdb", "-c", "-m", path+".cdb", path)
		b.StartTimer()
		if out, err := cmd.CombinedOutput(); err != nil {
			b.Fatalf("%v: %s", err, out)
		}
	}
}
