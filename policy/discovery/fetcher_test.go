package discovery_test

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"log"
	"net"
	"net/http"
	"net/netip"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/starttls-everywhere/policylist/policy/discovery"
)

func quiet() *log.Logger { return log.New(io.Discard, "", 0) }

// goodZone and fetcher are what a fetch from web needs.
func goodZone(t *testing.T) *zone {
	return serveZone(t, lines(`_mta-sts.a.example. TXT "v=STSv1\; id=1"`+";mta-sts.a.example. A 127.0.0.1")...)
}

func fetcher(ca *authority, port int) *discovery.Fetcher {
	return &discovery.Fetcher{Roots: ca.roots, Now: func() time.Time { return testTime }, Allow: netip.Addr.IsLoopback, Port: port}
}

// TestRequest: what a policy host gets to see, by either protocol, and that a second fetch is like the first.
func TestRequest(t *testing.T) {
	ca := newAuthority(t)
	for major, protocols := range map[int64][]string{1: {"http/1.1"}, 2: {"h2", "http/1.1"}} {
		w := &web{protocols: protocols, certificate: ca.leaf(t, "mta-sts.a.example", nil)}
		w.handler = http.HandlerFunc(func(out http.ResponseWriter, r *http.Request) {
			http.SetCookie(out, &http.Cookie{Name: "who", Value: "you"})
			out.Header().Set("Content-Type", "text/plain")
			io.WriteString(out, goodPolicy)
		})
		f := fetcher(ca, w.start(t))
		c := client(t, goodZone(t), nil)
		for range 2 {
			if s := discovery.FindSTS(t.Context(), c, f, domainA(t)); s.Status != discovery.STSOK {
				t.Errorf("%s: %s", s.Status, s.Detail)
			}
			header := w.header.Load().(http.Header)
			for _, name := range []string{"Cookie", "Accept-Encoding", "Authorization", "Referer"} {
				if header.Get(name) != "" {
					t.Errorf("HTTP/%d: %s: %s", major, name, header.Get(name))
				}
			}
		}
		if w.major.Load() != major || w.requests.Load() != 2 {
			t.Errorf("HTTP/%d, %d requests; want HTTP/%d, 2", w.major.Load(), w.requests.Load(), major)
		}
	}
}

// TestLargeBody: a body without an end costs its cap, by either protocol.
func TestLargeBody(t *testing.T) {
	ca := newAuthority(t)
	for _, protocols := range [][]string{{"http/1.1"}, {"h2"}} {
		ended := make(chan int64, 1)
		w := &web{protocols: protocols, certificate: ca.leaf(t, "mta-sts.a.example", nil)}
		w.handler = http.HandlerFunc(func(out http.ResponseWriter, r *http.Request) {
			out.Header().Set("Content-Type", "text/plain")
			sent, piece := int64(0), []byte(strings.Repeat("x: y\n", 1<<12))
			for sent < 1<<30 {
				n, err := out.Write(piece)
				sent += int64(n)
				if err != nil {
					break
				}
			}
			ended <- sent
		})
		s := discovery.FindSTS(t.Context(), client(t, goodZone(t), nil), fetcher(ca, w.start(t)), domainA(t))
		if s.Status != discovery.STSFetchSize || s.Body != nil {
			t.Errorf("%v: %s, %d bytes kept", protocols, s.Status, len(s.Body))
		}
		if sent := <-ended; sent > 16<<20 { // what the kernel's buffers hold
			t.Errorf("%v: the server got rid of %d bytes", protocols, sent)
		}
	}
}

