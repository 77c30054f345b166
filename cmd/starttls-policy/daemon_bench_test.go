//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/starttls-everywhere/policylist/mirror/socketmap/loadtest"
	"github.com/starttls-everywhere/policylist/policy"
)

// benchDaemon is a real process with a real list, on real sockets.
type benchDaemon struct {
	b            *testing.B
	program, dir string
	unix, tcp    string
	cmd          *exec.Cmd
	stop         func()
	domains      int
}

// newBenchDaemon builds the program, publishes a list of so many domains and joins it. Nothing is started. It takes a minute for
// a million; POLICYLIST_LOAD_DIR names a folder in which the list stays for the next run.
func newBenchDaemon(b *testing.B, domains int) *benchDaemon {
	b.Helper()
	d := &benchDaemon{b: b, dir: b.TempDir(), domains: domains}
	d.program, d.unix, d.tcp = filepath.Join(d.dir, "starttls-policy"), filepath.Join(d.dir, "sock"), freeAddress(b)
	if out, err := exec.Command("go", "build", "-trimpath", "-o", d.program, ".").CombinedOutput(); err != nil {
		b.Fatalf("%v: %s", err, out)
	}
	if dir := os.Getenv("POLICYLIST_LOAD_DIR"); dir != "" {
		d.dir = filepath.Join(dir, strconv.Itoa(domains))
	}
	if !exists(filepath.Join(d.dir, "var")) {
		fingerprint := d.publish()
		d.run("join", filepath.Join(d.dir, "public"), "--fingerprint", fingerprint, "--name", "example", "--state", filepath.Join(d.dir, "var"), "--mta", "none")
	}
	config := fmt.Sprintf("state = %q\n[[list]]\nname = \"example\"\nmirrors = [%q]\n[serve]\nlisten = [%q, %q]\nsources = [\"list\"]\nupdate = \"off\"\n",
		filepath.Join(d.dir, "var"), filepath.Join(d.dir, "public"), "unix:"+d.unix, d.tcp)
	if err := os.WriteFile(filepath.Join(d.dir, "c.toml"), []byte(config), 0o644); err != nil {
		b.Fatal(err)
	}
	return d
}

// publish makes the next release; each changes a domain.
func (d *benchDaemon) publish() (fingerprint string) {
	d.b.Helper()
	var text strings.Builder
	text.WriteString(`{"policies": {`)
	for i := range d.domains {
		fmt.Fprintf(&text, "\n%q: {\"mode\": \"enforce\", \"mxs\": [\"mx%d.provider.example\", \".mail.provider.example\"]},", benchDomain(i), i%2000)
	}
	fmt.Fprintf(&text, "\n\"release.example\": {\"mode\": \"enforce\", \"mxs\": [\"mx%d.release.example\"]}\n}}\n", time.Now().UnixNano())
	at := time.Now().UTC().Format(policy.TimeFormat)
	fingerprint, err := publish(context.Background(), filepath.Join(d.dir, "operator"), filepath.Join(d.dir, "public"), at, []byte(text.String()))
	if err != nil {
		d.b.Fatal(err)
	}
	return fingerprint
}

func benchDomain(i int) string { return "d" + strconv.Itoa(i) + ".example" }

func (d *benchDaemon) run(args ...string) {
	d.b.Helper()
	cmd := exec.Command(d.program, append(args, "--config", filepath.Join(d.dir, "c.toml"))...)
	if out, err := cmd.CombinedOutput(); err != nil {
		d.b.Fatalf("%s: %v: %s", args, err, out)
	}
}

// start starts "serve" and returns how long it took to the first answer out of the list.
func (d *benchDaemon) start() time.Duration {
	d.b.Helper()
	d.cmd = exec.Command(d.program, "serve", "--config", filepath.Join(d.dir, "c.toml"))
	took, end := startAndAsk(d.b, d.cmd, "unix", d.unix, "floor "+benchDomain(0), "OK ")
	d.stop = end
	return took
}

// release is the folder with the state of one of two releases.
func (d *benchDaemon) release(n int) string { return filepath.Join(d.dir, fmt.Sprint("release", n)) }

