package mta

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/emersion/go-smtp"

	"github.com/starttls-everywhere/policylist/mirror/storetest/tool"
)

// mailServer answers STARTTLS with a certificate for whatever name it was told last.
type mailServer struct {
	address string // host:port
	roots   string // file with its CA

	mu    sync.Mutex
	names []string
	ca    *x509.Certificate
	key   *ecdsa.PrivateKey
}

func newMailServer(t *testing.T) *mailServer {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	m := &mailServer{key: key, ca: &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "a CA"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign}}
	der, err := x509.CreateCertificate(rand.Reader, m.ca, m.ca, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	m.roots = put(t, t.TempDir(), "ca.pem", string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})))
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	m.address = listener.Addr().String()
	server := smtp.NewServer(noMail{})
	server.Domain = "mail.example"
	server.ErrorLog = nullLog{}
	server.TLSConfig = &tls.Config{GetCertificate: m.certificate}
	go server.Serve(listener)
	t.Cleanup(func() { server.Close() })
	return m
}

func (m *mailServer) certificate(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	leaf := &x509.Certificate{SerialNumber: big.NewInt(2), DNSNames: m.names, NotBefore: m.ca.NotBefore, NotAfter: m.ca.NotAfter,
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}}
	der, err := x509.CreateCertificate(rand.Reader, leaf, m.ca, &m.key.PublicKey, m.key)
	return &tls.Certificate{Certificate: [][]byte{der}, PrivateKey: m.key}, err
}

func (m *mailServer) present(names ...string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.names = names
}

// noMail takes none: nobody gets as far as MAIL.
type noMail struct{ smtp.Session }

func (noMail) NewSession(*smtp.Conn) (smtp.Session, error) { return noMail{}, nil }
func (noMail) Reset()                                      {}
func (noMail) Logout() error                               { return nil }

type nullLog struct{}

func (nullLog) Printf(string, ...any) {}
func (nullLog) Println(...any)        {}

// What Postfix's own matching does with each kind of match= and of certificate: the reason for every choice in the table,
// and the proof of the model that other tests use.
func TestPostfixMatchesCertificatesAsTheModelSays(t *testing.T) {
	postfix, server := tool.NewPostfix(t), newMailServer(t)
	host, port, err := net.SplitHostPort(server.address)
	if err != nil {
		t.Fatal(err)
	}
	certificates := []string{"mx.example.com", "good.mx.example.com", "*.example.com", "*.mx.example.com", "example.com", "xexample.com"}
	for match, want := range matchTable {
		for i, verdict := range strings.Fields(want) {
			server.present(certificates[i])
			args := append([]string{"-c", "-l", "secure", "-F", server.roots, "[" + host + "]:" + port}, strings.Split(match, ":")...)
			cmd := postfix.Command(t.Context(), t, "posttls-finger", args...)
			out, _ := cmd.CombinedOutput()
			verified := strings.Contains(string(out), "Verified TLS connection established")
			if !verified && !strings.Contains(string(out), "TLS connection established") {
				t.Fatalf("no connection:\n%s", out)
			}
			if verified != (verdict == "yes") {
				t.Errorf("match=%s, a certificate for %s: verified: %t", match, certificates[i], verified)
			}
		}
	}
}
