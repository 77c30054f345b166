package main

import (
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/starttls-everywhere/policylist/mirror/socketmap"
	"github.com/starttls-everywhere/policylist/mirror/storetest/tool"
)

const listedAnswer = "secure match=mx.a.example servername=hostname protocols=>=TLSv1.2"

// installed is the program as a release is built, on a machine that has joined a list today.
type installed struct {
	t       *testing.T
	program string
	dir     string // everything, readable for everybody
	config  string
}

// TestUnderSystemd runs the program as the units have it run: by what systemd does, where it is not there itself.
func TestUnderSystemd(t *testing.T) {
	dir, err := os.MkdirTemp("/var/tmp", "starttls-policy-test-") // not below /tmp, which a service does not see
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	m := &installed{t: t, program: filepath.Join(dir, "starttls-policy"), dir: dir, config: filepath.Join(dir, "c.toml")}
	build := exec.Command("go", "build", "-buildvcs=false", "-trimpath", "-ldflags", "-s -w", "-o", m.program, ".")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("go build: %v\n%s", err, out)
	}
	now := time.Now().UTC().Add(-time.Minute).Format("2006-01-02T15:04:05Z")
	fingerprint, err := publish(t.Context(), dir+"/operator", dir+"/public", now, []byte(listedAtNoon))
	if err != nil {
		t.Fatal(err)
	}
	m.run(0, "join", dir+"/public", "--fingerprint", fingerprint, "--name", "example", "--state", dir+"/state", "--mta", "none")
	m.appendConfig("[serve]\nsources = [\"list\"]\nupdate = \"off\"\n")
	for _, c := range []struct {
		name string
		test func(*testing.T, *installed)
	}{
		{"the first question starts it", activated}, {"killed and restarted while it is asked", killed}, {"what systemd is told", told},
		{"in the sandbox", sandboxed}, {"its system calls", calls},
	} {
		t.Run(c.name, func(t *testing.T) {
			own := &installed{t, m.program, m.dir, filepath.Join(t.TempDir(), "c.toml")}
			if text, err := os.ReadFile(m.config); err != nil || os.WriteFile(own.config, text, 0o644) != nil {
				t.Fatal(err)
			}
			c.test(t, own)
		})
	}
}

func (m *installed) appendConfig(text string) {
	m.t.Helper()
	data, err := os.ReadFile(m.config)
	if err == nil {
		err = os.WriteFile(m.config, append(data, text...), 0o644)
	}
	if err != nil {
		m.t.Fatal(err)
	}
}

func (m *installed) run(code int, args ...string) {
	m.t.Helper()
	cmd := exec.Command(m.program, append(args, "--config", m.config)...)
	out, err := cmd.CombinedOutput()
	if got := cmd.ProcessState.ExitCode(); got != code {
		m.t.Fatalf("%q: exit code %d, want %d; %v\n%s", args, got, code, err, out)
	}
}

// activated: systemd listens, and the first connection starts the daemon, which answers it.
func activated(t *testing.T, m *installed) {
	socket := filepath.Join(t.TempDir(), "s")
	activate := tool.Path(t, "systemd-socket-activate")
	log := new(lockedLog)
	cmd := exec.Command(activate, "-l", socket, m.program, "serve", "--config", m.config)
	cmd.Stderr = log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer cmd.Wait()
	defer cmd.Process.Kill()
	if !eventually(func() bool { return exists(socket) && strings.Contains(log.String(), "Listening on") }, nil) {
		t.Fatalf("nobody listens:\n%s", log.String())
	}
	runs := func() string {
		path, err := os.Readlink(fmt.Sprintf("/proc/%d/exe", cmd.Process.Pid))
		if err != nil {
			t.Error(err)
		}
		return path
	}
	if got := runs(); got == m.program {
		t.Error("the daemon runs before anybody asks")
	}
	got, err := askOnce("unix", socket, "floor a.example")
	if err != nil || got != "OK "+listedAnswer {
		t.Errorf("%q, %v\n%s", got, err, log.String())
	}
	if got := runs(); got != m.program {
		t.Errorf("%s has answered", got)
	}
	if !eventually(func() bool { return strings.Contains(log.String(), "listening") }, nil) {
		t.Errorf("the daemon says nothing:\n%s", log.String())
	}
}

// unit is a stand-in for systemd: it holds the socket, and starts the daemon again whenever it ends.
type unit struct {
	listener net.Listener
	mu       sync.Mutex
	process  *os.Process
	starts   atomic.Int64
	ended    chan struct{}
	log      lockedLog
}

