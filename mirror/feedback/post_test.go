package feedback

import (
	"bytes"
	"context"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/starttls-everywhere/policylist/policy/tlsrpt"
)

// TestCheckURL: https, or this machine; nothing that hides where it goes.
func TestCheckURL(t *testing.T) {
	for text, ok := range map[string]bool{
		"https://list.example/feedback/v1": true, "https://list.example:8443/a/feedback/v1": true,
		"http://127.0.0.1:80/feedback/v1": true, "http://[::1]/feedback/v1": true,
		"http://list.example/feedback/v1": false, "http://localhost/feedback/v1": false, "https://list.example/": false,
		"https://list.example/feedback/v1?x": false, "https://list.example/feedback/v1?": false, "https://u:p@list.example/feedback/v1": false,
		"https://list.example/feedback/v1#x": false, "https:///feedback/v1": false, "ftp://list.example/feedback/v1": false, "https:list.example/feedback/v1": false, ":": false,
	} {
		if u, err := CheckURL(text); (err == nil) != ok || ok && Clear(u) != strings.HasPrefix(text, "http:") {
			t.Errorf("%s: %v", text, err)
		}
	}
}

// TestSameBytes: what Request shows is what arrives, to the byte, headers and all.
func TestSameBytes(t *testing.T) {
	var raw []byte
	listener := httptest.NewUnstartedServer(nil).Listener
	defer listener.Close()
	got := make(chan []byte, 1)
	go func() {
		c, err := listener.Accept()
		if err != nil {
			return
		}
		defer c.Close()
		b := make([]byte, 64<<10)
		n := 0
		for n < len(b) && !bytes.HasSuffix(b[:n], []byte("  ")) {
			m, err := c.Read(b[n:])
			if n += m; err != nil {
				break
			}
		}
		got <- b[:n]
		io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 21\r\n\r\n{\"status\":\"accepted\"}")
	}()
	u, err := CheckURL("http://" + listener.Addr().String() + tlsrpt.FeedbackPath)
	must(t, err)
	target := NewTarget(u, domain(t, "sender.example"), testKey(t, 1))
	body := []byte("{}" + strings.Repeat(" ", 998))
	r, err := target.Request(t.Context(), body)
	must(t, err)
	var shown bytes.Buffer
	must(t, r.Write(&shown))
	if a := target.post(t.Context(), body); !a.done {
		t.Errorf("%+v", a)
	}
	if raw = <-got; !bytes.HasPrefix(shown.Bytes(), raw) || len(raw) < 300 {
		t.Errorf("shown\n%s\narrived\n%s", shown.Bytes(), raw)
	}
}

// TestDeadline: a server that says nothing costs the deadline and no more.
func TestDeadline(t *testing.T) {
	o := newOperator(t)
	ended := make(chan struct{})
	o.answer = func(http.ResponseWriter, []byte) { <-ended }
	defer close(ended)
	s := newSender(t, o)
	s.until(time.Date(2026, 3, 2, 13, 0, 0, 0, time.UTC))
	s.at = s.Key.Due(march2)
	if s.Target.client.Timeout != patience {
		t.Errorf("the deadline is %s", s.Target.client.Timeout)
	}
	s.Target.client.Timeout = 20 * time.Millisecond
	if e := s.run().Entry(march2); e.State != Waiting || !strings.Contains(e.Error, "deadline") {
		t.Errorf("%+v", e)
	}
}

// TestUnknownCertificate: whoever cannot show a certificate for the URL's host is told nothing.
func TestUnknownCertificate(t *testing.T) {
	server := httptest.NewTLSServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { t.Error("a stranger was told") }))
	defer server.Close()
	server.Config.ErrorLog = log.New(io.Discard, "", 0)
	u, err := CheckURL(server.URL + tlsrpt.FeedbackPath)
	must(t, err)
	if a := NewTarget(u, domain(t, "sender.example"), testKey(t, 1)).post(t.Context(), []byte("{}")); a.done || !strings.Contains(a.why, "certificate") {
		t.Errorf("%+v", a)
	}
}

// TestCancelled: the end of the program ends an attempt, which counts as one.
func TestCancelled(t *testing.T) {
	o := newOperator(t)
	s := newSender(t, o)
	s.until(time.Date(2026, 3, 2, 13, 0, 0, 0, time.UTC))
	s.at = s.Key.Due(march2)
	ctx, cancel := context.WithCancel(t.Context())
	o.at = cancel
	o.answer = func(http.ResponseWriter, []byte) { panic(http.ErrAbortHandler) }
	b, err := s.Run(ctx)
	if must(t, err); b.Entry(march2).State != Waiting || b.Entry(march2).Attempts != 1 {
		t.Errorf("%+v", b.Entry(march2))
	}
}

// Whatever a server answers, only a success that says so counts, and nothing of its words gets through.
func FuzzAnswer(f *testing.F) {
	f.Add(201, []byte(`{"status":"accepted","notices":["canary-delivered","x","canary-delivered"]}`))
	f.Add(409, []byte(`{"status":"duplicate"}`))
	f.Add(500, []byte(`{"status":"accepted"}`))
	f.Fuzz(func(t *testing.T, status int, text []byte) {
		a := read(status, text)
		if a.done && status != 200 && status != 201 && status != 409 {
			t.Errorf("%d %q counts", status, text)
		}
		for i, n := range a.notices {
			if !n.Known() || slices.Contains(a.notices[:i], n) || !a.done {
				t.Errorf("%q", a.notices)
			}
		}
		for _, c := range a.why {
			if c < ' ' || c > '~' {
				t.Errorf("%q", a.why)
			}
		}
	})
}
