//go:build linux

// Package loadtest asks a socketmap server as fast as it answers, for benchmarks: a closed loop, in which each connection asks
// its next question when it has the answer to the one before. One thread serves all connections by epoll, so that most of
// the machine is left to the server, and the server is what is measured.
package loadtest

import (
	"bytes"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"strconv"
	"syscall"
	"time"
)

// patience is how long nobody may answer before the load is called off.
const patience = 30 * time.Second

// Load is what is asked, and where. It ends after N answers, or when Stop is closed, if that is earlier.
type Load struct {
	Network, Address string // "tcp" with an IPv4 address and port, or "unix"
	Connections      int
	N                int             // 0: until Stop
	Stop             <-chan struct{} // nil: never
	// Ask appends the request with number i, without its netstring: "floor a.example".
	Ask func(buf []byte, i int) []byte
}

// Result is what came back.
type Result struct {
	Took    []time.Duration // from the write of a request to the end of its reply; sorted
	Elapsed time.Duration
	Found   int   // replies that begin with "OK "
	Err     error // why a load added by With was called off
}

// With adds another load's result, or why there is none.
func (r Result) With(other Result, err error) Result {
	r.Took = append(r.Took, other.Took...)
	slices.Sort(r.Took)
	r.Elapsed, r.Found = r.Elapsed+other.Elapsed, r.Found+other.Found
	if r.Err == nil {
		r.Err = err
	}
	return r
}

// Quantile is the time within which the given part of the replies came: 0.99 of them, say.
func (r Result) Quantile(q float64) time.Duration {
	if len(r.Took) == 0 {
		return 0
	}
	return r.Took[min(int(q*float64(len(r.Took))), len(r.Took)-1)]
}

// Rate is replies a second.
func (r Result) Rate() float64 { return float64(len(r.Took)) / r.Elapsed.Seconds() }

// String is one line for people.
func (r Result) String() string {
	return fmt.Sprintf("%.0f/s, p50 %s, p99 %s, p99.9 %s, worst %s", r.Rate(), r.Quantile(0.5), r.Quantile(0.99), r.Quantile(0.999), r.Quantile(1))
}

// asker is one connection.
type asker struct {
	fd    int
	asked time.Time
	reply []byte // what has come of it
}

// Run asks. A connection that the server closes is an error: what a mail server would defer mail for.
func Run(l Load) (Result, error) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	epoll, err := syscall.EpollCreate1(syscall.EPOLL_CLOEXEC)
	if err != nil {
		return Result{}, err
	}
	defer syscall.Close(epoll)
	askers := make(map[int32]*asker)
	for range l.Connections {
		fd, err := dial(l.Network, l.Address)
		if err != nil {
			return Result{}, err
		}
		defer syscall.Close(fd)
		askers[int32(fd)] = &asker{fd: fd}
		if err := syscall.EpollCtl(epoll, syscall.EPOLL_CTL_ADD, fd, &syscall.EpollEvent{Events: syscall.EPOLLIN, Fd: int32(fd)}); err != nil {
			return Result{}, err
		}
	}
	return l.loop(epoll, askers)
}

func (l Load) loop(epoll int, askers map[int32]*asker) (r Result, err error) {
	r.Took = make([]time.Duration, 0, l.N)
	begin, sent := time.Now(), 0
	var request, frame []byte
	ask := func(a *asker) error {
		if l.N > 0 && sent >= l.N || stopped(l.Stop) {
			return nil
		}
		request = l.Ask(request[:0], sent)
		frame = append(append(append(strconv.AppendInt(frame[:0], int64(len(request)), 10), ':'), request...), ',')
		a.asked, a.reply = time.Now(), a.reply[:0]
		sent++
		_, err := syscall.Write(a.fd, frame)
		return err
	}
	for _, a := range askers {
		if err := ask(a); err != nil {
			return r, err
		}
	}
	events, buf := make([]syscall.EpollEvent, len(askers)), make([]byte, 1<<16)
	for len(r.Took) < sent {
		n, err := syscall.EpollWait(epoll, events, int(patience.Milliseconds()))
		switch {
		case err == syscall.EINTR:
			continue
		case err != nil:
			return r, err
		case n == 0:
			return r, fmt.Errorf("no reply for %s", patience)
		}
		for _, e := range events[:n] {
			a := askers[e.Fd]
			whole, err := a.read(buf)
			if err != nil {
				return r, err
			}
			if !whole {
				continue
			}
			r.Took = append(r.Took, time.Since(a.asked))
			if _, text, _ := bytes.Cut(a.reply, []byte(":")); bytes.HasPrefix(text, []byte("OK ")) {
				r.Found++
			}
			if err := ask(a); err != nil {
				return r, err
			}
		}
	}
	r.Elapsed = time.Since(begin)
	slices.Sort(r.Took)
	return r, nil
}

func stopped(stop <-chan struct{}) bool {
	select {
	case <-stop:
		return true
	default:
		return false
	}
}

// read takes what is there and reports whether the reply is whole.
func (a *asker) read(buf []byte) (whole bool, err error) {
	n, err := syscall.Read(a.fd, buf)
	if err != nil {
		return false, err
	}
	if n == 0 {
		return false, errors.New("the server closed the connection")
	}
	a.reply = append(a.reply, buf[:n]...)
	digits, text, ok := bytes.Cut(a.reply, []byte(":"))
	if !ok {
		return false, nil
	}
	length, err := strconv.Atoi(string(digits))
	if err != nil || len(text) > length+1 || len(text) == length+1 && text[length] != ',' {
		return false, fmt.Errorf("%q is not one netstring", a.reply)
	}
	return len(text) == length+1, nil
}
