package socketmap

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"testing"
	"time"
)

// door is a listener that goes on for a while after it was closed, as Accept may on the way out.
type door struct {
	net.Listener
	waits  chan struct{} // Accept was called
	comes  chan net.Conn
	closed chan struct{} // Close was called
	end    chan struct{} // and Accept knows
}

func newDoor() *door {
	return &door{waits: make(chan struct{}, 8), comes: make(chan net.Conn), closed: make(chan struct{}), end: make(chan struct{})}
}

func (d *door) Accept() (net.Conn, error) {
	d.waits <- struct{}{}
	select {
	case c := <-d.comes:
		return c, nil
	case <-d.end:
		return nil, net.ErrClosed
	}
}

func (d *door) Close() error {
	close(d.closed)
	return nil
}

func (d *door) Addr() net.Addr { return &net.TCPAddr{} }

// When the server stops, nobody is sent away as long as somebody could still come in: Postfix, sent away, comes again at
// once, and to be sent away twice defers mail.
func TestNobodyIsSentAwayTwice(t *testing.T) {
	d := newDoor()
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- (&Server{Answerer: echo{}, Log: slog.New(slog.DiscardHandler)}).Serve(ctx, d) }()
	ours, theirs := net.Pipe()
	d.comes <- theirs
	ours.SetDeadline(time.Now().Add(time.Minute))
	asks := func() error {
		_, err := Ask(ours, "sni", "a.example")
		return err
	}
	if err := asks(); err != nil {
		t.Fatal(err)
	}
	<-d.waits
	<-d.waits // the second call: another may come
	cancel()
	<-d.closed
	for range 100 {
		if err := asks(); err != nil {
			t.Fatalf("sent away while others may come in: %v", err)
		}
	}
	close(d.end)
	if n, err := ours.Read(make([]byte, 1)); n != 0 || !errors.Is(err, io.EOF) {
		t.Errorf("%d bytes, %v, want the end", n, err)
	}
	if err := <-done; err != nil {
		t.Error(err)
	}
}

// Who comes in at the last moment is sent away with the others, not forgotten.
func TestLastGuest(t *testing.T) {
	d := newDoor()
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- (&Server{Answerer: echo{}, Log: slog.New(slog.DiscardHandler)}).Serve(ctx, d) }()
	<-d.waits
	cancel()
	<-d.closed
	ours, theirs := net.Pipe()
	d.comes <- theirs
	ours.SetDeadline(time.Now().Add(time.Minute))
	if n, err := ours.Read(make([]byte, 1)); n != 0 || !errors.Is(err, io.EOF) {
		t.Errorf("%d bytes, %v, want the end", n, err)
	}
	if err := <-done; err != nil {
		t.Error(err)
	}
}
