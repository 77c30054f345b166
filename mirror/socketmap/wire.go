package socketmap

import (
	"cmp"
	"net"
	"sync"
	"time"
)

// takes is how long a peer may have a reply in its hands while others wait for its place. Postfix waits for the reply, so the
// kernel takes it at once.
const takes = time.Second

// wire is a connection and its deadlines: idle for the first byte of a request, patience for the whole of it, counted from that
// byte, and for a reply to be taken. A deadline costs as much as an answer, so the one for silence is set anew only when it
// is an eighth off.
type wire struct {
	net.Conn
	idle, patience time.Duration

	mu      sync.Mutex
	await   await
	since   time.Time // when that began
	writing bool      // a reply, since then
	end     time.Time // when it has to be over; zero while nobody wants that
	readBy  time.Time // the deadlines that are set
	writeBy time.Time
}

// await is what a connection waits for from its peer.
type await int

const (
	nothing await = iota // the peer waits for us
	request              // of which nothing has come
	rest                 // of one
)

func (s *Server) wire(c net.Conn) *wire {
	return &wire{Conn: c, idle: cmp.Or(s.Idle, DefaultIdle), patience: cmp.Or(s.Patience, DefaultPatience)}
}

// begin is called in front of the first request.
func (w *wire) begin() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.next(false)
}

// next begins the wait for a request; half says that a part of it is here already.
func (w *wire) next(half bool) {
	w.since = time.Now()
	if half {
		w.await = rest // Read sets the deadline, if there is anything to wait for
		return
	}
	w.await = request
	if !w.end.IsZero() {
		w.readUntil(w.since)
		return
	}
	if left := w.readBy.Sub(w.since); left > w.idle || left < w.idle-w.idle/8 {
		w.readUntil(w.since.Add(w.idle))
	}
}

func (w *wire) readUntil(t time.Time) {
	w.readBy = t
	w.SetReadDeadline(t)
}

// Read implements io.Reader.
func (w *wire) Read(p []byte) (int, error) {
	w.mu.Lock()
	if w.await == rest {
		// The same for each of its bytes: whoever sent one now and then would keep the connection for ever.
		by := w.since.Add(w.patience)
		if !w.end.IsZero() && w.end.Before(by) {
			by = w.end
		}
		if !by.Equal(w.readBy) {
			w.readUntil(by)
		}
	}
	w.mu.Unlock()
	n, err := w.Conn.Read(p)
	if n > 0 {
		w.mu.Lock()
		if w.await == request {
			w.await, w.since = rest, time.Now()
		}
		w.mu.Unlock()
	}
	return n, err
}

// whole is called when a request has come: its answer is ours to give.
func (w *wire) whole() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.await = nothing
}

// stop ends the wait for a request that has not begun, and bounds that for the rest of others.
func (w *wire) stop() {
	w.mu.Lock()
	defer w.mu.Unlock()
	now := time.Now()
	if w.end.IsZero() {
		w.end = now.Add(w.patience)
	}
	if w.await == request {
		w.readUntil(now)
	}
}

// dismiss ends any wait for the peer, and a request in hand is the last.
func (w *wire) dismiss() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.end = time.Now()
	if w.await != nothing {
		w.readUntil(w.end)
	}
	if w.writing && w.end.Sub(w.since) >= takes {
		w.writeBy = w.end
		w.SetWriteDeadline(w.end)
	}
}

// waits is since when the peer has been waited for; ok is false where that is us, or the end has been told.
func (w *wire) waits() (since time.Time, ok bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.writing {
		return w.since, time.Since(w.since) >= takes
	}
	return w.since, w.await != nothing && w.end.IsZero()
}

// reply writes b and begins the wait for the next request, which comes first: the peer may ask as soon as it has b.
func (w *wire) reply(b []byte, half bool) error {
	w.mu.Lock()
	w.next(half)
	w.writing = true
	if w.writeBy.Sub(w.since) < w.patience {
		w.writeBy = w.since.Add(2 * w.patience)
		w.SetWriteDeadline(w.writeBy)
	}
	w.mu.Unlock()
	_, err := w.Conn.Write(b)
	w.mu.Lock()
	w.writing = false
	w.mu.Unlock()
	return err
}
