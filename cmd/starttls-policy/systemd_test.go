package main

import (
	"context"
	"errors"
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

// notifications are what a process sends to systemd.
type notifications struct {
	t    *testing.T
	c    *net.UnixConn
	path string
}

func newNotifications(t *testing.T) *notifications {
	t.Helper()
	path := filepath.Join(t.TempDir(), "n")
	c, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return &notifications{t, c, path}
}

// next waits for the next one but watchdogs, or for the next at all.
func (n *notifications) next(watchdogs bool) string {
	n.t.Helper()
	buffer := make([]byte, 4096)
	n.c.SetReadDeadline(time.Now().Add(scriptPatience))
	for {
		k, err := n.c.Read(buffer)
		if err != nil {
			n.t.Fatalf("systemd is told nothing: %v", err)
		}
		if text := string(buffer[:k]); watchdogs || text != "WATCHDOG=1" {
			return text
		}
	}
}

// told: when it is ready, that it is alive, when it reloads, and when it begins to stop.
func told(t *testing.T, m *installed) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	n := newNotifications(t)
	ctx, cancel := context.WithCancel(t.Context())
	u := m.start(ctx, l, "NOTIFY_SOCKET="+n.path, "WATCHDOG_USEC=150000")
	if got := n.next(true); got != "READY=1" {
		t.Errorf("first %q", got)
	}
	for range 3 {
		if got := n.next(true); got != "WATCHDOG=1" {
			t.Errorf("%q, want that it is alive", got)
		}
	}
	peer := &mailServer{network: "tcp", address: l.Addr().String()}
	if err := peer.ask(); err != nil {
		t.Error(err)
	}
	c := peer.c
	says := func(want string) {
		t.Helper()
		if reply, err := socketmap.Ask(c, "floor", "new.example"); err != nil || reply.Value != want {
			t.Errorf("%q, %v, want %q", reply.Value, err, want)
		}
	}
	reload := func(config, logged string) {
		t.Helper()
		before, err := os.ReadFile(m.config)
		if err != nil {
			t.Fatal(err)
		}
		m.appendConfig(config)
		u.signal(syscall.SIGHUP)
		var at int64
		if k, _ := fmt.Sscanf(n.next(false), "RELOADING=1\nMONOTONIC_USEC=%d", &at); k != 1 || at <= 0 {
			t.Errorf("no RELOADING=1 with its time, %d", at)
		}
		if got := n.next(false); got != "READY=1" {
			t.Errorf("after the reload %q", got)
		}
		if !eventually(func() bool { return strings.Contains(u.log.String(), logged) }, nil) {
			t.Errorf("the log does not say %q:\n%s", logged, u.log.String())
		}
		if err := os.WriteFile(m.config, before, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	const override = "\n[[override]]\ndomain = \"new.example\"\nmxs = [\"mx.new.example\"]\nreason = \"x\"\n"
	says("")
	reload(override, `msg="configuration read anew" lists=1 overrides=1`)
	says("secure match=mx.new.example servername=hostname protocols=>=TLSv1.2")
	reload("\nnonsense", `level=ERROR msg="configuration not read, the one before stays"`)
	says("secure match=mx.new.example servername=hostname protocols=>=TLSv1.2")
	reload("", `msg="configuration read anew" lists=1 overrides=0`)
	says("")
	// The kill switch is noticed although nobody asks.
	for _, c := range []struct{ command, logged string }{
		{"disable", `level=WARN msg="all policies are switched off" since=`}, {"enable", `level=WARN msg="all policies are in force again"`},
	} {
		args := []string{c.command}
		if c.command == "disable" {
			args = append(args, "--reason", "an outage")
		}
		m.run(0, args...)
		if !eventually(func() bool { return strings.Contains(u.log.String(), c.logged) }, nil) {
			t.Errorf("%s is not logged:\n%s", c.command, u.log.String())
		}
	}
	cancel()
	u.signal(syscall.SIGTERM)
	if got := n.next(false); got != "STOPPING=1" {
		t.Errorf("at the end %q", got)
	}
	<-u.ended
	if u.starts.Load() != 1 {
		t.Errorf("%d starts", u.starts.Load())
	}
}

// A daemon that cannot answer any more does not say that it is alive.
func TestWatchdogOfAHungDaemon(t *testing.T) {
	n := newNotifications(t)
	t.Setenv("NOTIFY_SOCKET", n.path)
	t.Setenv("WATCHDOG_USEC", "30000")
	s := newMachine(t, "").serving(new(lockedLog))
	var hang atomic.Bool
	entered, release := make(chan struct{}), make(chan struct{})
	s.current.Load().Off = func() bool {
		if hang.Load() {
			entered <- struct{}{}
			<-release
		}
		return false
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- s.watchdog(ctx) }()
	if got := n.next(true); got != "WATCHDOG=1" {
		t.Errorf("%q", got)
	}
	hang.Store(true)
	<-entered
	for buffer, wait := make([]byte, 64), time.Duration(0); ; { // what was sent before is there already
		n.c.SetReadDeadline(time.Now().Add(wait))
		_, err := n.c.Read(buffer)
		if err != nil && wait > 0 {
			break
		}
		if err == nil && wait > 0 {
			t.Error("a daemon that hangs says that it is alive")
			break
		}
		if err != nil {
			wait = 300 * time.Millisecond // ten periods
		}
	}
	hang.Store(false)
	close(release)
	if got := n.next(true); got != "WATCHDOG=1" {
		t.Errorf("%q, after it could answer again", got)
	}
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
}

// sandboxed: with nothing to write to but its state, without root and without a right, everything works, and what would
// write elsewhere fails and says so.
func sandboxed(t *testing.T, m *installed) {
	root := tool.AsRoot(t.Context(), t)
	const nobody = "65534"
	state := filepath.Join(m.dir, "state")
	script := `set -e
mount --make-rprivate /
mount --bind "$1" "$1"
mount -t tmpfs tmpfs /tmp
awk '{print $5}' /proc/self/mountinfo | while read -r place; do
	case $place in "$1" | /tmp | /proc | /proc/* | /sys | /sys/* | /dev | /dev/*) ;; *) mount -o remount,bind,ro "$place" ;; esac
done
shift
exec setpriv --reuid ` + nobody + ` --regid ` + nobody + ` --clear-groups --no-new-privs --inh-caps=-all --bounding-set=-all "$@"`
	inside := func(args ...string) *exec.Cmd {
		words := append(slices.Clone(root), "unshare", "-m", "sh", "-c", script, "sh", state)
		words = append(words, args...)
		return exec.Command(words[0], words[1:]...)
	}
	if out, err := exec.Command("cp", "-r", state, state+".kept").CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	defer os.RemoveAll(state + ".kept")
	own := append(slices.Clone(root), "chown", "-R", nobody+":"+nobody, state)
	if out, err := exec.Command(own[0], own[1:]...).CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	defer func() { // to whoever goes on with it
		back := append(slices.Clone(root), "chown", "-R", fmt.Sprintf("%d:%d", os.Getuid(), os.Getgid()), state)
		exec.Command(back[0], back[1:]...).Run()
	}()
	if out, err := inside("touch", filepath.Join(m.dir, "x")).CombinedOutput(); err == nil || !strings.Contains(string(out), "Read-only file system") {
		t.Fatalf("this is no sandbox: %v\n%s", err, out)
	}
	data, err := os.ReadFile(m.config)
	if err != nil {
		t.Fatal(err)
	}
	config := filepath.Join(m.dir, "sandbox.toml")
	write := func(more string) {
		if err := os.WriteFile(config, append(slices.Clone(data), more...), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	table := "\n[postfix]\ntype = \"cdb\"\ndialect = \"floor\"\nmap = \"%s/table\"\n"
	write(fmt.Sprintf(table, state) + "[metrics]\ntextfile = \"" + state + "/x.prom\"\n[[export]]\nformat = \"hints\"\nfile = \"" + state + "/hints\"\n")
	for _, args := range [][]string{{"update"}, {"update", "--method", "snapshot"}, {"status"}, {"disable", "--reason", "x"}, {"enable"}, {"status", "--prometheus"}} {
		if out, err := inside(append([]string{m.program, "--config", config}, args...)...).CombinedOutput(); err != nil {
			t.Errorf("%q: %v\n%s", args, err, out)
		}
	}
	for _, name := range []string{"table", "table.cdb", "x.prom", "hints", "update.json"} {
		info, err := os.Stat(filepath.Join(state, name))
		if err != nil || info.Mode().Perm() != 0o644 {
			t.Errorf("%s: %v, %v; mail servers read it", name, info, err)
		}
	}
	// The daemon takes its socket from outside and keeps its cache.
	write(strings.Replace("[metrics]\ntextfile = \"STATE/x.prom\"\n", "STATE", state, 1))
	text, err := os.ReadFile(config)
	if err != nil {
		t.Fatal(err)
	}
	live := strings.Replace(string(text), `sources = ["list"]`, "resolver = \"127.0.0.1:9\"", 1) // nobody answers there
	if err := os.WriteFile(config, []byte(live), 0o644); err != nil {
		t.Fatal(err)
	}
	m.serveInside(inside, config)
	if !exists(filepath.Join(state, policiesFile)) {
		t.Error("the daemon's cache was not saved")
	}
	write(fmt.Sprintf(table, m.dir))
	if out, err := inside(m.program, "--config", config, "update").CombinedOutput(); err == nil || !strings.Contains(string(out), "read-only file system") {
		t.Errorf("a table outside: %v\n%s", err, out)
	}
}

// serveInside starts the daemon in the sandbox, asks it and stops it.
func (m *installed) serveInside(inside func(...string) *exec.Cmd, config string) {
	t := m.t
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	file, err := l.(*net.TCPListener).File()
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	var log lockedLog
	cmd := inside("sh", "-c", `LISTEN_FDS=1 LISTEN_PID=$$ exec "$@"`, "sh", m.program, "--config", config, "serve")
	cmd.ExtraFiles, cmd.Stderr = []*os.File{file}, &log
	if cmd.Args[0] == "sudo" {
		cmd.Args = slices.Insert(cmd.Args, 1, "-C", "4") // else it closes the socket
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	if got, err := askOnce("tcp", l.Addr().String(), "floor a.example"); err != nil || got != "OK "+listedAnswer {
		t.Errorf("%q, %v", got, err)
	}
	cmd.Process.Signal(syscall.SIGTERM)
	var exit *exec.ExitError
	if err := cmd.Wait(); errors.As(err, &exit) || strings.Contains(log.String(), "level=ERROR") {
		t.Errorf("%v\n%s", err, log.String())
	}
}

// calls: none that the program and Postfix's postmap and postconf make is one that the units refuse, and no socket is of a
// family that they refuse.
func calls(t *testing.T, m *installed) {
	allowed, seen := allowedCalls(t), traced{calls: map[string]bool{}, families: map[string]bool{}}
	socket := filepath.Join(t.TempDir(), "s")
	m.appendConfig("listen = [\"unix:" + socket + "\"]\n")
	own := func(args ...string) *exec.Cmd {
		return exec.Command(m.program, append([]string{"--config", m.config}, args...)...)
	}
	for _, args := range [][]string{{"update", "--method", "snapshot"}, {"disable", "--reason", "x"}, {"enable"}, {"status"}} {
		seen.run(t, m.program, own(args...), nil)
	}
	seen.run(t, m.program, own("serve"), func(cmd *exec.Cmd) {
		answers := func() bool {
			got, err := askOnce("unix", socket, "floor a.example")
			return err == nil && got == "OK "+listedAnswer
		}
		if !eventually(answers, nil) {
			t.Error("under strace it does not answer")
		}
		children, err := os.ReadFile(fmt.Sprintf("/proc/%d/task/%[1]d/children", cmd.Process.Pid))
		var pid int
		if _, errScan := fmt.Sscan(string(children), &pid); err != nil || errScan != nil {
			t.Fatal(err, errScan)
		}
		syscall.Kill(pid, syscall.SIGTERM)
	})
	if len(seen.calls) < 30 || !seen.calls["accept4"] || !seen.calls["fsync"] || !seen.families["AF_UNIX"] {
		t.Errorf("only %d calls were seen", len(seen.calls))
	}
	seen.judge(t, allowed)

	postfix := tool.NewPostfix(t, "lmdb")
	table := filepath.Join(postfix.Config, "table")
	if err := os.WriteFile(table, []byte("a.example  secure match=mx.a.example\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	theirs := traced{calls: map[string]bool{}, families: map[string]bool{}}
	for _, args := range [][]string{{"postmap", "hash:" + table}, {"postmap", "lmdb:" + table}, {"postconf", "-m"}, {"postconf", "-h", "mail_version"}} {
		theirs.run(t, filepath.Join(postfix.Tree, "usr/sbin", args[0]), postfix.Command(t.Context(), t, args[0], args[1:]...), nil)
	}
	if len(theirs.calls) < 20 || !exists(table+".lmdb") || !exists(table+".db") {
		t.Errorf("only %d calls of Postfix were seen", len(theirs.calls))
	}
	theirs.judge(t, allowed)
}

// traced is what programs have asked the kernel for.
type traced struct{ calls, families map[string]bool }

func (s traced) judge(t *testing.T, allowed map[string]bool) {
	t.Helper()
	for name := range s.calls {
		if !allowed[name] {
			t.Errorf("the units refuse %s", name)
		}
	}
	families := strings.Fields(settings(unitFiles(t)["starttls-policy.service"])["RestrictAddressFamilies"][0])
	for family := range s.families {
		if !slices.Contains(families, family) {
			t.Errorf("the units refuse sockets of %s", family)
		}
	}
}

// run runs a command under strace and takes the calls of program, not those of what starts it; meanwhile is called while it
// runs.
func (s traced) run(t *testing.T, program string, cmd *exec.Cmd, meanwhile func(*exec.Cmd)) {
	t.Helper()
	dir := t.TempDir()
	words := cmd.Args
	before := 0
	if words[0] == "sudo" { // nobody can trace that
		before = 2
	}
	words = slices.Insert(slices.Clone(words), before, tool.Path(t, "strace"), "-ff", "-qq", "-o", filepath.Join(dir, "trace"))
	traced := exec.Command(words[0], words[1:]...)
	if err := traced.Start(); err != nil {
		t.Fatal(err)
	}
	if meanwhile != nil {
		meanwhile(traced)
	}
	if err := traced.Wait(); err != nil {
		t.Errorf("%q: %v", cmd.Args, err)
	}
	files, err := filepath.Glob(filepath.Join(dir, "trace.*"))
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files { // one a thread
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if i := strings.LastIndex(string(text), "execve("); i >= 0 {
			if !strings.HasPrefix(string(text[i:]), fmt.Sprintf("execve(%q, ", program)) {
				continue
			}
			text = text[i:]
		}
		s.take(string(text))
	}
}

func (s traced) take(text string) {
	for line := range strings.Lines(text) {
		name, args, ok := strings.Cut(line, "(")
		if !ok || strings.Trim(name, "abcdefghijklmnopqrstuvwxyz0123456789_") != "" {
			continue // a signal, an end, or one that was cut short
		}
		s.calls[name] = true
		if name == "socket" {
			family, _, _ := strings.Cut(args, ",")
			s.families[family] = true
		}
	}
}

// allowedCalls are those of SystemCallFilter=, by what systemd knows about its groups.
func allowedCalls(t *testing.T) map[string]bool {
	t.Helper()
	analyze := tool.Path(t, "systemd-analyze")
	var expand func(string) []string
	expand = func(group string) (out []string) {
		text, err := exec.Command(analyze, "syscall-filter", "--no-pager", group).Output()
		if err != nil {
			t.Fatal(err)
		}
		for _, word := range strings.Split(string(text), "\n")[1:] {
			switch word = strings.TrimSpace(word); {
			case strings.HasPrefix(word, "@"):
				out = append(out, expand(word)...)
			case word != "" && word[0] != '#':
				out = append(out, word)
			}
		}
		return out
	}
	allowed := map[string]bool{}
	for _, filter := range settings(unitFiles(t)["starttls-policy.service"])["SystemCallFilter"] {
		refused, ok := strings.CutPrefix(filter, "~")
		for _, group := range strings.Fields(refused) {
			for _, name := range expand(group) {
				if allowed[name] = !ok; ok {
					delete(allowed, name)
				}
			}
		}
	}
	if !allowed["read"] || allowed["mount"] || allowed["reboot"] {
		t.Fatalf("the filter is not understood: %d calls", len(allowed))
	}
	return allowed
}
