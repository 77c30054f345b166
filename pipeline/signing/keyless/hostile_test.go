package keyless

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/json"
	"encoding/pem"
	"errors"
	"io"
	"math/big"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"
)

// refused lets a signer fail with the words, without its token.
func refused(t *testing.T, s *Signer, words string) {
	t.Helper()
	out, err := s.Bundle(t.Context(), []byte("list"))
	if !errors.Is(err, ErrKeyless) || !strings.Contains(err.Error(), words) || out != nil {
		t.Errorf("%q is not in %v", words, err)
	}
	if err == nil {
		return
	}
	if token, e := s.Token(t.Context()); e == nil && strings.Contains(err.Error(), token) {
		t.Errorf("the token stands in %v", err)
	}
}

const (
	someToken    = "aaaa.bbbb.cccc"
	someIdentity = "publisher@list.example"
	someIssuer   = "https://issuer.example"
)

// liar is a Fulcio and a timestamp authority that answer as they like; certify changes an honest certificate.
type liar struct {
	now     time.Time
	certify func(c *x509.Certificate) (public any)
	fulcio  http.HandlerFunc // nil: certify
	stamp   http.HandlerFunc
}

// signer is one that believes the liar, as far as it believes anybody.
func (l *liar) signer(t *testing.T) *Signer {
	t.Helper()
	mux := http.NewServeMux()
	mux.HandleFunc("/api/v2/signingCert", func(w http.ResponseWriter, r *http.Request) {
		if l.fulcio != nil {
			l.fulcio(w, r)
			return
		}
		l.issue(t, w, r)
	})
	mux.HandleFunc("/stamp", func(w http.ResponseWriter, r *http.Request) { l.stamp(w, r) })
	server := httptest.NewServer(mux)
	t.Cleanup(server.Close)
	return &Signer{Fulcio: server.URL + "/", Timestamp: server.URL + "/stamp", Identity: someIdentity, Issuer: someIssuer,
		Token: func(context.Context) (string, error) { return someToken, nil }, Now: func() time.Time { return l.now }}
}

func (l *liar) issue(t *testing.T, w http.ResponseWriter, r *http.Request) {
	var request struct {
		CSR []byte `json:"certificateSigningRequest"`
	}
	json.NewDecoder(r.Body).Decode(&request)
	block, _ := pem.Decode(request.CSR)
	csr, err := x509.ParseCertificateRequest(block.Bytes)
	if err != nil || csr.CheckSignature() != nil {
		t.Errorf("certificate request: %v", err)
	}
	issuer, _ := asn1.MarshalWithParams(someIssuer, "utf8")
	c := &x509.Certificate{SerialNumber: big.NewInt(7), NotBefore: l.now.Add(-time.Minute), NotAfter: l.now.Add(9 * time.Minute),
		EmailAddresses: []string{someIdentity}, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageCodeSigning},
		ExtraExtensions: []pkix.Extension{{Id: oidIssuer, Value: issuer}}}
	public := csr.PublicKey
	if l.certify != nil {
		if other := l.certify(c); other != nil {
			public = other
		}
	}
	ca, _ := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	der, err := x509.CreateCertificate(rand.Reader, c, c, public, ca)
	if err != nil {
		t.Error(err)
	}
	json.NewEncoder(w).Encode(map[string]any{"signedCertificateEmbeddedSct": map[string]any{"chain": map[string]any{
		"certificates": []string{string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))}}}})
}

