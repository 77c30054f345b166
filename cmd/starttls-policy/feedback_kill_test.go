package main

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/starttls-everywhere/policylist/mirror/feedback"
	"github.com/starttls-everywhere/policylist/mirror/storetest/strace"
	"github.com/starttls-everywhere/policylist/policy/tlsrpt"
)

// mailbox is an operator's server that keeps what it is sent; while it has it, "during" is called.
type mailbox struct {
	*httptest.Server
	mu     sync.Mutex
	bodies [][]byte
	during func()
}

func newMailbox(t *testing.T) *mailbox {
	b := &mailbox{}
	b.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			return
		}
		b.mu.Lock()
		receipt := tlsrpt.Receipt{Status: tlsrpt.ReceiptAccepted}
		if len(b.bodies) > 0 {
			receipt.Status = tlsrpt.ReceiptDuplicate
		}
		b.bodies = append(b.bodies, body)
		during := b.during
		b.mu.Unlock()
		if during != nil {
			during()
		}
		json.NewEncoder(w).Encode(receipt) // whoever asked may be gone
	}))
	t.Cleanup(b.Close)
	return b
}

// meanwhile sets what is called while it has a document; nil for nothing.
func (b *mailbox) meanwhile(f func()) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.during = f
}

func (b *mailbox) take() [][]byte {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.bodies
}

// dueMachine has a document of 1 March that is due, and a spool that has more each time it is looked at.
func dueMachine(t *testing.T, b *mailbox) *machine {
	m := newMachine(t, "[feedback]\nurl = \""+b.URL+tlsrpt.FeedbackPath+"\"\ncontributor = \"sender.example\"\nsource = \"spool\"\nspool = \"DIR/spool\"\n")
	if err := os.Mkdir(filepath.Join(m.dir, "spool"), 0o755); err != nil {
		t.Fatal(err)
	}
	m.runs(0, "feedback", "key")
	m.at = time.Date(2026, 2, 28, 13, 0, 0, 0, time.UTC)
	m.runs(0, "feedback", "--allow-loopback")
	m.at = time.Date(2026, 3, 1, 13, 0, 0, 0, time.UTC)
	m.runs(0, "feedback", "--allow-loopback")
	m.at = time.Date(2026, 3, 3, 2, 0, 0, 0, time.UTC)
	return m
}

// grows adds a report to the spool, so that a document made anew is another one.
func (m *machine) grows(n string) {
	m.t.Helper()
	text := strings.ReplaceAll(`{"date-range":{"start-datetime":"2026-03-01T00:00:00Z","end-datetime":"2026-03-01T23:59:59Z"},"report-id":"N","policies":[
{"policy":{"policy-type":"sts","policy-domain":"a.example"},"summary":{"total-successful-session-count":40,"total-failure-session-count":0}}]}`, "N", n)
	if err := os.WriteFile(filepath.Join(m.dir, "spool", n+".json"), []byte(text), 0o600); err != nil {
		m.t.Fatal(err)
	}
}

// sentOnce runs it again, later, and wants the day to be done, with one document however often it was sent.
func (m *machine) sentOnce(b *mailbox) {
	m.t.Helper()
	m.grows("later")
	m.at = m.at.Add(3 * time.Hour)
	if out := m.runs(0, "feedback", "--allow-loopback"); !strings.Contains(out, "2026-03-01: sent ") {
		m.t.Errorf("not sent in the end:\n%s", out)
	}
	m.at = m.at.Add(time.Hour)
	m.runs(0, "feedback", "--allow-loopback")
	all := b.take()
	for _, body := range all {
		if !bytes.Equal(body, all[0]) {
			m.t.Error("two documents of one day were sent")
		}
	}
	if len(all) == 0 || len(all) > 2 {
		m.t.Errorf("%d attempts", len(all))
	}
	if left, err := filepath.Glob(filepath.Join(m.dir, "var", ".tmp-feedback*")); err != nil || len(left) > 0 {
		m.t.Errorf("%v, %v", left, err)
	}
}

// TestFeedbackKilled kills the process at the system calls by which it writes, lets them fail, and kills it while the operator
// has the document and has not answered.
func TestFeedbackKilled(t *testing.T) {
	tracer := strace.Find(t)
	t.Setenv("NOW", "2026-03-03T02:00:00Z")
	for _, call := range []struct{ call, path string }{
		{"/^rename", "feedback-outbox-2026-03-01.json"}, {"/^rename", feedback.BookFile}, {"fsync", ""},
	} {
		for _, inject := range []string{"signal=KILL", "error=EIO"} {
			b := newMailbox(t)
			m := dueMachine(t, b)
			m.grows("first")
			p := strace.Point{Path: filepath.Join(m.dir, "var", call.path), Call: call.call, Inject: inject}
			r := strace.Run(t, tracer, p, "starttls-policy", "feedback", "--allow-loopback", "--config", m.configPath)
			if !r.Fired || r.Killed != (inject == "signal=KILL") {
				t.Errorf("%s: fired %v, killed %v:\n%s", p, r.Fired, r.Killed, r.Output)
			}
			m.sentOnce(b)
		}
	}
	b := newMailbox(t)
	m := dueMachine(t, b)
	m.grows("first")
	cmd := exec.Command("starttls-policy", "feedback", "--allow-loopback", "--config", m.configPath)
	has, goOn := make(chan struct{}), make(chan struct{})
	b.meanwhile(func() { close(has); <-goOn })
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	<-has
	cmd.Process.Kill()
	if err := cmd.Wait(); err == nil || len(b.take()) != 1 {
		t.Errorf("not killed: %v, %d documents", err, len(b.take()))
	}
	close(goOn)
	b.meanwhile(nil)
	m.sentOnce(b)
	if len(b.take()) != 2 {
		t.Errorf("%d attempts", len(b.take()))
	}
}

// TestFeedbackIsInNobodysWay: while an operator's server holds a document without answering, updates, status and the switch work.
func TestFeedbackIsInNobodysWay(t *testing.T) {
	t.Setenv("NOW", "2026-03-03T02:00:00Z")
	b := newMailbox(t)
	m := dueMachine(t, b)
	has, goOn := make(chan struct{}), make(chan struct{})
	b.meanwhile(func() { close(has); <-goOn })
	cmd := exec.Command("starttls-policy", "feedback", "--allow-loopback", "--config", m.configPath)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	<-has
	m.runs(0, "update")
	m.runs(0, "disable", "--reason", "a test")
	m.runs(0, "enable")
	m.runs(0, "status")
	m.runs(0, "feedback", "status")
	if out := m.runs(exitFailed, "feedback", "--allow-loopback"); !strings.Contains(out, "another feedback is running") {
		t.Errorf("two at a time: %s", out)
	}
	close(goOn)
	if err := cmd.Wait(); err != nil {
		t.Error(err)
	}
}
