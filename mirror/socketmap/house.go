package socketmap

import (
	"context"
	"sync"
	"time"
)

// roomEvery is how often a connection is looked for that can be closed for another.
const roomEvery = 100 * time.Millisecond

// house holds the connections that are served, at most so many.
type house struct {
	places  int
	metrics *Metrics
	left    chan struct{} // told when one has left
	mu      sync.Mutex
	guests  map[*wire]bool
}

func newHouse(places int, m *Metrics) *house {
	return &house{places: places, metrics: m, left: make(chan struct{}, 1), guests: make(map[*wire]bool)}
}

// enter waits for a place, and makes one where a peer is waited for; false means that ctx has ended.
func (h *house) enter(ctx context.Context, w *wire) bool {
	tick := time.NewTicker(roomEvery)
	defer tick.Stop()
	crowded := false
	for !h.take(w) {
		h.dismiss()
		select {
		case <-h.left:
		case <-ctx.Done():
			return false
		case <-tick.C: // all were being answered; perhaps one is not any more
			if !crowded {
				crowded = true
				defer h.metrics.crowd()()
			}
		}
	}
	return true
}

func (h *house) take(w *wire) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	if len(h.guests) >= h.places {
		return false
	}
	h.guests[w] = true
	return true
}

func (h *house) leave(w *wire) {
	h.mu.Lock()
	delete(h.guests, w)
	h.mu.Unlock()
	select {
	case h.left <- struct{}{}:
	default:
	}
}

// dismiss ends the connection whose peer has been waited for the longest. One whose request comes at this moment is not
// answered: its mail server asks again on a new one, as it does when a server restarts.
func (h *house) dismiss() {
	h.mu.Lock()
	defer h.mu.Unlock()
	var longest *wire
	var since time.Time
	for w := range h.guests {
		if at, ok := w.waits(); ok && (longest == nil || at.Before(since)) {
			longest, since = w, at
		}
	}
	if longest != nil {
		longest.dismiss()
	}
}
