package probe

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/miekg/dns"

	"github.com/starttls-everywhere/policylist/pipeline/lab"
	"github.com/starttls-everywhere/policylist/policy"
)

// cpuTime is what this process has used, the lab's servers included.
func cpuTime(b testing.TB) time.Duration {
	var r syscall.Rusage
	must(b, syscall.Getrusage(syscall.RUSAGE_SELF, &r))
	return time.Duration(r.Utime.Nano() + r.Stime.Nano())
}

// BenchmarkScan probes 10,000 domains that share 100 MX hosts, one in ten of them with an MTA-STS policy, without a rate
// limit. "domains/s" is what this run took, in whatever company; "domains/cpu-s" is per second of one processor, with
// the lab's own servers in it: two processors that have nothing else to do scan nearly twice as many a second.
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
			d.STS = lab.STSPolicy("enforce", 10886400, mx)
		}
		must(b, l.AddDomain(d))
		targets[i] = Target{Domain: domain(name), Policy: enforce(b, name, mx)}
	}
	before := cpuTime(b)
	var handshakes int
	for b.Loop() {
		done, policies := 0, 0
		err := newProber(b, l, false, nil).Each(b.Context(), targets, func(r Result) error {
			if r.Verdict == Pass {
				done++
			}
			if bytes.Contains(r.Line, []byte(`"track":`)) {
				policies++
			}
			return nil
		})
		if err != nil || done != domains || policies != domains/10 {
			b.Fatalf("%d of %d pass, %d policies, %v", done, domains, policies, err)
		}
	}
	for i := range hosts {
		stats, err := l.Stats(fmt.Sprintf("mx%d.provider.example", i))
		must(b, err)
		handshakes += stats.Sessions
	}
	total := float64(domains * b.N)
	b.ReportMetric(total/b.Elapsed().Seconds(), "domains/s")
	b.ReportMetric(total/(cpuTime(b)-before).Seconds(), "domains/cpu-s")
	b.ReportMetric(float64(handshakes)/float64(b.N), "handshakes")
	b.ReportMetric(hosts, "pairs")
}

// formulaDNS answers for domains and hosts of which there are too many for a table: dN.example has the MX host
// mx(N mod hosts).provider.example, and that the address that the lab gave it. It is one goroutine behind one socket.
type formulaDNS struct {
	conn  net.PacketConn
	hosts []netip.Addr
}

func newFormulaDNS(t testing.TB, hosts []netip.Addr) *formulaDNS {
	conn, err := net.ListenPacket("udp", "127.0.0.1:0")
	must(t, err)
	f := &formulaDNS{conn, hosts}
	done := make(chan struct{})
	for range 2 {
		go func() { defer func() { done <- struct{}{} }(); f.serve() }()
	}
	t.Cleanup(func() { conn.Close(); <-done; <-done })
	return f
}

func (f *formulaDNS) serve() {
	in := make([]byte, 2048)
	for {
		n, from, err := f.conn.ReadFrom(in)
		if err != nil {
			return
		}
		query := new(dns.Msg)
		if query.Unpack(in[:n]) != nil || len(query.Question) != 1 {
			continue
		}
		if out, err := f.answer(query).Pack(); err == nil {
			f.conn.WriteTo(out, from)
		}
	}
}

func (f *formulaDNS) answer(query *dns.Msg) *dns.Msg {
	reply := new(dns.Msg).SetReply(query)
	q := query.Question[0]
	head := dns.RR_Header{Name: q.Name, Rrtype: q.Qtype, Class: dns.ClassINET, Ttl: 60}
	name, _, _ := strings.Cut(q.Name, ".")
	switch n, err := strconv.Atoi(strings.TrimLeft(name, "dmx")); {
	case err != nil:
		reply.Rcode = dns.RcodeNameError
	case q.Qtype == dns.TypeMX && name[0] == 'd':
		reply.Answer = append(reply.Answer, &dns.MX{Hdr: head, Preference: 10, Mx: fmt.Sprintf("mx%d.provider.example.", n%len(f.hosts))})
		return reply
	case q.Qtype == dns.TypeA && name[0] == 'm':
		reply.Answer = append(reply.Answer, &dns.A{Hdr: head, A: f.hosts[n%len(f.hosts)].AsSlice()})
		return reply
	}
	reply.Ns = append(reply.Ns, &dns.SOA{Hdr: dns.RR_Header{Name: "example.", Rrtype: dns.TypeSOA, Class: dns.ClassINET, Ttl: 60},
		Ns: "ns.example.", Mbox: "hostmaster.example.", Minttl: 60})
	return reply
}

