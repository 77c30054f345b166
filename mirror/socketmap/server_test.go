package socketmap

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

// echo answers with what it was asked, except for keys that begin with "no".
type echo struct{}

func (echo) Answer(_ context.Context, name, key string) Reply {
	if strings.HasPrefix(key, "no") {
		return Reply{}
	}
	return Reply{Value: name + "/" + key}
}

// peer is a mail server's side of a connection.
type peer struct {
	t *testing.T
	net.Conn
	r *bufio.Reader
}

func (p *peer) send(text string) {
	p.t.Helper()
	if _, err := io.WriteString(p, text); err != nil {
		p.t.Fatal(err)
	}
}

func (p *peer) wants(replies ...string) {
	p.t.Helper()
	for _, want := range replies {
		got, err := readNetstring(p.r, nil)
		if err != nil || string(got) != want {
			p.t.Fatalf("%q, %v, want %q", got, err, want)
		}
	}
}

// closed waits for the server to hang up.
func (p *peer) closed() {
	p.t.Helper()
	if rest, err := io.ReadAll(p.r); err != nil && !errors.Is(err, net.ErrClosed) || len(rest) > 0 {
		if !strings.Contains(fmt.Sprint(err), "reset") {
			p.t.Errorf("%q, %v, where the end should be", rest, err)
		}
	}
}

// listening is a server under test.
type listening struct {
	t    *testing.T
	addr net.Addr
	stop context.CancelFunc
	done chan error
	log  *logged
}

// logged keeps what a server logs.
type logged struct {
	mu sync.Mutex
	b  strings.Builder
}

func (l *logged) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *logged) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

func listen(t *testing.T, network, address string, s *Server) *listening {
	t.Helper()
	l, err := net.Listen(network, address)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	on := &listening{t: t, addr: l.Addr(), stop: cancel, done: make(chan error, 1), log: &logged{}}
	s.Log = slog.New(slog.NewTextHandler(on.log, nil))
	go func() { on.done <- s.Serve(ctx, l) }()
	t.Cleanup(func() {
		cancel()
		if err := <-on.done; err != nil {
			t.Error(err)
		}
	})
	return on
}

func (on *listening) dial() *peer {
	on.t.Helper()
	c, err := net.Dial(on.addr.Network(), on.addr.String())
	if err != nil {
		on.t.Fatal(err)
	}
	on.t.Cleanup(func() { c.Close() })
	return &peer{on.t, c, bufio.NewReader(c)}
}

// TestManyRequestsOnOneConnection: two in one write, two more later, one in pieces of a byte. A server that hung up after
// each reply once made Postfix defer mail.
func TestManyRequestsOnOneConnection(t *testing.T) {
	for network, address := range map[string]string{"tcp": "127.0.0.1:0", "unix": filepath.Join(t.TempDir(), "s")} {
		on := listen(t, network, address, &Server{Answerer: echo{}})
		p := on.dial()
		p.send("8:map a.ex,10:map no.one,")
		p.wants("OK map/a.ex", "NOTFOUND ")
		p.send("8:map b.ex,8:map c.ex,")
		p.wants("OK map/b.ex", "OK map/c.ex")
		for _, c := range "12:map with key," {
			p.send(string(c))
		}
		p.wants("OK map/with key")
		p.send("3:map,0:,4:map ,") // no key, nothing, an empty key
		p.wants("OK map/", "OK /", "OK map/")
		p.send(strings.Repeat("8:map a.ex,", 5000)) // more than any buffer
		for range 5000 {
			p.wants("OK map/a.ex")
		}
		if on.log.String() != "" {
			t.Errorf("%s: logged %s", network, on.log)
		}
	}
}

// TestWhatIsNoRequest: the connection closes, the others go on, the log says why.
func TestWhatIsNoRequest(t *testing.T) {
	on := listen(t, "tcp", "127.0.0.1:0", &Server{Answerer: echo{}})
	other := on.dial()
	for _, bad := range []string{
		"GET / HTTP/1.1\r\n\r\n", "a:b,", ":,", "01:a,", "-1:a,", "3:mapx", "99999:", "10001:", "100000:x,", "18446744073709551617:x,", "8 :map a.ex,",
	} {
		p := on.dial()
		p.send("8:map a.ex," + bad)
		p.wants("OK map/a.ex")
		p.closed()
	}
	other.send("8:map a.ex,")
	other.wants("OK map/a.ex")
	if n := strings.Count(on.log.String(), "connection closed"); n != 11 {
		t.Errorf("%d lines:\n%s", n, on.log)
	}
}