// A Fulcio that certifies something else than it was asked for gets no bundle, nor does one that answers otherwise.
func TestHostileFulcio(t *testing.T) {
	now := time.Date(2026, 11, 27, 12, 0, 0, 0, time.UTC)
	other, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	for words, certify := range map[string]func(c *x509.Certificate) any{
		"for another key": func(*x509.Certificate) any { return &other.PublicKey },
		"not for signing code": func(c *x509.Certificate) any {
			c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}
			return nil
		},
		`is for ["thief@list.example"], identity`: func(c *x509.Certificate) any { c.EmailAddresses = []string{"thief@list.example"}; return nil },
		`"*.list.example"]`:                       func(c *x509.Certificate) any { c.DNSNames = []string{"*.list.example"}; return nil },
		`is for ["mailto:thief"]`: func(c *x509.Certificate) any {
			c.EmailAddresses = nil
			c.URIs = []*url.URL{{Scheme: "mailto", Opaque: "thief"}}
			return nil
		},
		"valid from 2026-11-27 12:06:00": func(c *x509.Certificate) any { c.NotBefore = now.Add(6 * time.Minute); return nil },
		"to 2026-11-27 11:59:59":         func(c *x509.Certificate) any { c.NotAfter = now.Add(-time.Second); return nil },
		"names the issuer \"\"":          func(c *x509.Certificate) any { c.ExtraExtensions = nil; return nil },
		`the issuer "https://other.example"`: func(c *x509.Certificate) any {
			c.ExtraExtensions = []pkix.Extension{{Id: oidIssuerOld, Value: []byte("https://other.example")}}
			return nil
		},
	} {
		refused(t, (&liar{now: now, certify: certify}).signer(t), words)
	}
	rooted := (&liar{now: now}).signer(t)
	rooted.Roots = []byte("-----BEGIN NOTHING-----\n")
	refused(t, rooted, "roots in [keyless] holds no certificate")
	for words, fulcio := range map[string]http.HandlerFunc{
		"more than 65536 bytes": func(w http.ResponseWriter, _ *http.Request) {
			for range 1000 {
				if _, err := w.Write(make([]byte, 1<<10)); err != nil {
					return
				}
			}
		},
		`403 Forbidden: "I do not know \x1b[31m<token>`: func(w http.ResponseWriter, r *http.Request) {
			body, _ := io.ReadAll(r.Body)
			text := "I do not know \x1b[31m" + someToken
			if !strings.Contains(string(body), someToken) {
				text = "no token"
			}
			w.WriteHeader(http.StatusForbidden)
			io.WriteString(w, text)
		},
		"302 Found": func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, "http://127.0.0.1:1/", http.StatusFound)
		},
		"0 certificates": func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "{}") },
		"its answer: ":   func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "<html>") },
		"something else": func(w http.ResponseWriter, _ *http.Request) {
			io.WriteString(w, `{"signedCertificateDetachedSct":{"chain":{"certificates":["no PEM"]}}}`)
		},
		"EOF": func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) },
	} {
		refused(t, (&liar{now: now, fulcio: fulcio}).signer(t), words)
	}
}

// One that keeps silent is left when the release has to go on.
func TestSilentFulcio(t *testing.T) {
	quiet := (&liar{fulcio: func(_ http.ResponseWriter, r *http.Request) {
		io.Copy(io.Discard, r.Body) // so that the server notices when the client hangs up
		<-r.Context().Done()
	}}).signer(t)
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if _, err := quiet.Bundle(ctx, []byte("list")); !errors.Is(err, ErrKeyless) || !errors.Is(err, context.DeadlineExceeded) {
		t.Error(err)
	}
}

// stampOf builds a timestamp as far as it is looked at; change makes it wrong.
func stampOf(t *testing.T, request stampRequest, now time.Time, change func(*stampInfo)) []byte {
	t.Helper()
	info := stampInfo{Version: 1, Policy: asn1.ObjectIdentifier{1, 2, 3}, Imprint: request.Imprint, Serial: big.NewInt(1), Time: now, Nonce: request.Nonce}
	change(&info)
	marshal := func(value any, params string) []byte {
		out, err := asn1.MarshalWithParams(value, params)
		if err != nil {
			t.Error(err)
		}
		return out
	}
	octets := marshal(marshal(info, ""), "")
	type content struct {
		Type    asn1.ObjectIdentifier
		Content asn1.RawValue
	}
	wrap := func(der []byte) asn1.RawValue {
		return asn1.RawValue{Class: asn1.ClassContextSpecific, Tag: 0, IsCompound: true, Bytes: der}
	}
	signed := marshal(struct {
		Version    int
		Algorithms asn1.RawValue
		Content    content
	}{3, asn1.RawValue{Tag: asn1.TagSet, IsCompound: true}, content{oidTSTInfo, wrap(octets)}}, "")
	return marshal(struct {
		Status struct{ Status int }
		Token  content
	}{Token: content{oidSignedData, wrap(signed)}}, "")
}

