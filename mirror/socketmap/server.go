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

	// Idle is how long a connection may be silent between requests, an eighth more or less; 0 stands for DefaultIdle. Postfix
	// closes its own idle connections much earlier, and asks at once on a new one when ours was closed meanwhile.
	Idle time.Duration
	// Patience is how long a request may last from its first byte, and the taking of a reply, at most twice this; 0 stands for
	// DefaultPatience.
	Patience time.Duration
	// Connections is how many are served at once, 0 stands for DefaultConnections. For one more the connection is closed whose
	// peer has been waited for the longest, between requests or within one: else whoever opens many and says nothing, or one
	// byte now and then, would stop all mail. While all are being answered, others wait.
	Connections int

	told, refused sparing // of connections that ended badly, and that could not begin
}

const (
	DefaultIdle        = time.Hour        // a connection without a question
	DefaultPatience    = 30 * time.Second // a question that is not whole, or an answer that is not taken
	DefaultConnections = 4096             // above the processes that one mail server can have (default_process_limit is 100)
)

// Serve answers on l until ctx ends, and then returns nil: connections between two requests are closed, those that have
// a request in hand answer it first. The listener is closed on return. Another error is the listener's.
func (s *Server) Serve(ctx context.Context, l net.Listener) error {
	defer context.AfterFunc(ctx, func() { l.Close() })()
	var all sync.WaitGroup
	defer all.Wait()
	// Nobody is sent away while others are still let in. A Postfix whose connection closes asks once more, on a new one:
	// if that came to us as well, its mail would wait. So it stays in the queue of the socket, for the next daemon.
	open, sendAway := context.WithCancel(context.WithoutCancel(ctx))
	defer sendAway()
	house := newHouse(cmp.Or(s.Connections, DefaultConnections), s.Metrics)
	for {
		c, err := l.Accept()
		switch {
		case ctx.Err() != nil && err != nil:
			return nil
		case isPassing(err):
			s.Metrics.notAccepted()
			if more, ok := s.refused.another(time.Now()); ok {
				s.Log.Warn("a connection was not accepted", "err", err, "untold", more)
			}
			house.dismiss() // no descriptors are left: give one back, and some time to others
			if !sleep(ctx, roomEvery) {
				return nil
			}
			continue
		case err != nil:
			return err
		}
		w := s.wire(c)
		if !house.enter(ctx, w) {
			c.Close()
			return nil
		}
		all.Go(func() {
			defer house.leave(w)
			defer s.Metrics.connected()()
			s.serve(open, w)
		})
		if ctx.Err() != nil {
			return nil
		}
	}
}

// serve answers one connection's requests, in order.
func (s *Server) serve(ctx context.Context, w *wire) {
	defer w.Close()
	defer context.AfterFunc(ctx, w.stop)()
	r := bufio.NewReaderSize(w, 4096)
	// What was asked is answered in full, also while we stop: cut short, a lookup of DANE or MTA-STS would come to "nothing".
	whole := context.WithoutCancel(ctx)
	var request, out []byte
	w.begin()
	for {
		var err error
		if request, err = readNetstring(r, request); err != nil {
			s.ended(ctx, w, err)
			if len(out) > 0 {
				w.reply(out, false) // what was asked before is answered
			}
			return
		}
		w.whole()
		name, key, _ := strings.Cut(string(request), " ")
		out = s.Answerer.Answer(whole, name, key).append(out)
		if len(out) < 1<<15 && holdsNetstring(r) {
			continue // pipelined
		}
		if err := w.reply(out, r.Buffered() > 0); err != nil {
			s.ended(ctx, w, err)
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
	if more, ok := s.told.another(time.Now()); ok {
		s.Log.Warn("connection closed", "peer", c.RemoteAddr().String(), "err", err, "untold", more)
	}
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
