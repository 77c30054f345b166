package socketmap

import (
	"fmt"
	"log/slog"
	"net"
	"testing"
	"time"

	"github.com/starttls-everywhere/policylist/policy/mta"
)

// Each answer is counted once, under whose word it was, what was said and in which dialect; a key that is no domain
// counts apart.
func TestMetricsCountAnswers(t *testing.T) {
	r, _, off := decider(holding(t, "example", "a.example: enforce mx.a.example", "t.example: testing mx.t.example"))
	r.Overrides = Overrides{domain(t, "o.example"): {Domain: domain(t, "o.example"), Policy: wants(t, "enforce mx.o.example"), Reason: "x"},
		domain(t, "let.example"): {Domain: domain(t, "let.example"), Reason: "x"}}
	ask := func(n int, mapName, key string) {
		for range n {
			r.Answer(t.Context(), mapName, key)
		}
	}
	ask(1, "sni", "a.example")
	ask(2, "QUERYwithTLSRPT", "a.example")
	ask(3, "floor", "t.example")
	ask(4, "legacy", "o.example")
	ask(5, "nobody-knows", "let.example")
	ask(6, "postfix", "z.example")
	ask(7, "postfix", ".example")
	*off = true
	ask(8, "tlsrpt", "a.example")
	want := map[string]int64{
		"list policy sni": 1, "list policy tlsrpt": 2, "list notfound floor": 3, "override policy legacy": 4,
		"override notfound legacy": 5, "none notfound sni": 6, "off notfound tlsrpt": 8,
	}
	all := r.Metrics.Lookups()
	for _, l := range all {
		key := fmt.Sprintf("%s %s %s", l.Source, l.Result, l.Dialect)
		if l.Count != want[key] {
			t.Errorf("%s: %d, want %d", key, l.Count, want[key])
		}
		delete(want, key)
	}
	if len(want) > 0 || len(all) != 10*4 {
		t.Errorf("not counted at all: %v; %d ways", want, len(all))
	}
	if n := r.Metrics.Foreign(); n != 7 {
		t.Errorf("keys without a domain: %d", n)
	}
}

// Every decision is counted under its own source, and a DANE lookup that makes mail wait as such.
func TestMetricsSources(t *testing.T) {
	var m Metrics
	for i, s := range sources {
		for range i + 1 {
			m.count(s, Reply{}, dialect{})
		}
		if n := m.Answers(s); n != int64(i+1) {
			t.Errorf("%s: %d, want %d", s, n, i+1)
		}
	}
	m.count(SourceDANE, Reply{Temp: "TLSA lookup failed"}, dialect{mta.TLSRPT})
	for _, l := range m.Lookups() {
		if (l.Source == SourceDANE && l.Result == ResultTemp && l.Dialect == "tlsrpt") != (l.Result == ResultTemp && l.Count == 1) {
			t.Errorf("%+v", l)
		}
	}
	var none *Metrics
	none.count(SourceList, Reply{}, dialect{})
	none.stranger()
	none.downgrade()
	none.notAccepted()
	none.connected()()
}

// Connections are counted while they last.
func TestMetricsConnections(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	m := new(Metrics)
	server := &Server{Answerer: echo{}, Log: slog.New(slog.DiscardHandler), Metrics: m}
	served := make(chan error, 1)
	go func() { served <- server.Serve(t.Context(), l) }()
	var all []net.Conn
	for range 3 {
		c, err := net.Dial("tcp", l.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		if _, err := Ask(c, "sni", "a.example"); err != nil {
			t.Fatal(err)
		}
		all = append(all, c)
	}
	if open, accepted, failed := m.Connections(); open != 3 || accepted != 3 || failed != 0 {
		t.Errorf("%d open, %d accepted, %d failed", open, accepted, failed)
	}
	all[0].Close()
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(time.Millisecond) {
		open, accepted, _ := m.Connections()
		if open == 2 && accepted == 3 {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("%d open, %d accepted after one was closed", open, accepted)
		}
	}
}

// What is remembered is counted.
func TestCached(t *testing.T) {
	l := &Live{Now: func() time.Time { return start }}
	for i := range 5 {
		d := domain(t, fmt.Sprintf("d%d.example", i))
		l.policies.put(d, stsPolicy{}, l.policyLimit())
		if i < 2 {
			l.routes.put(d, route{}, limit[route]{entries: maxRoutes})
		}
	}
	if policies, routes := l.Cached(); policies != 5 || routes != 2 {
		t.Errorf("%d policies, %d routes", policies, routes)
	}
}
