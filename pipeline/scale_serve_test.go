//go:build linux

package pipeline_test

import (
	"bytes"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/starttls-everywhere/policylist/mirror/socketmap/loadtest"
	"github.com/starttls-everywhere/policylist/mirror/storetest/tool"
)

// scaleAnswers is how often the daemon is asked.
const scaleAnswers = 100_000

// serve measures the daemon: until it answers, while many ask, and until it answers by the next release.
func (w *scaleWorld) serve(tell func(name, baseline string, c cost)) {
	w.b.Helper()
	w.client("daemon", w.path("public"), false)
	socket := filepath.Join(w.b.TempDir(), "s") // a socket's path is short
	config, err := os.ReadFile(w.path("daemon.toml"))
	w.must(err)
	w.must(os.WriteFile(w.path("serve.toml"), fmt.Appendf(config, "[serve]\nlisten = [%q]\nsources = [\"list\"]\nupdate = \"off\"\n", "unix:"+socket), 0o644))

	began := time.Now()
	cmd := exec.CommandContext(w.b.Context(), w.program, "serve", "--config", w.path("serve.toml"))
	p := tool.Start(w.b, cmd, os.Interrupt)
	answers := func(host string) func() bool {
		return func() bool {
			return strings.Contains(ask(socket, "floor "+scaleDomain(changing)), host+"1."+scaleDomain(changing))
		}
	}
	if !p.Until(answers("mx")) {
		w.b.Fatalf("the daemon does not answer: %s", p.Said())
	}
	ready := time.Since(began)
	seed := uint64(1)
	load, err := loadtest.Run(loadtest.Load{Network: "unix", Address: socket, Connections: 16, N: scaleAnswers, Ask: func(buf []byte, _ int) []byte {
		seed = seed*6364136223846793005 + 1442695040888963407
		return fmt.Appendf(buf, "floor %s", scaleDomain(int(seed>>33%uint64(w.domains))))
	}})
	w.must(err)
	if load.Found != scaleAnswers {
		w.b.Fatalf("%d of %d answers", load.Found, scaleAnswers)
	}
	began = time.Now()
	w.policy("daemon", "update", "--method", "delta")
	updated := time.Since(began)
	if !p.Until(answers("mail")) {
		w.b.Fatalf("the daemon does not take the release up: %s", p.Said())
	}
	peak := peakMemory(w.b, cmd.Process.Pid)
	tell("serve: until the first answer", "sha256 of policy.json", cost{Wall: ready.Seconds()})
	tell(fmt.Sprintf("serve: %d answers", scaleAnswers), "", cost{Wall: load.Elapsed.Seconds()})
	tell("serve: update, and answers by it", "sha256 of policy.json", cost{Wall: max(time.Since(began), updated).Seconds(), Peak: peak})
	p.Stop()
}

// ask returns the answer to one question, "" for none.
func ask(socket, request string) string {
	c, err := net.Dial("unix", socket)
	if err != nil {
		return ""
	}
	defer c.Close()
	if c.SetDeadline(time.Now().Add(10*time.Second)) != nil {
		return ""
	}
	if _, err := fmt.Fprintf(c, "%d:%s,", len(request), request); err != nil {
		return ""
	}
	var answer bytes.Buffer
	buf := make([]byte, 1024)
	for !bytes.HasSuffix(answer.Bytes(), []byte(",")) {
		n, err := c.Read(buf)
		if err != nil {
			return ""
		}
		answer.Write(buf[:n])
	}
	return answer.String()
}