// TestDeadline: a server that dawdles, wherever it does, is left when the time is up.
func TestDeadline(t *testing.T) {
	ca := newAuthority(t)
	for what, first := range map[string]func(http.ResponseWriter){
		"waiting for the answer": func(http.ResponseWriter) {},
		"reading the policy": func(out http.ResponseWriter) {
			out.Header().Set("Content-Type", "text/plain")
			io.WriteString(out, goodPolicy)
			out.(http.Flusher).Flush()
		},
	} {
		for _, protocols := range [][]string{{"http/1.1"}, {"h2"}} {
			ctx, cancel := context.WithCancel(t.Context())
			w := &web{protocols: protocols, certificate: ca.leaf(t, "mta-sts.a.example", nil)}
			w.handler = http.HandlerFunc(func(out http.ResponseWriter, r *http.Request) {
				if first(out); what == "waiting for the answer" {
					cancel()
				}
				<-r.Context().Done() // the client has gone
			})
			f := fetcher(ca, w.start(t))
			if what == "reading the policy" {
				f.Deadline = 300 * time.Millisecond // nothing here tells when the client has read what there is
			}
			s := discovery.FindSTS(ctx, client(t, goodZone(t), nil), f, domainA(t))
			cancel()
			slow := f.Deadline != 0 && s.HTTPStatus == 0 // this machine did not even get there
			if s.Status != discovery.STSFetchTimeout || !strings.HasPrefix(s.Detail, what) && !slow || s.Policy.Mode != "" {
				t.Errorf("%v: %s, %q; want %q", protocols, s.Status, s.Detail, what)
			}
		}
	}
	port := rawServer(t, nil, func(conn net.Conn) { io.Copy(io.Discard, conn) })
	f := fetcher(ca, port)
	f.Deadline = 100 * time.Millisecond
	s := discovery.FindSTS(t.Context(), client(t, goodZone(t), nil), f, domainA(t))
	if s.Status != discovery.STSFetchTimeout || !strings.HasPrefix(s.Detail, "TLS handshake") {
		t.Errorf("%s, %q", s.Status, s.Detail)
	}
}

