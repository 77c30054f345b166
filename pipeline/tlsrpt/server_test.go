package tlsrpt_test

import (
	"bufio"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"io"
	"log/slog"
	"math/big"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	intake "github.com/starttls-everywhere/policylist/pipeline/tlsrpt"
)

// newServer is a server of the world's store; what it logs goes to the writer.
func (w *world) newServer(log io.Writer) *intake.Server {
	w.t.Helper()
	return &intake.Server{
		Store: w.store, Intake: w.newIntake(intake.IntakeOptions{}), Host: host, DNS: w.dns, Connections: 4, Now: w.clock.now, Log: slog.New(slog.NewTextHandler(log, nil)),
	}
}

// serve runs a server until the test ends or stop is called, which returns what Serve did.
func (w *world) serve(s *intake.Server) (address string, stop func() error) {
	w.t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		w.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended, ready := make(chan error, 1), make(chan struct{})
	go func() { ended <- s.Serve(ctx, []net.Listener{l}, func() { close(ready) }) }()
	select {
	case <-ready:
	case err := <-ended:
		w.t.Fatal(err)
	}
	stopped := false
	stop = func() error {
		if stopped {
			return nil
		}
		stopped = true
		cancel()
		return <-ended
	}
	w.t.Cleanup(func() { stop() })
	return l.Addr().String(), stop
}

// certify writes a certificate for the host, that is its own root, and returns it.
func certify(t *testing.T, dir string, serial int64) *x509.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(serial), DNSNames: []string{host}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	for name, block := range map[string]*pem.Block{"cert.pem": {Type: "CERTIFICATE", Bytes: der}, "key.pem": {Type: "PRIVATE KEY", Bytes: private}} {
		if err := os.WriteFile(filepath.Join(dir, name), pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return cert
}

// Reports come over TLS; a renewed certificate is served without a restart, and half of one changes nothing.
func TestServeTLS(t *testing.T) {
	w := newWorld(t, intake.Options{})
	w.enrolled("a.example")
	dir := t.TempDir()
	first := certify(t, dir, 1)
	s := w.newServer(io.Discard)
	var err error
	if s.Certificate, err = intake.NewCertificate(filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")); err != nil {
		t.Fatal(err)
	}
	address, _ := w.serve(s)
	post := func(root *x509.Certificate, id string) (string, error) {
		roots := x509.NewCertPool()
		roots.AddCert(root)
		client := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots, ServerName: host}, ForceAttemptHTTP2: true}}
		defer client.CloseIdleConnections()
		r, err := client.Post("https://"+address+w.path("a.example"), "application/tlsrpt+json", strings.NewReader(reportText("Sender", id, 1, 0, "a.example")))
		if err != nil {
			return "", err
		}
		defer r.Body.Close()
		return r.Proto + " " + r.Status, nil
	}
	if said, err := post(first, "1"); err != nil || said != "HTTP/2.0 201 Created" {
		t.Errorf("%s, %v", said, err)
	}
	if _, err := tls.Dial("tcp", address, &tls.Config{InsecureSkipVerify: true, MaxVersion: tls.VersionTLS11}); err == nil {
		t.Error("TLS 1.1 is spoken")
	}
	second := certify(t, dir, 2)
	s.KeepHouse(t.Context())
	if said, err := post(second, "2"); err != nil || said != "HTTP/2.0 201 Created" {
		t.Errorf("renewed: %s, %v", said, err)
	}
	if err := os.WriteFile(filepath.Join(dir, "key.pem"), []byte("half"), 0o600); err != nil {
		t.Fatal(err)
	}
	s.KeepHouse(t.Context())
	if said, err := post(second, "3"); err != nil || said != "HTTP/2.0 201 Created" {
		t.Errorf("half renewed: %s, %v", said, err)
	}
}

