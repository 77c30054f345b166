// Package witnesstest starts witnesses for tests: the real omniwitness and litewitness as processes on loopback, and Fake,
// an honest one in process, whose answers a test can bend. Only tests import it.
package witnesstest

import (
	"fmt"
	"os"
	"os/exec"
	"testing"

	"github.com/starttls-everywhere/policylist/mirror/storetest/tool"
)

// Process is a witness that runs as a program of its own and keeps its state when it is stopped and started again.
type Process struct {
	Name string // policy name
	VKey string // of cosignature/v1
	URL  string // submission prefix
	DB   string // its sqlite file

	command func() *exec.Cmd
	running *tool.Process
}

// Line is the witness's line of a tlog-policy.
func (p *Process) Line() string { return fmt.Sprintf("witness %s %s %s\n", p.Name, p.VKey, p.URL) }

// Start starts a stopped witness and waits until it listens. The test ends it.
func (p *Process) Start(t testing.TB) {
	t.Helper()
	p.running = tool.Start(t, p.command(), os.Kill)
	if address := p.URL[len("http://"):]; !p.running.Listens(address) {
		p.running.Stop()
		t.Fatalf("%s does not listen on %s:\n%s", p.Name, address, p.running.Said())
	}
}

// Stop kills the witness, as a power cut would.
func (p *Process) Stop() { p.running.Stop() }