// TestScanOfMany scans 1,000,000 domains behind 2,000 MX hosts (1,000 behind 10 without POLICYLIST_FULL) into a file, and
// merges that with another vantage's: as many handshakes as there are pairs of address and name, or nearly, results in
// order, and bounded memory, the lab's servers included.
func TestScanOfMany(t *testing.T) {
	domains, hosts, limit := 1_000, 10, int64(200<<20)
	if os.Getenv("POLICYLIST_FULL") == "1" {
		domains, hosts, limit = 1_000_000, 2_000, 1<<30
	}
	l := startLab(t)
	var addrs []netip.Addr
	for i := range hosts {
		name := fmt.Sprintf("mx%d.provider.example", i)
		must(t, l.AddHost(lab.Host{Name: name}))
		at, err := l.Addresses(name)
		must(t, err)
		addrs = append(addrs, at[0].Addr())
	}
	resolver := newFormulaDNS(t, addrs).conn.LocalAddr().(*net.UDPAddr).AddrPort()
	targets := manyTargets(t, domains, hosts)
	memory := startMeter(t)
	start, cpu := time.Now(), cpuTime(t)
	file := t.TempDir() + "/north.jsonl"
	scanToFile(t, newProber(t, l, false, func(o *Options) { o.Resolver, o.Vantage = resolver, "north" }), targets, file)
	took, used := time.Since(start), cpuTime(t)-cpu
	handshakes := 0
	for i := range hosts {
		stats, err := l.Stats(fmt.Sprintf("mx%d.provider.example", i))
		must(t, err)
		handshakes += stats.Sessions
	}
	report, err := Merge(nil, []EvidenceFile{fileInput(file), inOtherWords(t, file, "south")}, MergeOptions{Quorum: 2}, nil)
	must(t, err)
	peak := memory()
	info, err := os.Stat(file)
	must(t, err)
	t.Logf("%d domains, %d pairs, %d handshakes; %s, %.0f domains/s, %.0f domains/cpu-s; evidence %d MB; peak %d MiB", domains, hosts, handshakes,
		took.Round(time.Millisecond), float64(domains)/took.Seconds(), float64(domains)/used.Seconds(), info.Size()>>20, peak>>20)
	if handshakes < hosts || handshakes > 3*hosts {
		t.Errorf("%d handshakes for %d pairs of address and name", handshakes, hosts)
	}
	if report.Domains != domains || report.Verdicts[Pass] != domains {
		t.Errorf("merged: %+v", report)
	}
	if peak > limit {
		t.Errorf("%d MiB at the peak, at most %d MiB are allowed", peak>>20, limit>>20)
	}
}

func manyTargets(t testing.TB, domains, hosts int) []Target {
	policies := make([]policy.Policy, hosts)
	for i := range policies {
		policies[i] = enforce(t, "x.example", fmt.Sprintf("mx%d.provider.example", i))
	}
	targets := make([]Target, domains)
	for i := range targets {
		targets[i] = Target{domain(fmt.Sprintf("d%07d.example", i)), policies[i%hosts]}
	}
	return targets
}

// scanToFile writes the evidence of a scan, and holds the results against the order of targets.
func scanToFile(t testing.TB, p *Prober, targets []Target, path string) {
	t.Helper()
	file, err := os.Create(path)
	must(t, err)
	defer file.Close()
	header, err := p.Header(t.Context(), "")
	must(t, err)
	w, err := NewEvidence(file, header)
	must(t, err)
	n := 0
	must(t, p.Each(t.Context(), targets, func(r Result) error {
		if r.Domain != targets[n].Domain || r.Verdict != Pass {
			return fmt.Errorf("result %d is of %s: %s %q", n, r.Domain, r.Verdict, r.Codes)
		}
		n++
		return w.Add(r)
	}))
	if n != len(targets) {
		t.Fatalf("%d results for %d targets", n, len(targets))
	}
	must(t, w.Sign(vantageKey(1)))
}

func fileInput(path string) EvidenceFile {
	return EvidenceFile{path, func() (io.ReadCloser, error) { return os.Open(path) }}
}

// inOtherWords is a file as another vantage would have written it, unsigned.
func inOtherWords(t testing.TB, path, vantage string) EvidenceFile {
	return EvidenceFile{vantage, func() (io.ReadCloser, error) {
		in, err := os.Open(path)
		if err != nil {
			return nil, err
		}
		r, w := io.Pipe()
		go func() {
			defer in.Close()
			e, err := NewReader(in, MaxEvidence)
			for line := (Line{}); err == nil; line, err = e.Next() {
				text := line.Raw
				if text == nil {
					text = e.first
				}
				text = bytes.Replace(text, []byte(`"vantage":"north"`), []byte(`"vantage":"`+vantage+`"`), 1)
				if _, err := w.Write(append(text, '\n')); err != nil {
					return
				}
			}
			if !errors.Is(err, io.EOF) {
				t.Error(err)
			}
			w.CloseWithError(io.EOF)
		}()
		return r, nil
	}}
}

// startMeter measures memory that the runtime has from the system, until the function that it returns tells the peak.
func startMeter(t testing.TB) (peak func() int64) {
	t.Helper()
	ctx, stop := context.WithCancel(t.Context())
	highest := make(chan int64)
	go func() {
		most := int64(0)
		tick := time.NewTicker(50 * time.Millisecond)
		defer tick.Stop()
		for {
			var m runtime.MemStats
			runtime.ReadMemStats(&m)
			most = max(most, int64(m.Sys-m.HeapReleased))
			select {
			case <-tick.C:
			case <-ctx.Done():
				highest <- most
				return
			}
		}
	}()
	return func() int64 {
		stop()
		return <-highest
	}
}
