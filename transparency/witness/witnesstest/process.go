// Package witnesstest starts witnesses for tests: the real omniwitness and litewitness as processes on loopback, and Fake,
// an honest one in process, whose answers a test can bend. Only tests import it.
package witnesstest

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"net"
	"os/exec"
	"sync"
	"testing"
	"time"
)

// Process is a witness that runs as a program of its own and keeps its state when it is stopped and started again.
type Process struct {
	Name string // policy name
	VKey string // of cosignature/v1
	URL  string // submission prefix
	DB   string // its sqlite file

	command func() *exec.Cmd
	stop    func()
}

// Line is the witness's line of a tlog-policy.
func (p *Process) Line() string { return fmt.Sprintf("witness %s %s %s\n", p.Name, p.VKey, p.URL) }

// Start starts a stopped witness and waits until it listens. The test ends it.
func (p *Process) Start(t testing.TB) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	made := p.command()
	cmd := exec.CommandContext(ctx, made.Path, made.Args[1:]...)
	cmd.Dir = made.Dir
	var log output
	cmd.Stdout, cmd.Stderr = &log, &log
	if err := cmd.Start(); err != nil {
		cancel()
		t.Fatalf("%s: %v", p.Name, err)
	}
	ended := make(chan struct{})
	go func() {
		cmd.Wait()
		close(ended)
	}()
	p.stop = sync.OnceFunc(func() {
		cancel()
		<-ended
		if t.Failed() {
			t.Logf("%s said:\n%s", p.Name, log.String())
		}
	})
	t.Cleanup(p.stop)
	if address := p.URL[len("http://"):]; !listens(address, ended) {
		p.stop()
		t.Fatalf("%s does not listen on %s:\n%s", p.Name, address, log.String())
	}
}

// Stop kills the witness, as a power cut would.
func (p *Process) Stop() { p.stop() }

// vkey is the cosignature/v1 verifier key (C2SP tlog-cosignature, type 0x04).
func vkey(name string, key ed25519.PublicKey) string {
	typed := append([]byte{4}, key...)
	sum := sha256.Sum256(append([]byte(name+"\n"), typed...))
	return fmt.Sprintf("%s+%x+%s", name, sum[:4], base64.StdEncoding.EncodeToString(typed))
}

func freePort(t testing.TB) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

// listens waits until address accepts connections; not longer than ten seconds, nor than the process lives.
func listens(address string, ended <-chan struct{}) bool {
	deadline := time.After(10 * time.Second)
	for {
		c, err := net.DialTimeout("tcp", address, time.Second)
		if err == nil {
			return c.Close() == nil
		}
		select {
		case <-ended:
			return false
		case <-deadline:
			return false
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// output takes what a process says while a test may read it.
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