func (m *installed) start(ctx context.Context, l net.Listener, env ...string) *unit {
	m.t.Helper()
	file, err := l.(interface{ File() (*os.File, error) }).File()
	if err != nil {
		m.t.Fatal(err)
	}
	u := &unit{listener: l, ended: make(chan struct{})}
	go func() {
		defer close(u.ended)
		defer file.Close()
		for ctx.Err() == nil {
			// The variable names the process that the sockets are for, and exec keeps its number.
			cmd := exec.Command("sh", "-c", `LISTEN_PID=$$ exec "$@"`, "sh", m.program, "serve", "--config", m.config)
			cmd.Env = append(append(os.Environ(), "LISTEN_FDS=1"), env...)
			cmd.ExtraFiles, cmd.Stderr = []*os.File{file}, &u.log
			if err := cmd.Start(); err != nil {
				return
			}
			u.mu.Lock()
			u.process = cmd.Process
			u.mu.Unlock()
			u.starts.Add(1)
			cmd.Wait()
		}
	}()
	m.t.Cleanup(func() {
		u.signal(syscall.SIGKILL)
		<-u.ended
	})
	return u
}

func (u *unit) signal(s syscall.Signal) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.process != nil {
		u.process.Signal(s)
	}
}

// mailServer asks as Postfix's client does: on one connection for as long as it lasts; when that has broken it asks once
// more on a new one, and an error there is one.
type mailServer struct {
	network, address string
	answers, errors  atomic.Int64
	first            error
	c                net.Conn
}

func (p *mailServer) ask() error {
	for try := 0; ; try++ {
		err := p.tryOnce()
		if err == nil || try == 1 {
			return err
		}
	}
}

func (p *mailServer) tryOnce() (err error) {
	if p.c == nil {
		if p.c, err = net.DialTimeout(p.network, p.address, scriptPatience); err != nil {
			return err
		}
		p.c.SetDeadline(time.Now().Add(scriptPatience))
	}
	reply, err := socketmap.Ask(p.c, "floor", "a.example")
	if err == nil && reply.Value != listedAnswer {
		err = fmt.Errorf("the answer is %q", reply)
	}
	if err != nil {
		p.c.Close()
		p.c = nil
	}
	return err
}

// ask until ctx ends.
func (p *mailServer) run(ctx context.Context) {
	for ctx.Err() == nil {
		if err := p.ask(); err != nil {
			if p.errors.Add(1) == 1 {
				p.first = err
			}
			continue
		}
		p.answers.Add(1)
	}
	if p.c != nil {
		p.c.Close()
	}
}

// killed: while mail servers ask without a pause, the daemon is killed and stopped again and again. systemd's socket
// stays, so none of them sees an error.
func killed(t *testing.T, m *installed) {
	for _, network := range []string{"unix", "tcp"} {
		address := "127.0.0.1:0"
		if network == "unix" {
			address = filepath.Join(t.TempDir(), "s")
		}
		l, err := net.Listen(network, address)
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		ctx, cancel := context.WithCancel(t.Context())
		u := m.start(ctx, l)
		var all []*mailServer
		var running sync.WaitGroup
		asking, stop := context.WithCancel(t.Context())
		for range 8 {
			p := &mailServer{network: network, address: l.Addr().String()}
			all = append(all, p)
			running.Go(func() { p.run(asking) })
		}
		for round := range 8 {
			before := make([]int64, len(all))
			for i, p := range all {
				before[i] = p.answers.Load()
			}
			progress := eventually(func() bool {
				return !slices.ContainsFunc(all, func(p *mailServer) bool { return p.answers.Load() < before[slices.Index(all, p)]+20 })
			}, nil)
			if !progress {
				t.Fatalf("%s, round %d: no answers any more\n%s", network, round, u.log.String())
			}
			starts := u.starts.Load()
			u.signal([]syscall.Signal{syscall.SIGKILL, syscall.SIGTERM}[round%2])
			if !eventually(func() bool { return u.starts.Load() > starts }, nil) {
				t.Fatalf("%s, round %d: it did not end", network, round)
			}
		}
		stop()
		running.Wait()
		answers, failures := int64(0), int64(0)
		for _, p := range all {
			answers, failures = answers+p.answers.Load(), failures+p.errors.Load()
			if p.first != nil {
				t.Error(p.first)
			}
		}
		cancel()
		u.signal(syscall.SIGTERM)
		<-u.ended
		t.Logf("%s: %d starts, %d answers, %d errors", network, u.starts.Load(), answers, failures)
		if failures > 0 || strings.Contains(u.log.String(), "level=ERROR") {
			t.Errorf("%d errors\n%s", failures, u.log.String())
		}
	}
}
