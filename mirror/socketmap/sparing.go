package socketmap

import (
	"sync"
	"time"
)

const (
	// tellMost lines in tellEvery are enough to see what is wrong; whoever can connect could fill the log's disk otherwise.
	tellMost  = 20
	tellEvery = time.Minute
)

// sparing bounds how often something is told. Its zero value is ready.
type sparing struct {
	mu     sync.Mutex
	since  time.Time
	n      int
	untold int
}

// another reports whether one more may be told, and how many were not since the last that was.
func (s *sparing) another(now time.Time) (untold int, ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if now.Sub(s.since).Abs() >= tellEvery {
		s.since, s.n = now, 0
	}
	if s.n >= tellMost {
		s.untold++
		return 0, false
	}
	s.n++
	untold, s.untold = s.untold, 0
	return untold, true
}