// What a server does by itself: it looks at records, prunes, and moves counts to the store.
func TestKeepHouse(t *testing.T) {
	w := newWorld(t, intake.Options{})
	w.enrolled("a.example", "b.example")
	c := domain(t, "c.example")
	token, err := w.store.Enrol(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	var log strings.Builder
	s := w.newServer(&log)
	w.record("b.example")
	w.record("c.example", "v=TLSRPTv1; rua="+intake.ReportURI(host, token))
	post(t, s.Intake, "/nowhere", nil)
	body := []byte(reportText("Sender", "1", 1, 0, "c.example"))
	if status, _ := post(t, s.Intake, w.path("c.example"), body); status != 503 {
		t.Errorf("not looked at yet: %d", status)
	}
	s.KeepHouse(t.Context())
	if status, _ := post(t, s.Intake, w.path("c.example"), body); status != 201 {
		t.Errorf("after a look: %d", status)
	}
	if status, _ := post(t, s.Intake, w.path("b.example"), nil); status != 400 { // looked at a moment ago
		t.Errorf("before a day has passed: %d", status)
	}
	w.clock.pass(24 * time.Hour)
	s.KeepHouse(t.Context())
	if status, _ := post(t, s.Intake, w.path("b.example"), nil); status != 404 {
		t.Errorf("after a day: %d", status)
	}
	if err := s.Intake.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	counts, err := w.store.DayCounts(t.Context(), day(t, "2026-01-11"), day(t, "2026-01-12"))
	if err != nil || counts[intake.CountUnknownTokens] != 2 || counts[intake.CountUnreadable] != 1 {
		t.Errorf("%v, %v", counts, err)
	}
	w.clock.pass(7 * 24 * time.Hour)
	s.KeepHouse(t.Context())
	if entries, err := os.ReadDir(filepath.Join(w.dir, "raw")); err != nil || len(entries) != 0 {
		t.Errorf("%v, %v", entries, err)
	}
	for _, want := range []string{"msg=enrolment domain=c.example state=enrolled before=waiting", "msg=enrolment domain=b.example state=gone before=enrolled", "msg=pruned days=1"} {
		if !strings.Contains(log.String(), want) {
			t.Errorf("the log has no %q:\n%s", want, log.String())
		}
	}
}

// A request that is in hand when the server is told to stop is answered, and nothing of clients is in the log.
func TestStopGracefully(t *testing.T) {
	w := newWorld(t, intake.Options{})
	w.enrolled("a.example")
	var log strings.Builder
	s := w.newServer(&log)
	address, stop := w.serve(s)
	body := reportText("Sender", "1", 1, 0, "a.example")
	conn, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	fmt.Fprintf(conn, "POST %s HTTP/1.1\r\nHost: %s\r\nExpect: 100-continue\r\nContent-Length: %d\r\n\r\n", w.path("a.example"), host, len(body))
	in := bufio.NewReader(conn)
	if line, err := in.ReadString('\n'); err != nil || !strings.HasPrefix(line, "HTTP/1.1 100") { // its body is being waited for
		t.Fatalf("%q, %v", line, err)
	}
	in.ReadString('\n')
	ended := make(chan error)
	go func() { ended <- stop() }()
	for {
		r, err := http.Get("http://" + address + intake.HealthPath)
		if err != nil {
			break // it listens no more
		}
		r.Body.Close()
	}
	io.WriteString(conn, body)
	if line, err := in.ReadString('\n'); err != nil || line != "HTTP/1.1 201 Created\r\n" {
		t.Errorf("%q, %v", line, err)
	}
	if err := <-ended; err != nil {
		t.Error(err)
	}
	if strings.Contains(log.String(), "127.0.0.1") {
		t.Errorf("the log names a client:\n%s", log.String())
	}
	if got := rows(t, w.store, "2026-01-10"); len(got) != 1 {
		t.Errorf("%q", got)
	}
}

// Those who connect and say nothing keep nobody out for longer than they are waited for: more of them than there are
// places just wait in the queue of the socket.
func TestSilentConnections(t *testing.T) {
	w := newWorld(t, intake.Options{})
	w.enrolled("a.example")
	address, _ := w.serve(w.newServer(io.Discard))
	var silent []net.Conn
	for range 4 {
		conn, err := net.Dial("tcp", address)
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		silent = append(silent, conn)
	}
	answered := make(chan int, 1)
	go func() {
		r, err := http.Post("http://"+address+w.path("a.example"), "", strings.NewReader(reportText("Sender", "1", 1, 0, "a.example")))
		if err != nil {
			answered <- 0
			return
		}
		r.Body.Close()
		answered <- r.StatusCode
	}()
	silent[0].Close() // or the server does, after ten seconds
	if status := <-answered; status != 201 {
		t.Errorf("%d", status)
	}
}