// prepareReleases makes the states of two releases.
func (d *benchDaemon) prepareReleases() {
	d.b.Helper()
	for n := range 2 {
		if exists(d.release(n)) {
			continue
		}
		if n > 0 {
			d.publish()
			d.run("update")
		}
		if err := os.CopyFS(d.release(n), os.DirFS(filepath.Join(d.dir, "var/example"))); err != nil {
			d.b.Fatal(err)
		}
	}
}

// swap puts a release into the state folder, state last, as an update does, and where a daemon runs waits until that answers by it.
func (d *benchDaemon) swap(n int) {
	d.b.Helper()
	before, _ := askOnce("unix", d.unix, "legacy release.example")
	for _, name := range []string{"policy.json", "policy.json.tlog-proof", "state.json"} {
		to := filepath.Join(d.dir, "var/example", name)
		if err := errors.Join(os.Link(filepath.Join(d.release(n), name), to+".next"), os.Rename(to+".next", to)); err != nil {
			d.b.Fatal(err)
		}
	}
	if before != "" && !eventually(func() bool {
		after, err := askOnce("unix", d.unix, "legacy release.example")
		return err == nil && after != before
	}, nil) {
		d.b.Fatal("the release is not in force")
	}
}

// startAndAsk starts a server and asks until it answers, and returns how long that took.
func startAndAsk(b *testing.B, cmd *exec.Cmd, network, address, request, want string) (took time.Duration, end func()) {
	b.Helper()
	var log lockedLog
	cmd.Stderr, cmd.Stdout = &log, &log
	begin := time.Now()
	if err := cmd.Start(); err != nil {
		b.Fatal(err)
	}
	ended := make(chan struct{})
	go func() {
		cmd.Wait()
		close(ended)
	}()
	end = func() {
		cmd.Process.Signal(syscall.SIGTERM)
		<-ended
	}
	b.Cleanup(end)
	for {
		reply, err := askOnce(network, address, request)
		switch {
		case err == nil && strings.HasPrefix(reply, want):
			return time.Since(begin), end
		case err == nil:
			b.Fatalf("%s: %q", request, reply)
		}
		select {
		case <-ended:
			b.Fatalf("it ended: %s", log.String())
		case <-time.After(time.Millisecond):
		}
	}
}

// memory is VmRSS or VmHWM of a process, in MB.
func memory(b *testing.B, pid int, field string) float64 {
	b.Helper()
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		b.Fatal(err)
	}
	found := regexp.MustCompile(field + `:\s+(\d+) kB`).FindSubmatch(data)
	if found == nil {
		b.Fatalf("no %s in %s", field, data)
	}
	kilobytes, err := strconv.Atoi(string(found[1]))
	if err != nil {
		b.Fatal(err)
	}
	return float64(kilobytes) / 1000
}

func freeAddress(b *testing.B) string {
	b.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

// randomLoad is n questions about random domains of the first so many.
func randomLoad(network, address, mapName string, connections, n, domains int) loadtest.Load {
	seed := uint64(connections)
	return loadtest.Load{Network: network, Address: address, Connections: connections, N: n, Ask: func(buf []byte, _ int) []byte {
		seed = seed*6364136223846793005 + 1442695040888963407
		buf = append(append(buf, mapName...), " d"...)
		return append(strconv.AppendUint(buf, seed>>33%uint64(domains), 10), ".example"...)
	}}
}

// reportLoad reports a load out of which every question was found.
func reportLoad(b *testing.B, r loadtest.Result) {
	b.Helper()
	if r.Err != nil {
		b.Fatal(r.Err)
	}
	if r.Found != len(r.Took) {
		b.Fatalf("%d of %d found", r.Found, len(r.Took))
	}
	b.ReportMetric(r.Rate(), "answers/s")
	for name, q := range map[string]float64{"p50-µs": 0.5, "p99-µs": 0.99, "p99.9-µs": 0.999, "worst-µs": 1} {
		b.ReportMetric(float64(r.Quantile(q).Nanoseconds())/1000, name)
	}
	b.ReportMetric(0, "ns/op")
}
