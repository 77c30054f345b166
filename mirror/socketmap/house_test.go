package socketmap

import (
	"bufio"
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"testing"
	"testing/synctest"
	"time"
)

// visited runs f in a bubble of fake time with a server of which it is the network; dial connects.
func visited(t *testing.T, s *Server, f func(t *testing.T, dial func() net.Conn)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		d := newDoor()
		d.waits = make(chan struct{}, 1000)
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		s.Log = slog.New(slog.DiscardHandler)
		go func() { done <- s.Serve(ctx, d) }()
		var ours []net.Conn
		f(t, func() net.Conn {
			c, theirs := net.Pipe()
			ours = append(ours, c)
			go func() { d.comes <- theirs }() // the queue of the socket
			synctest.Wait()
			return c
		})
		closeAll(ours)
		cancel()
		<-d.closed
		close(d.end)
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}

func closeAll(all []net.Conn) {
	for _, c := range all {
		c.Close()
	}
}

// TestARequestEndsInTime: a byte now and then does not keep a connection beyond the patience that there is for a request.
func TestARequestEndsInTime(t *testing.T) {
	visited(t, &Server{Answerer: echo{}}, func(t *testing.T, dial func() net.Conn) {
		c := dial()
		time.Sleep(DefaultIdle / 2) // silence is no part of a request
		began := time.Now()
		if _, err := io.WriteString(c, "9999:"); err != nil {
			t.Fatal(err)
		}
		for time.Since(began) < time.Hour {
			time.Sleep(DefaultPatience / 3)
			if _, err := io.WriteString(c, "x"); err != nil {
				break
			}
		}
		if took := time.Since(began); took > 2*DefaultPatience {
			t.Errorf("closed after %v", took)
		}
	})
}

// TestARequestHasItsTime: within its patience a slow request is answered, and the next one has as long.
func TestARequestHasItsTime(t *testing.T) {
	visited(t, &Server{Answerer: echo{}}, func(t *testing.T, dial func() net.Conn) {
		c := dial()
		for range 3 {
			for _, part := range []string{"8:", "map ", "a.ex"} {
				if _, err := io.WriteString(c, part); err != nil {
					t.Fatal(err)
				}
				time.Sleep(DefaultPatience / 4)
			}
			if _, err := io.WriteString(c, ","); err != nil {
				t.Fatal(err)
			}
			if got, err := readNetstring(bufio.NewReader(c), nil); err != nil || string(got) != "OK map/a.ex" {
				t.Fatalf("%q, %v", got, err)
			}
		}
	})
}

// TestWhoIsWaitedForMakesRoom: neither half requests nor replies that nobody takes keep others out.
func TestWhoIsWaitedForMakesRoom(t *testing.T) {
	const places = 3
	for name, occupies := range map[string]func(net.Conn) error{
		"silence": func(net.Conn) error { return nil },
		"half":    func(c net.Conn) error { _, err := io.WriteString(c, "9999:x"); return err },
		"untaken": func(c net.Conn) error { _, err := io.WriteString(c, "8:map a.ex,"); return err },
		"both":    func(c net.Conn) error { _, err := io.WriteString(c, "8:map a.ex,9999:x"); return err },
	} {
		t.Run(name, func(t *testing.T) {
			visited(t, &Server{Answerer: echo{}, Connections: places}, func(t *testing.T, dial func() net.Conn) {
				for range places {
					if err := occupies(dial()); err != nil {
						t.Fatal(err)
					}
				}
				began := time.Now()
				for range 2 * places {
					c := dial()
					c.SetDeadline(time.Now().Add(DefaultPatience / 2))
					if _, err := Ask(c, "map", "a.ex"); err != nil {
						t.Fatalf("not answered after %v: %v", time.Since(began), err)
					}
				}
				if took := time.Since(began); took > 2*takes {
					t.Errorf("it took %v", took)
				}
			})
		})
	}
}

// slow takes an hour for an answer.
type slow struct{}

func (slow) Answer(context.Context, string, string) Reply {
	time.Sleep(time.Hour)
	return Reply{Value: "late"}
}

// TestCrowded: while all are being answered others wait, which is told; nobody loses an answer.
func TestCrowded(t *testing.T) {
	m := new(Metrics)
	visited(t, &Server{Answerer: slow{}, Connections: 1, Metrics: m}, func(t *testing.T, dial func() net.Conn) {
		answers := make(chan error, 2)
		ask := func(c net.Conn) {
			got, err := Ask(c, "map", "a.ex")
			if err == nil && got.Value != "late" {
				err = errors.New(got.String())
			}
			answers <- err
		}
		crowded := func(want bool) {
			t.Helper()
			if m.Crowded() != want {
				t.Errorf("crowded is %v", !want)
			}
		}
		go ask(dial())
		synctest.Wait()
		crowded(false)
		go ask(dial())
		time.Sleep(DefaultPatience)
		crowded(true)
		for range cap(answers) {
			if err := <-answers; err != nil {
				t.Error(err)
			}
			time.Sleep(time.Second)
			crowded(false)
		}
	})
}

// TestStopIsBounded: whoever sends the half of each next request with the rest of the last one does not keep a server from its end.
func TestStopIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDoor()
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- (&Server{Answerer: echo{}, Log: slog.New(slog.DiscardHandler)}).Serve(ctx, d) }()
		ours, theirs := net.Pipe()
		d.comes <- theirs
		go io.Copy(io.Discard, ours)
		if _, err := io.WriteString(ours, "8:map"); err != nil {
			t.Fatal(err)
		}
		cancel()
		<-d.closed
		close(d.end)
		began := time.Now()
		for time.Since(began) < time.Hour {
			time.Sleep(time.Second)
			if _, err := io.WriteString(ours, " a.ex,8:map"); err != nil {
				break
			}
		}
		ours.Close()
		if took := time.Since(began); took > DefaultPatience+2*time.Second {
			t.Errorf("it ended after %v", took)
		}
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}