// TestGarbage: what is not HTTP, headers without an end among it.
func TestGarbage(t *testing.T) {
	ca := newAuthority(t)
	config := &tls.Config{Certificates: []tls.Certificate{ca.leaf(t, "mta-sts.a.example", nil)}, NextProtos: []string{"http/1.1"}}
	var taken atomic.Int64
	endless := func(first, line string) func(net.Conn) {
		return func(conn net.Conn) {
			io.WriteString(conn, first)
			for sent := 0; sent < 1<<30; sent += len(line) {
				if _, err := io.WriteString(conn, line); err != nil {
					taken.Store(int64(sent))
					return
				}
			}
		}
	}
	flood := strings.Repeat("X-Flood: 0123456789\r\n", 1<<10)
	for name, speak := range map[string]func(net.Conn){
		"another protocol": func(conn net.Conn) { io.WriteString(conn, "220 mx.a.example ESMTP\x1b[2J\r\n") },
		"nothing":          func(conn net.Conn) {},
		"half a header":    func(conn net.Conn) { io.WriteString(conn, "HTTP/1.1 200 OK\r\nContent-T") },
		"half a body": func(conn net.Conn) {
			io.WriteString(conn, "HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n"+goodPolicy)
		},
		"half a chunk": func(conn net.Conn) {
			io.WriteString(conn, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nff\r\n"+goodPolicy)
		},
		"no chunk": func(conn net.Conn) {
			io.WriteString(conn, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"+goodPolicy)
		},
		"two lengths": func(conn net.Conn) {
			io.WriteString(conn, "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\n"+goodPolicy)
		},
		"endless header":    endless("HTTP/1.1 200 OK\r\n", flood),
		"endless line":      endless("HTTP/1.1 200 OK\r\n", strings.Repeat("x", 1<<14)),
		"endless forewords": endless("", "HTTP/1.1 103 Early Hints\r\n"+flood[:21*8]+"\r\n"),
	} {
		port := rawServer(t, config, func(conn net.Conn) {
			io.ReadAtLeast(conn, make([]byte, 4<<10), 1) // the request
			speak(conn)
		})
		s := discovery.FindSTS(t.Context(), client(t, goodZone(t), nil), fetcher(ca, port), domainA(t))
		if s.Status != discovery.STSFetchHTTP || s.Policy.Mode != "" || strings.Contains(s.Detail, "\x1b") {
			t.Errorf("%s: %s, %q", name, s.Status, s.Detail)
		}
	}
	if n := taken.Load(); n > 16<<20 {
		t.Errorf("%d bytes of a header were taken", n)
	}
}

// TestChunked: a body without a length is as good as another.
func TestChunked(t *testing.T) {
	ca := newAuthority(t)
	config := &tls.Config{Certificates: []tls.Certificate{ca.leaf(t, "mta-sts.a.example", nil)}, NextProtos: []string{"http/1.1"}}
	for name, answer := range map[string]string{
		"chunks":       "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nv\r\n" + strconv.FormatInt(int64(len(goodPolicy)-1), 16) + "\r\n" + goodPolicy[1:] + "\r\n0\r\n\r\n",
		"until closed": "HTTP/1.0 200 OK\r\nContent-Type: text/plain\r\n\r\n" + goodPolicy,
	} {
		port := rawServer(t, config, func(conn net.Conn) {
			io.ReadAtLeast(conn, make([]byte, 4<<10), 1)
			io.WriteString(conn, answer)
		})
		s := discovery.FindSTS(t.Context(), client(t, goodZone(t), nil), fetcher(ca, port), domainA(t))
		if s.Status != discovery.STSOK || string(s.Body) != goodPolicy {
			t.Errorf("%s: %s, %q, %q", name, s.Status, s.Detail, s.Body)
		}
	}
}

// TestForbidden: an address that may not be contacted is not, whatever else the name has.
func TestForbidden(t *testing.T) {
	ca := newAuthority(t)
	w := &web{protocols: []string{"http/1.1"}, certificate: ca.leaf(t, "mta-sts.a.example", nil), handler: http.NotFoundHandler()}
	f := fetcher(ca, w.start(t))
	var asked []netip.Addr
	f.Allow = func(addr netip.Addr) bool {
		asked = append(asked, addr)
		return false
	}
	s := discovery.FindSTS(t.Context(), client(t, goodZone(t), nil), f, domainA(t))
	if s.Status != discovery.STSFetchForbidden || w.requests.Load() != 0 || s.Server.IsValid() || len(asked) != 1 {
		t.Errorf("%s, %d requests, server %v, asked about %v", s.Status, w.requests.Load(), s.Server, asked)
	}
}

// TestEnter: each address is entered and left once, and who may not enter connects to nobody.
func TestEnter(t *testing.T) {
	ca := newAuthority(t)
	w := &web{protocols: []string{"http/1.1"}, certificate: ca.leaf(t, "mta-sts.a.example", nil), handler: http.NotFoundHandler()}
	f := fetcher(ca, w.start(t))
	z := goodZone(t)
	in, total := 0, 0
	f.Enter = func(context.Context, netip.Addr) (func(), error) {
		in, total = in+1, total+1
		return func() { in-- }, nil
	}
	if s := discovery.FindSTS(t.Context(), client(t, z, nil), f, domainA(t)); s.Status != discovery.STSFetchStatus || in != 0 || total != 1 {
		t.Errorf("%s, %d inside of %d", s.Status, in, total)
	}
	f.Enter = func(context.Context, netip.Addr) (func(), error) { return nil, errors.New("closed") }
	s := discovery.FindSTS(t.Context(), client(t, z, nil), f, domainA(t))
	if s.Status != discovery.STSFetchTimeout || !strings.Contains(s.Detail, "closed") || w.requests.Load() != 1 {
		t.Errorf("%s, %q, %d requests", s.Status, s.Detail, w.requests.Load())
	}
}

// rawServer accepts connections, over TLS with config, and lets speak deal with each.
func rawServer(t *testing.T, config *tls.Config, speak func(net.Conn)) (port int) {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		for {
			conn, err := ln.Accept()
			if err != nil {
				return
			}
			if config != nil {
				conn = tls.Server(conn, config)
			}
			speak(conn)
			conn.Close()
		}
	}()
	t.Cleanup(func() {
		ln.Close()
		<-ended
	})
	return ln.Addr().(*net.TCPAddr).Port
}
