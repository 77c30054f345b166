//go:build linux

package socketmap

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/starttls-everywhere/policylist/mirror"
	"github.com/starttls-everywhere/policylist/mirror/socketmap/loadtest"
	"github.com/starttls-everywhere/policylist/policy"
)

// benchDomains is the size of the list that the benchmarks ask.
const benchDomains = 1_000_000

func benchName(i int) string { return "d" + strconv.Itoa(i) + ".example" }

// million is a list of benchDomains.
func million(b testing.TB) Held {
	entries := make([]policy.Entry, benchDomains)
	for i := range entries {
		entries[i] = policy.Entry{Domain: domain(b, benchName(i)), Policy: wants(b, fmt.Sprintf("enforce mx%d.provider.example .mail.provider.example", i%2000))}
	}
	list, err := policy.NewList(entries)
	if err != nil {
		b.Fatal(err)
	}
	leaf := &mirror.ReleaseLeaf{Release: 7, Timestamp: start, Expires: start.AddDate(0, 0, 14)}
	data, err := list.Bytes(policy.Header{Timestamp: leaf.Timestamp, Expires: leaf.Expires, Author: "A list"})
	if err != nil {
		b.Fatal(err)
	}
	_, text, err := policy.OpenText(data)
	if err != nil {
		b.Fatal(err)
	}
	return Held{Name: "million", Release: leaf, text: text.Indexed(), expires: leaf.Expires}
}

// fixed answers so many bytes to everything.
type fixed int

func (f fixed) Answer(context.Context, string, string) Reply {
	return Reply{Value: strings.Repeat("x", int(f))}
}

// BenchmarkServe asks a list of a million domains over a socket, in a closed loop, and beside it, in the same run, a server
// that knows nothing and answers the same number of bytes: the ratio is what the lookup costs.
func BenchmarkServe(b *testing.B) {
	r, _, _ := decider(million(b))
	size := len(r.Answer(b.Context(), "floor", benchName(0)).Value)
	for _, server := range []struct {
		name string
		Answerer
	}{{"nothing", fixed(size)}, {"million", r}} {
		for _, network := range []string{"tcp", "unix"} {
			for _, connections := range []int{1, 16} {
				b.Run(fmt.Sprintf("%s/%s/%d", server.name, network, connections), func(b *testing.B) {
					address := "127.0.0.1:0"
					if network == "unix" {
						address = filepath.Join(b.TempDir(), "s")
					}
					l, err := net.Listen(network, address)
					if err != nil {
						b.Fatal(err)
					}
					s := &Server{Answerer: server.Answerer, Log: slog.New(slog.NewTextHandler(io.Discard, nil))}
					go s.Serve(b.Context(), l)
					b.ResetTimer()
					rnd := rand.New(rand.NewPCG(uint64(connections), 1))
					r, err := loadtest.Run(loadtest.Load{Network: network, Address: l.Addr().String(), Connections: connections, N: b.N,
						Ask: func(buf []byte, _ int) []byte {
							return append(append(buf, "floor "...), benchName(rnd.IntN(benchDomains))...)
						}})
					if err != nil || r.Found != len(r.Took) {
						b.Fatal(r.Found, len(r.Took), err)
					}
					b.ReportMetric(r.Rate(), "answers/s")
					for name, q := range map[string]float64{"p50-µs": 0.5, "p99-µs": 0.99, "p99.9-µs": 0.999} {
						b.ReportMetric(float64(r.Quantile(q).Nanoseconds())/1000, name)
					}
				})
			}
		}
	}
}

// BenchmarkAnswer is what an answer out of a list of a million domains takes without the wire.
func BenchmarkAnswer(b *testing.B) {
	r, _, _ := decider(million(b))
	rnd := rand.New(rand.NewPCG(1, 1))
	keys := make([]string, 1<<16)
	for i := range keys {
		keys[i] = benchName(rnd.IntN(benchDomains))
	}
	for _, name := range []string{"floor", "tlsrpt"} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for i := range b.N {
				r.Answer(b.Context(), name, keys[i&(1<<16-1)])
			}
		})
	}
}
