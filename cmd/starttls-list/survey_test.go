package main

import (
	"bytes"
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/starttls-everywhere/policylist/pipeline/lab"
	"github.com/starttls-everywhere/policylist/pipeline/survey"
)

// longSurvey is a survey of the domains of a longScan.
func longSurvey(t *testing.T) *longScan {
	t.Helper()
	s := newLongScan(t)
	s.write(t, "domains", strings.Join(s.domains, "\n"))
	s.flags[0] = "survey"
	s.args = []string{s.path("domains"), "--canary", "good.example", "--out", s.path("e.jsonl"), "--resume", "--stats", s.path("s.json"), "--min", "1"}
	return s
}

// surveyProcess is a survey in a process of its own.
type surveyProcess struct {
	*exec.Cmd
	errs  bytes.Buffer
	ended chan struct{}
}

// beginQuiet starts the survey, with a server that hangs, and returns when the domains before it are in the evidence.
func (s *longScan) beginQuiet(t *testing.T, hang int) *surveyProcess {
	t.Helper()
	s.set(t, hang, lab.Hanging)
	p := &surveyProcess{ended: make(chan struct{})}
	p.Cmd = &exec.Cmd{Path: os.Args[0], Args: append(append([]string{"starttls-list"}, s.flags...), s.args...), Env: os.Environ(), Stderr: &p.errs}
	if err := p.Start(); err != nil {
		t.Fatal(err)
	}
	go func() { defer close(p.ended); p.Wait() }() // how it ended is looked at by code
	t.Cleanup(func() { p.Process.Kill(); <-p.ended })
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for {
		data, err := os.ReadFile(s.path("e.jsonl.partial"))
		if err == nil && bytes.Count(data, []byte("\n")) > hang { // the header too
			return p
		}
		select {
		case <-tick.C:
		case <-p.ended:
			t.Fatalf("the survey ended early: %s", p.errs.String())
		}
	}
}

// end signals the process and returns its exit code.
func (p *surveyProcess) end(how os.Signal) int {
	p.Process.Signal(how)
	<-p.ended
	return p.ProcessState.ExitCode()
}

// TestSurveyGoesOn: a survey that was killed, and one that was interrupted, write no statistics; the run that goes on with
// them counts what they saw and does not look again.
func TestSurveyGoesOn(t *testing.T) {
	s := longSurvey(t)
	s.beginQuiet(t, 2).end(syscall.SIGKILL)
	s.set(t, 2, lab.NoStartTLS)
	interrupted := s.beginQuiet(t, 4)
	if code := interrupted.end(os.Interrupt); code != exitInternal || !strings.Contains(interrupted.errs.String(), "interrupted after 4 of 6 domains") ||
		!strings.Contains(interrupted.errs.String(), "run the same again with --resume") {
		t.Errorf("exit %d: %s", code, interrupted.errs.String())
	}
	if _, err := os.Stat(s.path("s.json")); !os.IsNotExist(err) {
		t.Errorf("there are statistics of a part: %v", err)
	}
	s.set(t, 4, lab.Good)
	before, err := s.Stats("mx." + s.domains[2])
	if err != nil {
		t.Fatal(err)
	}
	code, out, errs := s.run(t, s.args...)
	if code != exitPass || !strings.Contains(errs, "4 of 6 domains stand") {
		t.Fatalf("exit %d: %s%s", code, out, errs)
	}
	if after, err := s.Stats("mx." + s.domains[2]); err != nil || after.Sessions != before.Sessions {
		t.Errorf("%d sessions with a host that was done, %v", after.Sessions-before.Sessions, err)
	}
	data, err := os.ReadFile(s.path("s.json"))
	if err != nil {
		t.Fatal(err)
	}
	r, err := survey.ReadReport(data)
	if err != nil || r.Total.Domains != 6 || r.Total.Measures["starttls"]["all"] != 5 || r.Total.Measures["starttls"]["none"] != 1 || r.Input.Domains != 6 {
		t.Errorf("%v: %+v", err, r.Total)
	}
	var again, said bytes.Buffer
	if code := run(t.Context(), []string{"survey", "--from", s.path("e.jsonl")}, nil, &again, &said); code != exitPass {
		t.Fatalf("exit %d: %s", code, said.String())
	}
	if again.String() != out {
		t.Errorf("the evidence gives other numbers:\n%s\nthan the run that finished it:\n%s", again.String(), out)
	}
}

// TestSurveyOfEvidenceIsInterrupted: counting a large file ends when somebody asks.
func TestSurveyOfEvidenceIsInterrupted(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	stats := filepath.Join(t.TempDir(), "s.json")
	var out, errs bytes.Buffer
	code := run(ctx, []string{"survey", "--from", "../../pipeline/probe/testdata/merged.jsonl", "--stats", stats}, nil, &out, &errs)
	if code != exitInternal || out.Len() > 0 || !strings.Contains(errs.String(), "interrupted") {
		t.Errorf("exit %d: %s%s", code, out.String(), errs.String())
	}
	if _, err := os.Stat(stats); !os.IsNotExist(err) {
		t.Errorf("there are statistics: %v", err)
	}
}

// The examples work on evidence of the lab, and on the golden files of package survey.
func TestSurveyTranscripts(t *testing.T) {
	p := startProbeLab(t)
	dir, err := filepath.Abs("../../pipeline/survey/testdata")
	if err != nil {
		t.Fatal(err)
	}
	if code, _, errs := p.run(t, "good.example", "expired.example", "grey.example", "--trust-ad", "--out", p.path("today.jsonl")); code != exitFail {
		t.Fatalf("exit %d: %s", code, errs)
	}
	p.write(t, "list/list.json", `{"author": "Lab", "origin": "lab.example/list"}`)
	p.write(t, "list/domains.json", `{"policies": {"other.example": {"mode": "enforce", "mxs": ["mx.other.example"]}}}`)
	if err := os.CopyFS(p.dir, os.DirFS(dir)); err != nil {
		t.Fatal(err)
	}
	t.Chdir(p.dir)
	_, offline, _ := strings.Cut(surveyExample, "  …\n")
	transcript(t, offline)
	transcript(t, newSurveyCompareCommand().Example)
}
