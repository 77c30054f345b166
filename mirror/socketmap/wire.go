package socketmap

import (
	"cmp"
	"net"
	"sync"
	"time"
)

// wire is a connection and its deadlines: idle for the first byte of a request, patience for the rest of it and for a reply
// to be taken. A deadline costs as much as an answer, so one is set anew only when the one that is set is an eighth off.
type wire struct {
	net.Conn
	idle, patience time.Duration

	mu      sync.Mutex
	waiting bool      // for a request of which nothing has come
	since   time.Time // when that began
	stopped bool
	readBy  time.Time // the deadlines that are set
	writeBy time.Time
}

func (s *Server) wire(c net.Conn) *wire {
	return &wire{Conn: c, idle: cmp.Or(s.Idle, DefaultIdle), patience: cmp.Or(s.Patience, DefaultPatience)}
}

// begin is called in front of each request; half says that a part of it is here already.
func (w *wire) begin(half bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.waiting = !half
	if half {
		return // Read sets the deadline, if there is anything to wait for
	}
	w.since = time.Now()
	if w.stopped {
		w.SetReadDeadline(w.since)
		return
	}
	w.readWithin(w.idle)
}

// readWithin sets the deadline for reading, roughly: from seven eighths of the time on.
func (w *wire) readWithin(d time.Duration) {
	now := time.Now()
	if left := w.readBy.Sub(now); left > d || left < d-d/8 {
		w.readBy = now.Add(d)
		w.SetReadDeadline(w.readBy)
	}
}

// Read implements io.Reader.
func (w *wire) Read(p []byte) (int, error) {
	w.mu.Lock()
	if !w.waiting {
		w.readWithin(w.patience)
	}
	w.mu.Unlock()
	n, err := w.Conn.Read(p)
	if n > 0 {
		w.mu.Lock()
		w.waiting = false
		w.mu.Unlock()
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

// silence is since when nothing has come; ok is false in the middle of a request, and when the end has been told.
func (w *wire) silence() (since time.Time, ok bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.since, w.waiting && !w.stopped
}

func (w *wire) write(b []byte) error {
	if now := time.Now(); w.writeBy.Sub(now) < w.patience {
		w.writeBy = now.Add(2 * w.patience)
		w.SetWriteDeadline(w.writeBy)
	}
	_, err := w.Conn.Write(b)
	return err
}
