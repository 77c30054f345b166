package main

import (
	"context"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/starttls-everywhere/policylist/mirror/socketmap"
)

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
