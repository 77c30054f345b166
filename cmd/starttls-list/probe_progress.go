package main

import (
	"fmt"
	"io"
	"os"
	"time"

	"golang.org/x/term"
)

// plainEvery is how often a scan tells how far it is where there is no terminal: a log or a mail from cron.
const plainEvery = time.Minute

// scanProgress tells how far a scan is: a bar with the time left on a terminal, a line a minute elsewhere.
type scanProgress struct {
	bar     *progress
	shared  bool // results go to a terminal too: the bar has to make way for them
	plain   io.Writer
	now     func() time.Time
	total   int
	begun   int // targets that an earlier run had done
	started time.Time
	told    time.Time
}

func newScanProgress(stdout, stderr io.Writer, total, begun int, now func() time.Time) *scanProgress {
	s := &scanProgress{bar: newProgress(stderr), plain: stderr, now: now, total: total, begun: begun, started: now()}
	s.told = s.started
	if f, ok := stdout.(*os.File); ok {
		s.shared = term.IsTerminal(int(f.Fd()))
	}
	return s
}

// show is told how many targets are done.
func (s *scanProgress) show(done int) {
	if s.bar.w != nil {
		s.bar.show("probing", done, s.total)
		return
	}
	now := s.now()
	if now.Sub(s.told) < plainEvery || done == s.total {
		return
	}
	s.told = now
	left := "an unknown time"
	if fresh := done - s.begun; fresh > 0 {
		left = (now.Sub(s.started) / time.Duration(fresh) * time.Duration(s.total-done)).Round(time.Second).String()
	}
	fmt.Fprintf(s.plain, "starttls-list: probing: %d of %d domains, about %s left\n", done, s.total, left)
}

// aside runs f, which prints a result, with the bar out of its way.
func (s *scanProgress) aside(f func() error) error {
	if s.shared && s.bar.bar != nil {
		s.bar.bar.Clear()
	}
	return f()
}

func (s *scanProgress) end() { s.bar.end() }