// An authority that stamps something else, or at another time, gets no bundle either.
func TestHostileTimestamps(t *testing.T) {
	now := time.Date(2026, 11, 27, 12, 0, 0, 0, time.UTC)
	honest := func(*stampInfo) {}
	answer := func(change func(*stampInfo)) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) {
			der, _ := io.ReadAll(r.Body)
			var request stampRequest
			if _, err := asn1.Unmarshal(der, &request); err != nil || r.Header.Get("Content-Type") != "application/timestamp-query" {
				t.Errorf("request: %v", err)
			}
			w.Write(stampOf(t, request, now, change))
		}
	}
	if _, err := (&liar{now: now, stamp: answer(honest)}).signer(t).Bundle(t.Context(), []byte("list")); err != nil {
		t.Fatalf("an honest answer: %v", err)
	}
	for words, stamp := range map[string]http.HandlerFunc{
		"stamped something else":      answer(func(i *stampInfo) { i.Imprint.Digest = make([]byte, 32) }),
		"repeated an old answer":      answer(func(i *stampInfo) { i.Nonce = big.NewInt(4) }),
		"2026-11-27 11:58:00":         answer(func(i *stampInfo) { i.Time = now.Add(-2 * time.Minute) }),
		"2026-11-27 12:30:00":         answer(func(i *stampInfo) { i.Time = now.Add(30 * time.Minute) }),
		"no timestamp (RFC 3161)":     func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "hello") },
		"status 2":                    func(w http.ResponseWriter, _ *http.Request) { w.Write([]byte{0x30, 5, 0x30, 3, 2, 1, 2}) },
		"500 Internal Server Error":   func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusInternalServerError) },
		"answer of more than 65536 b": func(w http.ResponseWriter, _ *http.Request) { w.Write(make([]byte, 1<<20)) },
	} {
		refused(t, (&liar{now: now, stamp: stamp}).signer(t), words)
	}
}

func TestURLsForTokens(t *testing.T) {
	for ref, good := range map[string]bool{
		"https://fulcio.sigstore.dev": true, "https://a.example:8443/x": true, "http://127.0.0.1:80": true, "http://[::1]:80/x": true, "http://localhost:1": true,
		"http://fulcio.example": false, "": false, "fulcio.example": false, "https://": false, "https://u:p@a.example": false,
		"ftp://127.0.0.1": false, "http://127.0.0.1.example": false, "http://localhost.example": false, "http://10.0.0.1": false,
	} {
		if err := CheckURL(ref); (err == nil) != good {
			t.Errorf("%s: %v", ref, err)
		}
	}
}

func FuzzParseStamp(f *testing.F) {
	t := &testing.T{}
	f.Add(stampOf(t, stampRequest{Imprint: imprint{sha256Name, make([]byte, 32)}, Nonce: big.NewInt(1)}, time.Unix(1e9, 0).UTC(), func(*stampInfo) {}))
	f.Add([]byte{0x30, 5, 0x30, 3, 2, 1, 2})
	f.Fuzz(func(t *testing.T, der []byte) {
		if info, err := parseStamp(der); err == nil && info.Serial == nil {
			t.Errorf("accepted %x", der)
		}
	})
}

func FuzzParseChain(f *testing.F) {
	f.Add([]byte(`{"signedCertificateDetachedSct":{"chain":{"certificates":["-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"]}}}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		if chain, err := parseChain(data); err == nil && (len(chain) == 0 || len(chain) > maxChain) {
			t.Errorf("accepted %d certificates", len(chain))
		}
	})
}

func FuzzCheckToken(f *testing.F) {
	f.Add(someToken)
	f.Add("a.b.c.d")
	f.Fuzz(func(t *testing.T, text string) {
		if token, err := checkToken(text); err == nil && (token != text || strings.ContainsAny(token, " \r\n\x00")) {
			t.Errorf("accepted %q", text)
		}
	})
}
