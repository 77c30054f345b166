package main

import (
	"bufio"
	"bytes"
	"crypto/ed25519"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/starttls-everywhere/policylist/pipeline/lab"
	"github.com/starttls-everywhere/policylist/pipeline/probe"
)

// longScan is a scan of six domains in the lab, one of which can be made to hang.
type longScan struct {
	*probeLab
	domains []string
	args    []string
}

func newLongScan(t *testing.T) *longScan {
	t.Helper()
	s := &longScan{probeLab: startProbeLab(t)}
	for i := range 6 {
		name := fmt.Sprintf("d%d.example", i)
		if err := s.AddHost(lab.Host{Name: "mx." + name}); err != nil {
			t.Fatal(err)
		}
		if err := s.AddDomain(lab.Domain{Name: name, MX: []string{"mx." + name}}); err != nil {
			t.Fatal(err)
		}
		s.domains = append(s.domains, name)
	}
	der, err := x509.MarshalPKCS8PrivateKey(paperKey(1))
	if err != nil {
		t.Fatal(err)
	}
	s.write(t, "vantage.pem", string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})))
	s.args = append(slices.Clone(s.domains), "--vantage", "north", "--vantage-key", s.path("vantage.pem"), "--out", s.path("e.jsonl"), "--resume",
		"--canary", "good.example", "--timeout", "60s")
	return s
}

// set makes the nth domain's server behave like that.
func (s *longScan) set(t *testing.T, n int, b lab.Behaviour) {
	t.Helper()
	if err := s.SetBehaviour("mx."+s.domains[n], b); err != nil {
		t.Fatal(err)
	}
}

// begin starts the scan in a process of its own, with a server that hangs, and returns when it has printed n results and
// waits for that server.
func (s *longScan) begin(t *testing.T, hang, n int) *exec.Cmd {
	t.Helper()
	s.set(t, hang, lab.Hanging)
	cmd := &exec.Cmd{Path: os.Args[0], Args: append(append([]string{"starttls-list"}, s.flags...), s.args...), Env: os.Environ()}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { cmd.Process.Kill() })
	lines := bufio.NewScanner(out)
	for range n {
		if !lines.Scan() {
			t.Fatalf("the scan ended early: %v", lines.Err())
		}
	}
	return cmd
}

func kill(cmd *exec.Cmd) {
	cmd.Process.Signal(syscall.SIGKILL)
	cmd.Wait() // it was killed
}

// TestProbeResumesAfterAKill kills a scan at several points, once leaving half a line, and goes on: nothing is looked at
// twice, and the signature covers the whole.
func TestProbeResumesAfterAKill(t *testing.T) {
	s := newLongScan(t)
	sessions := func(n int) int {
		stats, err := s.Stats("mx." + s.domains[n])
		if err != nil {
			t.Fatal(err)
		}
		return stats.Sessions
	}
	kill(s.begin(t, 2, 2))
	s.set(t, 2, lab.Good)
	kill(s.begin(t, 4, 2)) // the second run is killed as well
	s.set(t, 4, lab.Good)
	torn, err := os.OpenFile(s.path("e.jsonl.partial"), os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := torn.WriteString(`{"at":"2026-`); err != nil {
		t.Fatal(err)
	}
	torn.Close()
	before := sessions(0)
	code, out, errs := s.run(t, s.args...)
	if code != exitPass || !strings.Contains(errs, "e.jsonl.partial: 4 of 6 domains stand") || out != "d4.example  pass\nd5.example  pass\n" {
		t.Fatalf("exit %d: %s%s", code, out, errs)
	}
	if sessions(0) != before {
		t.Errorf("%d sessions with a host that was done", sessions(0)-before)
	}
	data, err := os.ReadFile(s.path("e.jsonl"))
	if err != nil {
		t.Fatal(err)
	}
	e, err := probe.ReadEvidence(bytes.NewReader(data), probe.MaxEvidence)
	if err != nil {
		t.Fatal(err)
	}
	if err := e.Verify(paperKey(1).Public().(ed25519.PublicKey)); err != nil || len(e.Records) != 6 {
		t.Errorf("%v, %d records", err, len(e.Records))
	}
	if _, err := os.Stat(s.path("e.jsonl.partial")); !os.IsNotExist(err) {
		t.Errorf("the partial file is still there: %v", err)
	}
}

// TestProbeResumeAlone: two scans do not write one file, and a vantage that cannot be believed does not go on.
func TestProbeResumeAlone(t *testing.T) {
	s := newLongScan(t)
	running := s.begin(t, 3, 3)
	if code, _, errs := s.run(t, s.args...); code != exitUsage || !strings.Contains(errs, "another scan writes to this --out") {
		t.Errorf("a second scan: exit %d: %s", code, errs)
	}
	kill(running)
	s.set(t, 3, lab.Good)
	if err := s.SetBehaviour("mx.good.example", lab.Stripped); err != nil {
		t.Fatal(err)
	}
	if code, _, errs := s.run(t, s.args...); code != exitInconclusive || !strings.Contains(errs, "cannot go on") {
		t.Errorf("with a bad canary: exit %d: %s", code, errs)
	}
	if err := s.SetBehaviour("mx.good.example", lab.Good); err != nil {
		t.Fatal(err)
	}
	if code, _, errs := s.run(t, s.args...); code != exitPass || !strings.Contains(errs, "3 of 6 domains stand") {
		t.Errorf("with the canary well again: exit %d: %s", code, errs)
	}
	if code, _, errs := s.run(t, s.args...); code != exitPass || errs != "" {
		t.Errorf("a whole scan after that: exit %d: %s", code, errs)
	}
	if code, _, errs := s.run(t, "good.example", "--resume"); code != exitUsage || !strings.Contains(errs, "--out") {
		t.Errorf("--resume without --out: exit %d: %s", code, errs)
	}
}

// TestProbeResumeKeepsAnotherScan: what another scan left is not thrown away without a word.
func TestProbeResumeKeepsAnotherScan(t *testing.T) {
	s := newLongScan(t)
	partial, old := s.path("e.jsonl.partial"), s.path("e.jsonl.partial.old")
	kill(s.begin(t, 3, 3))
	s.set(t, 3, lab.Good)
	left, err := os.ReadFile(partial)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name string
		args []string
		says string
		runs int // domains that are looked at
	}{
		{"another vantage", append(slices.Clone(s.args), "--vantage", "south"), `vantage: it has "north", this scan "south"`, 6},
		{"other domains", s.args[1:], "d0.example, this scan with d1.example", 5},
		{"one domain less", slices.Delete(slices.Clone(s.args), 1, 2), "behind 1 domain, which is kept as " + old + ": it goes on with d1.example, this scan with d2.example", 4},
	} {
		if err := os.WriteFile(partial, left, 0o600); err != nil {
			t.Fatal(err)
		}
		code, out, errs := s.run(t, c.args...)
		if code != exitPass || !strings.Contains(errs, c.says) || !strings.Contains(errs, old) || strings.Count(out, "pass") != c.runs {
			t.Errorf("%s: exit %d: %s%s", c.name, code, out, errs)
		}
		if kept, err := os.ReadFile(old); err != nil || !bytes.Equal(kept, left) {
			t.Errorf("%s: %d bytes kept of %d, %v", c.name, len(kept), len(left), err)
		}
		file, err := os.Open(s.path("e.jsonl"))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := probe.ReadEvidence(file, probe.MaxEvidence); err != nil {
			t.Errorf("%s: %v", c.name, err)
		}
		file.Close()
	}
}
