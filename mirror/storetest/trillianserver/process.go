//go:build unix

package trillianserver

import (
	"bytes"
	"context"
	"os/exec"
	"path/filepath"
	"sync"
	"syscall"
	"testing"
	"time"
)

// process is a program that runs until stop, or until the test ends.
type process struct {
	ended chan struct{} // closed when it has ended
	stop  func()        // ends it and waits; may be called again
}

// startProcess starts a program, as another user if credential is given; quit is the signal that ends it. A failed
// test shows what the program wrote.
func startProcess(t testing.TB, credential *syscall.Credential, quit syscall.Signal, program string, args ...string) *process {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	cmd := exec.CommandContext(ctx, program, args...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: credential}
	cmd.Dir = "/" // the user may not see this one
	cmd.Cancel = func() error { return cmd.Process.Signal(quit) }
	cmd.WaitDelay = patience
	var log lockedBuffer
	cmd.Stdout, cmd.Stderr = &log, &log
	if err := cmd.Start(); err != nil {
		cancel()
		t.Fatal(err)
	}
	p := &process{ended: make(chan struct{})}
	go func() {
		cmd.Wait()
		close(p.ended)
	}()
	p.stop = sync.OnceFunc(func() {
		cancel()
		<-p.ended
		if t.Failed() {
			t.Logf("%s said:\n%s", filepath.Base(program), log.String())
		}
	})
	t.Cleanup(p.stop)
	return p
}

// until waits for ready; not longer than patience, nor than the process lives.
func (p *process) until(ready func() bool) bool {
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

// lockedBuffer takes a process's output while a test may read it.
type lockedBuffer struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.Write(p)
}

func (b *lockedBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.String()
}
