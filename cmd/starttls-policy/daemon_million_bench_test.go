//go:build linux

package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/miekg/dns"

	"github.com/starttls-everywhere/policylist/mirror/socketmap/loadtest"
)

// secureZones is a resolver whose every domain has one MX host with TLSA records, and the AD bit: what postfix-tlspol
// needs to have a policy for it.
func secureZones(b *testing.B) (address string) {
	b.Helper()
	started := make(chan struct{})
	s := &dns.Server{Addr: "127.0.0.1:0", Net: "udp", NotifyStartedFunc: func() { close(started) }, Handler: dns.HandlerFunc(func(w dns.ResponseWriter, q *dns.Msg) {
		m := new(dns.Msg).SetReply(q)
		m.AuthenticatedData = true
		name := q.Question[0].Name
		add := func(text string) {
			rr, err := dns.NewRR(name + " 86400 IN " + text)
			if err != nil {
				panic(err)
			}
			m.Answer = append(m.Answer, rr)
		}
		switch q.Question[0].Qtype {
		case dns.TypeMX:
			add("MX 10 mx." + name)
		case dns.TypeA:
			add("A 192.0.2.1")
		case dns.TypeTLSA:
			add("TLSA 3 1 1 0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef")
		}
		w.WriteMsg(m)
	})}
	go s.ListenAndServe()
	<-started
	b.Cleanup(func() { s.Shutdown() })
	return s.PacketConn.LocalAddr().String()
}

// startTLSPol starts postfix-tlspol, where POLICYLIST_TLSPOL names its binary, with policies for so many domains in its cache;
// else it returns "".
func startTLSPol(b *testing.B, network string, domains int) (address string) {
	b.Helper()
	binary := os.Getenv("POLICYLIST_TLSPOL")
	if binary == "" {
		return ""
	}
	dir := b.TempDir()
	address, listen := freeAddress(b), ""
	if listen = address; network == "unix" {
		address = filepath.Join(dir, "sock")
		listen = "unix:" + address
	}
	config := fmt.Sprintf("server:\n  address: %s\n  log-level: error\n  prefetch: false\n  cache-file: %s/cache.db\ndns:\n  address: %s\n", listen, dir, secureZones(b))
	if err := os.WriteFile(filepath.Join(dir, "c.yaml"), []byte(config), 0o644); err != nil {
		b.Fatal(err)
	}
	startAndAsk(b, exec.Command(binary, "-config", filepath.Join(dir, "c.yaml")), network, address, "QUERY "+benchDomain(0), "OK ")
	warm := randomLoad(network, address, "QUERY", 16, domains, domains)
	warm.Ask = func(buf []byte, i int) []byte { return append(buf, "QUERY "+benchDomain(i)...) }
	if _, err := loadtest.Run(warm); err != nil {
		b.Fatal(err)
	}
	return address
}

// BenchmarkDaemonAnswers asks "serve", with a list of a million domains, about random ones of them, in a closed loop: answers
// a second and how long they took. Where POLICYLIST_TLSPOL names a binary of postfix-tlspol, it is asked in turns with us,
// about 20,000 domains that it has in its cache, and the ratios of rates and of p99 are reported.
func BenchmarkDaemonAnswers(b *testing.B) {
	d := newBenchDaemon(b, 1_000_000)
	d.start()
	for _, network := range []string{"tcp", "unix"} {
		ours := d.tcp
		if network == "unix" {
			ours = d.unix
		}
		theirs := startTLSPol(b, network, 20_000)
		for _, connections := range []int{1, 16} {
			b.Run(fmt.Sprintf("%s/%d", network, connections), func(b *testing.B) {
				var us, them loadtest.Result
				for range benchRounds {
					n := max(1, b.N/benchRounds)
					if theirs != "" {
						them = them.With(loadtest.Run(randomLoad(network, theirs, "QUERY", connections, n, 20_000)))
					}
					us = us.With(loadtest.Run(randomLoad(network, ours, "floor", connections, n, d.domains)))
				}
				reportLoad(b, us)
				if theirs != "" {
					b.Logf("postfix-tlspol: %s; we: %s", them, us)
					b.ReportMetric(us.Rate()/them.Rate(), "x-rate")
					b.ReportMetric(float64(us.Quantile(0.99))/float64(them.Quantile(0.99)), "x-p99")
				}
			})
		}
	}
	b.Run("memory", func(b *testing.B) {
		b.ReportMetric(memory(b, d.cmd.Process.Pid, "VmRSS"), "RSS-MB")
		b.ReportMetric(memory(b, d.cmd.Process.Pid, "VmHWM"), "HWM-MB")
		b.ReportMetric(0, "ns/op")
	})
}

// benchRounds is how often two servers take turns, so that what else the machine does falls on both.
const benchRounds = 8

// BenchmarkDaemonReload puts three releases of a million domains into the state folder, one after the other, as an update does
// at its end, while 16 connections ask without a pause. It reports how long answers took from then to when the release is in
// force, beside as many without a reload, what memory the process had at most, and what it has at rest; and how long it took from its start to its first answer.
func BenchmarkDaemonReload(b *testing.B) {
	d := newBenchDaemon(b, 1_000_000)
	d.prepareReleases()
	for range b.N {
		d.swap(0)
		b.ReportMetric(d.start().Seconds(), "ready-s")
		b.ReportMetric(memory(b, d.cmd.Process.Pid, "VmRSS"), "start-RSS-MB")
		var all loadtest.Result
		for i := range 3 {
			stop, asked := make(chan struct{}), make(chan loadtest.Result, 1)
			go func() {
				l := randomLoad("unix", d.unix, "floor", 16, 0, d.domains)
				l.Stop = stop
				asked <- loadtest.Result{}.With(loadtest.Run(l))
			}()
			d.swap((i + 1) % 2)
			close(stop)
			r := <-asked
			all = all.With(r, r.Err)
		}
		reportLoad(b, all)
		still, err := loadtest.Run(randomLoad("unix", d.unix, "floor", 16, len(all.Took), d.domains))
		if err != nil {
			b.Fatal(err)
		}
		b.ReportMetric(float64(still.Quantile(0.999).Nanoseconds())/1000, "still-p99.9-µs")
		b.ReportMetric(float64(still.Quantile(1).Nanoseconds())/1000, "still-worst-µs")
		b.Logf("during three reloads, %s: %s; as many answers without: %s", all.Elapsed, all, still)
		b.ReportMetric(memory(b, d.cmd.Process.Pid, "VmRSS"), "RSS-MB")
		b.ReportMetric(memory(b, d.cmd.Process.Pid, "VmHWM"), "HWM-MB")
		d.stop()
	}
}
