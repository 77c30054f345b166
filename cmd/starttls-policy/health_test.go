package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/starttls-everywhere/policylist/cmd/internal/exposition"
	"github.com/starttls-everywhere/policylist/mirror/socketmap"
)

// Each state of /healthz, and its code.
func TestHealth(t *testing.T) {
	m := newMachine(t, "")
	s := m.serving(io.Discard)
	health := func(code int, want string) {
		t.Helper()
		if w := get(s, "GET", "/healthz"); w.Code != code || w.Body.String() != want+"\n" || w.Header().Get("Content-Type") != "application/json" {
			t.Errorf("%d %s, want %d %s", w.Code, w.Body, code, want)
		}
	}
	const list = `"lists":[{"name":"example","freshness":"%s","release":1,"expires":"2026-03-15T12:00:00Z"%s}]}`
	health(200, `{"state":"ok",`+fmt.Sprintf(list, "fresh", ""))
	made := m.at
	m.at = made.Add(49 * time.Hour)
	health(200, `{"state":"stale",`+fmt.Sprintf(list, "stale", ""))
	m.at = made.AddDate(0, 0, 14)
	health(503, `{"state":"expired",`+fmt.Sprintf(list, "expired", ""))
	s.stopping.Store(true)
	health(503, `{"state":"stopping",`+fmt.Sprintf(list, "expired", ""))
	s.stopping.Store(false)
	text, err := os.ReadFile(m.configPath)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(m.configPath, bytes.Replace(text, []byte(`expired = "empty"`), []byte(`expired = "keep"`), 1), 0o644); err != nil {
		t.Fatal(err)
	}
	s.reconfigure()
	health(200, `{"state":"stale",`+fmt.Sprintf(list, "expired", `,"kept":true`))
	m.at = made
	if err := os.WriteFile(filepath.Join(m.dir, "var", switchFile), []byte("{}"), 0o644); err != nil {
		t.Fatal(err)
	}
	s.off = watchSwitch(m.dir + "/var")
	health(200, `{"state":"disabled",`+fmt.Sprintf(list, "fresh", ""))
	os.Remove(filepath.Join(m.dir, "var", switchFile))

	if err := os.RemoveAll(filepath.Join(m.dir, "var", "example", "policy.json")); err != nil {
		t.Fatal(err)
	}
	if w := get(m.serving(io.Discard), "GET", "/healthz"); w.Code != 503 || w.Body.String() != `{"state":"none","lists":[{"name":"example","freshness":"none","release":0}]}`+"\n" {
		t.Errorf("%d %s, want 503 none", w.Code, w.Body)
	}
	for _, c := range []struct {
		method, path string
		code         int
	}{{"HEAD", "/healthz", 200}, {"GET", "/metrics", 200}, {"POST", "/metrics", 405}, {"GET", "/", 404}, {"GET", "/debug/pprof/", 404}, {"GET", "/healthz/x", 404}} {
		if w := get(s, c.method, c.path); w.Code != c.code {
			t.Errorf("%s %s: %d, want %d", c.method, c.path, w.Code, c.code)
		}
	}
	if got := get(s, "GET", "/metrics").Header().Get("Content-Type"); got != exposition.ContentType {
		t.Errorf("/metrics is %q", got)
	}
}

// busy answers nobody until it is let go.
type busy struct{ asked, free chan struct{} }

func (b busy) Answer(context.Context, string, string) socketmap.Reply {
	close(b.asked)
	<-b.free
	return socketmap.Reply{}
}

// While mail servers wait for a place, /healthz says so.
func TestHealthOfAFullHouse(t *testing.T) {
	s := newMachine(t, "").serving(io.Discard)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	b := busy{make(chan struct{}), make(chan struct{})}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	server := &socketmap.Server{Answerer: b, Log: s.log, Metrics: s.metrics, Connections: 1}
	go func() { done <- server.Serve(ctx, l) }()
	var waits net.Conn
	for i := range 2 {
		c, err := net.Dial("tcp", l.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		if waits = c; i == 0 {
			if _, err := io.WriteString(c, "8:map a.ex,"); err != nil {
				t.Fatal(err)
			}
			<-b.asked
		}
	}
	for !s.metrics.Crowded() && t.Context().Err() == nil {
		runtime.Gosched()
	}
	if w := get(s, "GET", "/healthz"); w.Code != 503 || !strings.Contains(w.Body.String(), `"state":"full"`) {
		t.Errorf("%d %s", w.Code, w.Body)
	}
	close(b.free)
	waits.Close()
	for s.metrics.Crowded() {
		runtime.Gosched()
	}
	if w := get(s, "GET", "/healthz"); w.Code != 200 {
		t.Errorf("%d %s", w.Code, w.Body)
	}
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
}
