package keytest

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/starttls-everywhere/policylist/mirror/storetest/tool"
)

// Sigstore is a Sigstore of the test's own on loopback: an issuer, Fulcio and a timestamp authority; no Rekor.
type Sigstore struct {
	Issuer    *Issuer
	Identity  string // the mail address of its tokens
	Fulcio    string // base URL
	Timestamp string // URL
	Roots     []byte // Fulcio's root in PEM
	// TrustedRoot is the file that verifiers take (sigstore/protobuf-specs, trusted_root.json).
	TrustedRoot string

	fulcio, stamps *tool.Process
}

// StartSigstore starts everything, and stops it when the test ends.
func StartSigstore(t testing.TB) *Sigstore {
	t.Helper()
	s := &Sigstore{Identity: "publisher@list.example"}
	fulcio, stamps := tool.Path(t, "fulcio"), tool.Path(t, "timestamp-server")
	s.Issuer = StartIssuer(t, s.Identity)
	dir := t.TempDir()
	ca := s.startFulcio(t, fulcio, dir)
	s.startStamps(t, stamps)
	s.writeRoot(t, filepath.Join(dir, "trusted_root.json"), ca)
	return s
}

// StopFulcio ends Fulcio, as an outage does.
func (s *Sigstore) StopFulcio() { s.fulcio.Stop() }

// attempts is how often a program is started on other ports: somebody may have taken one.
const attempts = 5

func (s *Sigstore) startFulcio(t testing.TB, program, dir string) *x509.Certificate {
	t.Helper()
	ca, caFile, keyFile := newCA(t, dir)
	config := filepath.Join(dir, "fulcio.yaml")
	text := fmt.Sprintf("oidc-issuers:\n  %[1]s:\n    issuer-url: %[1]s\n    client-id: sigstore\n    type: email\n    contact: x@list.example\n    description: test\n", s.Issuer.URL)
	if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	for range attempts {
		address := tool.FreePort(t)
		_, port, _ := net.SplitHostPort(address)
		_, grpc, _ := net.SplitHostPort(tool.FreePort(t))
		_, metrics, _ := net.SplitHostPort(tool.FreePort(t))
		cmd := exec.CommandContext(context.Background(), program, "serve", "--ca=fileca", "--fileca-cert="+caFile, "--fileca-key="+keyFile,
			"--fileca-watch=false", "--fileca-key-passwd=", "--ct-log-url=", "--config-path="+config, "--host=127.0.0.1", "--port="+port, "--grpc-host=127.0.0.1",
			"--grpc-port="+grpc, "--metrics-port="+metrics, "--legacy-unix-domain-socket=@policylist-"+rand.Text())
		s.fulcio = tool.Start(t, cmd, os.Interrupt)
		s.Fulcio = "http://" + address
		if s.fulcio.Until(func() bool { return answers(s.Fulcio + "/healthz") }) {
			return ca
		}
	}
	t.Fatal("Fulcio does not start")
	return nil
}

func (s *Sigstore) startStamps(t testing.TB, program string) {
	t.Helper()
	for range attempts {
		address := tool.FreePort(t)
		_, port, _ := net.SplitHostPort(address)
		cmd := exec.CommandContext(context.Background(), program, "serve", "--host=127.0.0.1", "--port="+port, "--scheme=http",
			"--timestamp-signer=memory", "--disable-ntp-monitoring")
		s.stamps = tool.Start(t, cmd, os.Interrupt)
		s.Timestamp = "http://" + address + "/api/v1/timestamp"
		if s.stamps.Until(func() bool { return answers("http://" + address + "/ping") }) {
			return
		}
	}
	t.Fatal("the timestamp authority does not start")
}

func answers(url string) bool {
	answer, err := http.Get(url)
	return err == nil && answer.Body.Close() == nil && answer.StatusCode == http.StatusOK
}

// newCA writes Fulcio's root and its key.
func newCA(t testing.TB, dir string) (ca *x509.Certificate, caFile, keyFile string) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	name := pkix.Name{Organization: []string{"list.example"}, CommonName: "test root"}
	der, err := x509.CreateCertificate(rand.Reader, &x509.Certificate{SerialNumber: big.NewInt(1), Subject: name, NotBefore: time.Now().Add(-time.Hour),
		NotAfter: time.Now().Add(24 * time.Hour), IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageCRLSign}, &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: name}, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	caFile, keyFile = filepath.Join(dir, "ca.pem"), filepath.Join(dir, "ca.key")
	for file, block := range map[string]*pem.Block{caFile: {Type: "CERTIFICATE", Bytes: der}, keyFile: {Type: "PRIVATE KEY", Bytes: private}} {
		if err := os.WriteFile(file, pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if ca, err = x509.ParseCertificate(der); err != nil {
		t.Fatal(err)
	}
	return ca, caFile, keyFile
}

// writeRoot writes what verifiers trust.
func (s *Sigstore) writeRoot(t testing.TB, file string, ca *x509.Certificate) {
	t.Helper()
	s.Roots = pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: ca.Raw})
	answer, err := http.Get(s.Timestamp + "/certchain")
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	chain, err := io.ReadAll(answer.Body)
	if err != nil {
		t.Fatal(err)
	}
	var stamps [][]byte
	for block, rest := pem.Decode(chain); block != nil; block, rest = pem.Decode(bytes.TrimSpace(rest)) {
		stamps = append(stamps, block.Bytes)
	}
	type object = map[string]any
	authority := func(url string, certificates ...[]byte) object {
		var raw []object
		for _, c := range certificates {
			raw = append(raw, object{"rawBytes": c})
		}
		return object{"subject": object{"organization": "list.example", "commonName": "test"}, "uri": url,
			"certChain": object{"certificates": raw}, "validFor": object{"start": "2020-01-01T00:00:00Z"}}
	}
	data, err := json.Marshal(object{"mediaType": "application/vnd.dev.sigstore.trustedroot+json;version=0.1",
		"certificateAuthorities": []object{authority(s.Fulcio, ca.Raw)},
		"timestampAuthorities":   []object{authority(s.Timestamp, stamps...)}})
	if err == nil {
		err = os.WriteFile(file, data, 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
	s.TrustedRoot = file
}
