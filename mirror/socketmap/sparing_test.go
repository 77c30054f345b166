package socketmap

import (
	"strings"
	"testing"
	"time"
)

// TestSparing: so many in a minute, then how many there were besides; a clock that is put back silences nobody.
func TestSparing(t *testing.T) {
	var s sparing
	now := time.Date(2027, 1, 1, 0, 0, 0, 0, time.UTC)
	told := func(n int) (ok int) {
		for range n {
			if untold, yes := s.another(now); yes {
				if ok++; untold > 0 {
					t.Errorf("%d untold at %v", untold, now)
				}
			}
		}
		return ok
	}
	if n := told(tellMost + 7); n != tellMost {
		t.Errorf("%d told", n)
	}
	for _, step := range []time.Duration{tellEvery, -24 * time.Hour} {
		now = now.Add(step)
		if untold, ok := s.another(now); !ok || untold != 7 {
			t.Errorf("%v, %d untold", ok, untold)
		}
		if n := told(tellMost + 6); n != tellMost-1 {
			t.Errorf("%d told", n)
		}
	}
}

// TestManyBadConnectionsDoNotFillTheLog: a line each would fill the disk.
func TestManyBadConnectionsDoNotFillTheLog(t *testing.T) {
	on := listen(t, "tcp", "127.0.0.1:0", &Server{Answerer: echo{}})
	for range 3 * tellMost {
		p := on.dial()
		p.send("x")
		p.closed()
	}
	on.stop()
	if err := <-on.done; err != nil {
		t.Error(err)
	}
	on.done <- nil
	if n := strings.Count(on.log.String(), "connection closed"); n < tellMost || n > 2*tellMost {
		t.Errorf("%d lines", n)
	}
}
