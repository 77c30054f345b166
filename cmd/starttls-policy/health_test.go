package main

import (
	"context"
	"io"
	"net"
	"runtime"
	"strings"
	"testing"

	"github.com/starttls-everywhere/policylist/mirror/socketmap"
)

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
