package lab

import (
	"crypto/sha256"
	"crypto/tls"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"sync"
	"time"
)

// webServer serves every policy host from one socket, told apart by SNI and Host header.
type webServer struct {
	addr    netip.AddrPort
	ca      *authority
	server  *http.Server
	stopped chan struct{}
	done    chan struct{}

	mu       sync.Mutex // guards what follows
	policies map[string]string
	faults   map[string]WebFault
	stats    Stats
}

func newWebServer(addr netip.AddrPort, ca *authority) (*webServer, error) {
	ln, err := net.Listen("tcp", addr.String())
	if err != nil {
		return nil, err
	}
	w := &webServer{
		addr: ln.Addr().(*net.TCPAddr).AddrPort(), ca: ca,
		stopped: make(chan struct{}), done: make(chan struct{}),
		policies: make(map[string]string), faults: make(map[string]WebFault),
	}
	w.server = &http.Server{
		Handler: http.HandlerFunc(w.serve), ReadHeaderTimeout: 10 * time.Second,
		ErrorLog:  log.New(io.Discard, "", 0),
		TLSConfig: &tls.Config{GetCertificate: w.certificate, Time: ca.now},
	}
	go func() {
		defer close(w.stopped)
		w.server.ServeTLS(ln, "", "")
	}()
	return w, nil
}

func (w *webServer) close() {
	close(w.done)
	w.server.Close()
	<-w.stopped
}

// SetWebFault makes the policy host of a name ("mta-sts.a.example") misbehave, or behave again with "".
func (l *Lab) SetWebFault(host string, fault WebFault) {
	l.web.mu.Lock()
	defer l.web.mu.Unlock()
	l.web.faults[host] = fault
}

// WebStats is what the web server saw so far; its sessions are requests.
func (l *Lab) WebStats() Stats {
	l.web.mu.Lock()
	defer l.web.mu.Unlock()
	return l.web.stats
}

// WebAddress is where all policy hosts are.
func (l *Lab) WebAddress() netip.Addr { return l.web.addr.Addr() }

// count notes the begin of a request and returns what to call at its end, which comes before the visitor sees it.
func (w *webServer) count() (done func()) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.stats.Sessions++
	w.stats.Open++
	w.stats.Peak = max(w.stats.Peak, w.stats.Open)
	return func() {
		w.mu.Lock()
		w.stats.Open--
		w.mu.Unlock()
	}
}

func (w *webServer) setPolicy(host, text string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if text == "" {
		delete(w.policies, host)
		return
	}
	w.policies[host] = text
}

func (w *webServer) certificate(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
	name := strings.ToLower(hello.ServerName)
	w.mu.Lock()
	_, known := w.policies[name]
	fault := w.faults[name]
	w.mu.Unlock()
	switch {
	case !known:
		return nil, errors.New("no such policy host")
	case fault == WebNoTLS:
		return nil, errors.New("no certificate today")
	case fault == WebCert:
		return w.ca.leaf(name, WrongName)
	case fault == WebExpired:
		return w.ca.leaf(name, Expired)
	case fault == WebExpiring:
		return w.ca.leaf(name, Expiring)
	case fault == WebWildcard:
		return w.ca.leaf(name, Wildcard)
	}
	return w.ca.leaf(name, Good)
}

func (w *webServer) serve(out http.ResponseWriter, r *http.Request) {
	defer w.count()()
	name, _, err := net.SplitHostPort(r.Host)
	if err != nil {
		name = r.Host
	}
	w.mu.Lock()
	text, known := w.policies[name]
	fault := w.faults[name]
	w.mu.Unlock()
	if !known || r.URL.Path != "/.well-known/mta-sts.txt" {
		http.NotFound(out, r)
		return
	}
	if w.misbehave(out, r, fault) {
		return
	}
	out.Header()["Content-Type"] = mediaType(fault)
	if fault == WebEncoding {
		out.Header().Set("Content-Encoding", "gzip")
	}
	fmt.Fprint(out, text)
}

// policyID is a record id of at most 32 alphanumerics (RFC 8461 section 3.1) that changes with the text.
func policyID(text string) string {
	sum := sha256.Sum256([]byte(text))
	return hex.EncodeToString(sum[:10])
}
