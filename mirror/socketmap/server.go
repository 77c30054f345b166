package socketmap

import (
	"bufio"
	"cmp"
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"os"
	"strings"
	"sync"
	"time"
)

// Answerer tells what a map says about a key. It is asked from many connections at once. It must come to an end by
// itself: a mail server's delivery agent waits for it.
type Answerer interface {
	Answer(ctx context.Context, mapName, key string) Reply
}

// Server speaks the protocol. Its fields are set once.
type Server struct {
	Answerer Answerer
	Log      *slog.Logger
	Metrics  *Metrics // counts the connections

	// Idle is how long a connection may be silent between requests; 0 stands for DefaultIdle. Postfix closes its own
	// idle connections much earlier, and asks at once on a new one when ours was closed meanwhile.
	Idle time.Duration
	// Patience is how long the rest of a request and the taking of a reply may last; 0 stands for DefaultPatience.
	Patience time.Duration
	// Connections is how many are served at once, 0 stands for DefaultConnections; others wait in the socket's queue.
	Connections int
}

const (
	DefaultIdle        = time.Hour
	DefaultPatience    = 30 * time.Second
	DefaultConnections = 4096 // above the processes that one mail server can have (default_process_limit is 100)
)

// Serve answers on l until ctx ends, and then returns nil: connections between two requests are closed, those that have
// a request in hand answer it first. The listener is closed on return. Another error is the listener's.
func (s *Server) Serve(ctx context.Context, l net.Listener) error {
	defer context.AfterFunc(ctx, func() { l.Close() })()
	var all sync.WaitGroup
	defer all.Wait()
	places := make(chan struct{}, cmp.Or(s.Connections, DefaultConnections))
	for {
		places <- struct{}{}
		c, err := l.Accept()
		switch {
		case ctx.Err() != nil:
			if err == nil {
				c.Close()
			}
			return nil
		case isPassing(err):
			s.Metrics.notAccepted()
			s.Log.Warn("a connection was not accepted", "err", err)
			<-places
			if !sleep(ctx, 100*time.Millisecond) { // no descriptors are left: time to give some back
				return nil
			}
			continue
		case err != nil:
			return err
		}
		all.Go(func() {
			defer func() { <-places }()
			defer s.Metrics.connected()()
			s.serve(ctx, c)
		})
	}
}

// serve answers one connection's requests, in order.
func (s *Server) serve(ctx context.Context, c net.Conn) {
	defer c.Close()
	w := &wire{Conn: c, idle: cmp.Or(s.Idle, DefaultIdle), patience: cmp.Or(s.Patience, DefaultPatience)}
	defer context.AfterFunc(ctx, w.stop)()
	r := bufio.NewReaderSize(w, 4096)
	// What was asked is answered in full, also while we stop: cut short, a lookup of DANE or MTA-STS would come to "nothing".
	whole := context.WithoutCancel(ctx)
	var request, out []byte
	for {
		w.begin(r.Buffered() > 0)
		var err error
		if request, err = readNetstring(r, request); err != nil {
			s.ended(ctx, c, err)
			if len(out) > 0 {
				w.write(out) // what was asked before is answered
			}
			return
		}
		name, key, _ := strings.Cut(string(request), " ")
		out = appendNetstring(out, s.Answerer.Answer(whole, name, key).String())
		if len(out) < 1<<15 && holdsNetstring(r) {
			continue // pipelined
		}
		if err := w.write(out); err != nil {
			s.ended(ctx, c, err)
			return
		}
		out = out[:0]
	}
}

// ended tells why a connection is over, where that is not the usual end.
func (s *Server) ended(ctx context.Context, c net.Conn, err error) {
	if err == io.EOF || ctx.Err() != nil || errors.Is(err, os.ErrDeadlineExceeded) || errors.Is(err, net.ErrClosed) {
		return
	}
	s.Log.Warn("connection closed", "peer", c.RemoteAddr().String(), "err", err)
}

// wire sets the deadlines of a connection: idle for the first byte of a request, patience for the rest of it.
type wire struct {
	net.Conn
	idle, patience time.Duration

	mu      sync.Mutex
	waiting bool // for a request of which nothing has come
	stopped bool
}

// begin is called in front of each request; half says that a part of it is here already.
func (w *wire) begin(half bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.waiting = !half
	limit := w.idle
	if half {
		limit = w.patience
	}
	if w.stopped && !half {
		limit = 0
	}
	w.SetReadDeadline(time.Now().Add(limit))
}

// Read implements io.Reader.
func (w *wire) Read(p []byte) (int, error) {
	n, err := w.Conn.Read(p)
	w.mu.Lock()
	defer w.mu.Unlock()
	if n > 0 && w.waiting {
		w.waiting = false
		w.SetReadDeadline(time.Now().Add(w.patience))
	}
	return n, err
}

// stop ends the wait for a request that has not begun.
func (w *wire) stop() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.stopped = true
	if w.waiting {
		w.SetReadDeadline(time.Now())
	}
}

func (w *wire) write(b []byte) error {
	w.SetWriteDeadline(time.Now().Add(w.patience))
	_, err := w.Write(b)
	return err
}

// isPassing reports whether Accept may succeed next time.
func isPassing(err error) bool {
	var op *net.OpError
	return errors.As(err, &op) && !errors.Is(err, net.ErrClosed)
}

func sleep(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}
