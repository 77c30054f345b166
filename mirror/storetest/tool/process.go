package tool

import (
	"bytes"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"
	"time"
)

// patience is far more than any program of tools.txt needs to start or to end.
const patience = time.Minute

// Process is a program that runs until Stop, or until the test that started it ends.
type Process struct {
	ended chan struct{} // closed when it has ended
	stop  func()
	said  *output
}

// Start starts a command. quit is the signal that ends it: os.Kill, unless it has something to clear away. A failed test
// shows what the program wrote.
func Start(t testing.TB, cmd *exec.Cmd, quit os.Signal) *Process {
	t.Helper()
	p := &Process{ended: make(chan struct{}), said: &output{}}
	cmd.Stdout, cmd.Stderr = p.said, p.said
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		cmd.Wait()
		close(p.ended)
	}()
	p.stop = sync.OnceFunc(func() {
		cmd.Process.Signal(quit)
		select {
		case <-p.ended:
		case <-time.After(patience):
			cmd.Process.Kill()
			<-p.ended
		}
		if t.Failed() {
			t.Logf("%s said:\n%s", filepath.Base(cmd.Path), p.Said())
		}
	})
	t.Cleanup(p.stop)
	return p
}

// Stop ends the program and waits for it. It may be called again.
func (p *Process) Stop() { p.stop() }

// Said is what the program has written so far.
func (p *Process) Said() string { return p.said.String() }

// Until waits for ready; not longer than a minute, nor than the program lives.
func (p *Process) Until(ready func() bool) bool {
	deadline := time.After(patience)
	for !ready() {
		select {
		case <-p.ended:
			return false
		case <-deadline:
			return false
		case <-time.After(20 * time.Millisecond):
		}
	}
	return true
}

// Listens waits until address, host:port, accepts connections, as Until does.
func (p *Process) Listens(address string) bool {
	return p.Until(func() bool {
		c, err := net.DialTimeout("tcp", address, time.Second)
		return err == nil && c.Close() == nil
	})
}

// FreePort returns an address on loopback, host:port, that nobody listens on yet. Another process may be faster than the
// program that is to have it, so who starts one tries again on another.
func FreePort(t testing.TB) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

// output takes what a program writes while a test may read it.
type output struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.buf.Write(p)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.buf.String()
}