// TestSilence: nothing for long between requests ends a connection quietly, half a request loudly only at its peer's end.
func TestSilence(t *testing.T) {
	on := listen(t, "tcp", "127.0.0.1:0", &Server{Answerer: echo{}, Idle: time.Millisecond, Patience: time.Hour})
	on.dial().closed()
	half := listen(t, "tcp", "127.0.0.1:0", &Server{Answerer: echo{}, Idle: time.Hour, Patience: time.Millisecond})
	p := half.dial()
	p.send("8:ma")
	p.closed()
	cut := listen(t, "tcp", "127.0.0.1:0", &Server{Answerer: echo{}})
	p = cut.dial()
	p.send("8:ma")
	p.Conn.(*net.TCPConn).CloseWrite()
	p.closed()
	if on.log.String()+half.log.String() != "" || !strings.Contains(cut.log.String(), "unexpected EOF") {
		t.Errorf("%s%s%s", on.log, half.log, cut.log)
	}
}

// held answers when it is let go.
type held struct{ asked, free chan struct{} }

func (h held) Answer(ctx context.Context, _, _ string) Reply {
	h.asked <- struct{}{}
	<-h.free
	if ctx.Err() != nil {
		return Reply{} // what a lookup that is cut short comes to: mail would go out unprotected
	}
	return Reply{Value: "late"}
}

// TestStopAnswersWhatWasAsked: a restart must not lose a reply that a delivery agent waits for, nor wait for idle ones.
func TestStopAnswersWhatWasAsked(t *testing.T) {
	h := held{make(chan struct{}), make(chan struct{})}
	on := listen(t, "tcp", "127.0.0.1:0", &Server{Answerer: h})
	idle, busy := on.dial(), on.dial()
	busy.send("8:map a.ex,")
	<-h.asked
	on.stop()
	idle.closed()
	close(h.free)
	busy.wants("OK late")
	busy.closed()
	if err := <-on.done; err != nil {
		t.Error(err)
	}
	on.done <- nil
	if c, err := net.Dial(on.addr.Network(), on.addr.String()); err == nil {
		c.Close()
		t.Error("it still listens")
	}
}

// TestConnectionsAreBounded: for one more, that of the longest silence ends; while all are busy, it waits its turn.
func TestConnectionsAreBounded(t *testing.T) {
	h := held{make(chan struct{}), make(chan struct{})}
	on := listen(t, "tcp", "127.0.0.1:0", &Server{Answerer: h, Connections: 3})
	var peers []*peer
	answered := func(p *peer) {
		t.Helper()
		p.send("8:map a.ex,")
		<-h.asked
		h.free <- struct{}{}
		p.wants("OK late")
	}
	for range 3 {
		peers = append(peers, on.dial())
		answered(peers[len(peers)-1])
	}
	answered(peers[0]) // now the second has been silent for the longest
	fourth := on.dial()
	answered(fourth)
	peers[1].closed()
	busy := []*peer{peers[0], peers[2], fourth}
	for _, p := range busy {
		p.send("8:map a.ex,")
		<-h.asked
	}
	fifth := on.dial()
	fifth.send("8:map a.ex,")
	for range busy {
		h.free <- struct{}{}
	}
	<-h.asked // by the fifth, for one of the others is silent now
	h.free <- struct{}{}
	fifth.wants("OK late")
	for _, p := range busy {
		p.wants("OK late") // nobody lost an answer
	}
	if on.log.String() != "" {
		t.Errorf("logged %s", on.log)
	}
}

// TestIdleConnectionsDoNotFillTheSocket: as many as there are places, none of which ever says anything, keep nobody out.
func TestIdleConnectionsDoNotFillTheSocket(t *testing.T) {
	const places = 64
	on := listen(t, "tcp", "127.0.0.1:0", &Server{Answerer: echo{}, Connections: places})
	for range 3 * places {
		on.dial()
	}
	for range 2 * places {
		p := on.dial()
		p.send("8:map a.ex,")
		p.wants("OK map/a.ex")
	}
}

// FuzzNetstring: what is read writes back to the same bytes.
func FuzzNetstring(f *testing.F) {
	f.Add([]byte("5:hello,0:,"))
	f.Add([]byte("10000:"))
	f.Add([]byte("3:a,b,x"))
	f.Fuzz(func(t *testing.T, data []byte) {
		r := bufio.NewReader(strings.NewReader(string(data)))
		var back, buf []byte
		for {
			var err error
			if buf, err = readNetstring(r, buf); err != nil {
				break
			}
			back = appendNetstring(back, string(buf))
		}
		if !strings.HasPrefix(string(data), string(back)) {
			t.Errorf("%q came back as %q", data, back)
		}
	})
}
