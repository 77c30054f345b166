package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// TestProgressPlain: without a terminal there is a line a minute, with the time that is left, and none for short work.
func TestProgressPlain(t *testing.T) {
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	var out bytes.Buffer
	s := newScanProgress(io.Discard, &out, 1000, 100, func() time.Time { return now })
	for done := 101; done <= 1000; done++ {
		now = now.Add(200 * time.Millisecond)
		s.show(done)
	}
	s.end()
	want := "starttls-list: probing: 400 of 1000 domains, about 2m0s left\n" +
		"starttls-list: probing: 700 of 1000 domains, about 1m0s left\n"
	if out.String() != want {
		t.Errorf("got\n%s", out.String())
	}
	out.Reset()
	s = newScanProgress(io.Discard, &out, 10, 0, func() time.Time { return now })
	for done := range 10 {
		s.show(done + 1)
	}
	if out.Len() > 0 {
		t.Errorf("short work says %q", out.String())
	}
}

// terminal is a pseudo-terminal: what is written to tty can be read from screen.
func terminal(t *testing.T) (screen, tty *os.File) {
	t.Helper()
	screen, err := os.OpenFile("/dev/ptmx", os.O_RDWR, 0)
	if err != nil {
		t.Skip("no pseudo-terminals here: ", err)
	}
	t.Cleanup(func() { screen.Close() })
	number, err := unix.IoctlGetInt(int(screen.Fd()), unix.TIOCGPTN)
	err = errors.Join(err, unix.IoctlSetPointerInt(int(screen.Fd()), unix.TIOCSPTLCK, 0))
	if err != nil {
		t.Skip("no pseudo-terminals here: ", err)
	}
	tty, err = os.OpenFile(fmt.Sprintf("/dev/pts/%d", number), os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Skip("no pseudo-terminals here: ", err)
	}
	return screen, tty
}

// TestProgressOnATerminal: there is a bar with the time left, and results are printed beside it, not into it.
func TestProgressOnATerminal(t *testing.T) {
	screen, tty := terminal(t)
	seen := make(chan string)
	go func() {
		all, _ := io.ReadAll(screen) // ends with an error when the terminal is closed
		seen <- string(all)
	}()
	s := newScanProgress(tty, tty, 100, 0, time.Now)
	for done := 1; done < 100; done++ {
		if done%50 == 0 {
			if err := s.aside(func() error { _, err := fmt.Fprintln(tty, "d.example  pass"); return err }); err != nil {
				t.Error(err)
			}
		}
		s.show(done)
	}
	s.end()
	tty.Close()
	got := <-seen
	if !strings.Contains(got, "probing") || !strings.Contains(got, "/100") || !strings.Contains(got, "\rd.example  pass\r\n") {
		t.Errorf("%q", got)
	}
}
