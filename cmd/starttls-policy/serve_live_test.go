package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
)

// TestStartWithoutAResolver: at boot the file is empty, or not there; the daemon starts all the same, asks the resolver of
// this machine, says so once, and follows what the file names later, without a restart.
func TestStartWithoutAResolver(t *testing.T) {
	m := newMachine(t, "[serve]\nlisten = [\"unix:DIR/sock\"]\n")
	cfg, err := m.loadConfig()
	if err != nil {
		t.Fatal(err)
	}
	lists, err := m.openLists(cfg)
	if err != nil {
		t.Fatal(err)
	}
	var log lockedLog
	s := newServed(&m.app, cfg, &log)
	s.resolvConf = filepath.Join(m.dir, "resolv.conf")
	write := func(text string) {
		t.Helper()
		if err := os.WriteFile(s.resolvConf, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	write("")
	if err := s.prepare(lists); err != nil {
		t.Fatalf("it does not start: %v", err)
	}
	s.followResolvers()
	asks := func(want string) {
		t.Helper()
		if got := s.resolvers.Servers()[0].String(); got != want {
			t.Errorf("%s is asked, want %s", got, want)
		}
	}
	asks("127.0.0.1:53")
	if n := strings.Count(log.String(), "no resolver is named"); n != 1 {
		t.Errorf("said %d times:\n%s", n, log.String())
	}
	write("nameserver 192.0.2.53\n")
	s.followResolvers()
	asks("192.0.2.53:53")
	write("nameserver 192.0.2.54\nnameserver 192.0.2.53\n")
	s.followResolvers()
	asks("192.0.2.54:53")
	write("")
	s.followResolvers()
	asks("192.0.2.54:53")
	if text := log.String(); strings.Count(text, "msg=resolvers ") != 2 || strings.Count(text, "no resolver is named") != 2 {
		t.Errorf("logged:\n%s", text)
	}
}

// TestSecondSignal: the first asks a command to come to an end; one that hangs where nothing looks at it, here in a file that
// nobody writes, is ended by the second.
func TestSecondSignal(t *testing.T) {
	dir := t.TempDir()
	fifo := filepath.Join(dir, "c.toml")
	if err := syscall.Mkfifo(fifo, 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("starttls-policy", "query", "a.example", "--config", fifo) // that of TestMain
	cmd.Env = append(os.Environ(), "NOW=2026-03-01T13:00:00Z")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() {
		cmd.Wait()
		close(ended)
	}()
	t.Cleanup(func() {
		cmd.Process.Kill()
		<-ended
	})
	hold, err := os.OpenFile(fifo, os.O_WRONLY, 0) // returns when the command has opened it, and so listens to signals
	if err != nil {
		t.Fatal(err)
	}
	defer hold.Close()
	signal := func() { cmd.Process.Signal(syscall.SIGTERM) }
	signal()
	if !eventually(func() bool { return !pending(t, cmd.Process.Pid, syscall.SIGTERM) }, ended) {
		t.Fatal("the first signal ended it, or never came")
	}
	select {
	case <-ended:
		t.Fatal("the first signal ended it")
	default:
	}
	if !eventually(func() bool {
		signal()
		select {
		case <-ended:
			return true
		default:
			return false
		}
	}, nil) {
		t.Fatal("further signals do not end it")
	}
	if status := cmd.ProcessState.Sys().(syscall.WaitStatus); !status.Signaled() || status.Signal() != syscall.SIGTERM {
		t.Errorf("it ended with %v", cmd.ProcessState)
	}
}

// pending reports whether a signal has not come to a process yet.
func pending(t *testing.T, pid int, s syscall.Signal) bool {
	t.Helper()
	data, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/status")
	if err != nil {
		t.Fatal(err)
	}
	found := regexp.MustCompile(`ShdPnd:\s+([0-9a-f]+)`).FindSubmatch(data)
	if found == nil {
		t.Fatalf("no ShdPnd in %s", data)
	}
	mask, err := strconv.ParseUint(string(found[1]), 16, 64)
	if err != nil {
		t.Fatal(err)
	}
	return mask&(1<<(uint(s)-1)) != 0
}
