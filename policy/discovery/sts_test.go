package discovery_test

import (
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/starttls-everywhere/policylist/policy"
	"github.com/starttls-everywhere/policylist/policy/discovery"
	"github.com/starttls-everywhere/policylist/policy/mtasts"
)

const goodPolicy = "version: STSv1\nmode: enforce\nmx: *.a.example\nmax_age: 604800\n"

// TestSTS goes through the ways in which the search for a policy ends.
func TestSTS(t *testing.T) {
	ca := newAuthority(t)
	other := newAuthority(t)
	serve := func(kind, body string) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) {
			if kind != "" {
				w.Header().Set("Content-Type", kind)
			} else {
				w.Header()["Content-Type"] = nil
			}
			io.WriteString(w, body)
		}
	}
	status := func(code int, header ...string) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) {
			for i := 0; i < len(header); i += 2 {
				w.Header().Set(header[i], header[i+1])
			}
			w.WriteHeader(code)
			if code == http.StatusOK {
				io.WriteString(w, goodPolicy)
			}
		}
	}
	named := func(ca *authority, name string, change func(*x509.Certificate)) tls.Certificate {
		return ca.leaf(t, name, change)
	}
	const record, address = `_mta-sts.a.example. TXT "v=STSv1; id=1;"`, "mta-sts.a.example. A 127.0.0.1"
	for _, c := range []struct {
		name    string
		zone    string          // records separated by ";;"; none means record and address
		handler http.Handler    // nil means the good policy as text/plain
		cert    tls.Certificate // none means a good one
		change  func(*web, *zone, *discovery.Fetcher)
		want    discovery.STSStatus
		detail  string // part of it
	}{
		{name: "good", want: "ok"},
		{name: "HTTP/1.1", change: func(w *web, _ *zone, _ *discovery.Fetcher) { w.protocols = []string{"http/1.1"} }, want: "ok"},
		{name: "no ALPN", change: func(w *web, _ *zone, _ *discovery.Fetcher) { w.protocols = nil }, want: "ok"},

		{name: "no record", zone: address, want: "none"},
		{name: "other people's records", zone: address + `;;_mta-sts.a.example. TXT "v=spf1 -all"`, want: "none"},
		{name: "two records (3)", zone: address + ";;" + record + `;;_mta-sts.a.example. TXT "v=STSv1; id=2;"`, want: "record-many"},
		{name: "broken record", zone: address + `;;_mta-sts.a.example. TXT "v=STSv1; id=;"`, want: "record-invalid", detail: "id="},
		{name: "record in pieces (5)", zone: address + `;;_mta-sts.a.example. TXT "v=STSv1; id=20" "26;"`, want: "ok"},
		{name: "record by CNAME (12)", zone: address + `;;_mta-sts.a.example. CNAME _mta-sts.p.example.;;_mta-sts.p.example. TXT "v=STSv1; id=1"`, want: "ok"},
		{name: "record lookup fails", change: func(_ *web, z *zone, _ *discovery.Fetcher) { z.rcode["_mta-sts.a.example."] = "SERVFAIL" }, want: "record-failed", detail: "servfail"},

		{name: "no policy host", zone: record, want: "fetch-no-host"},
		{name: "policy host without address", zone: record + ";;mta-sts.a.example. TXT x", want: "fetch-no-host"},
		{name: "address lookup fails", zone: record, change: func(_ *web, z *zone, _ *discovery.Fetcher) { z.rcode["mta-sts.a.example./AAAA"] = "SERVFAIL" }, want: "fetch-dns", detail: "AAAA lookup: servfail"},
		{name: "one address lookup fails", change: func(_ *web, z *zone, _ *discovery.Fetcher) { z.rcode["mta-sts.a.example./AAAA"] = "SERVFAIL" }, want: "ok"},
		{name: "policy host by CNAME", zone: record + ";;mta-sts.a.example. CNAME web.p.example.;;web.p.example. A 127.0.0.1", want: "ok"},
		{name: "policy host by CNAME with the provider's certificate (12)",
			zone: record + ";;mta-sts.a.example. CNAME web.p.example.;;web.p.example. A 127.0.0.1",
			cert: named(ca, "web.p.example", nil), want: "fetch-certificate", detail: "web.p.example"},
		{name: "private address", zone: record + ";;mta-sts.a.example. A 10.0.0.1", want: "fetch-forbidden"},
		{name: "private address inside an IPv6 one", zone: record + ";;mta-sts.a.example. AAAA ::ffff:10.0.0.1", want: "fetch-forbidden"},
		{name: "a private address beside a good one", zone: record + ";;mta-sts.a.example. A 10.0.0.1;;" + address, want: "ok"},
		{name: "nobody says what is allowed", change: func(_ *web, _ *zone, f *discovery.Fetcher) { f.Allow = nil }, want: "fetch-forbidden"},
		{name: "IPv6 only (11)", zone: record + ";;mta-sts.a.example. AAAA ::1", change: func(w *web, _ *zone, _ *discovery.Fetcher) { w.six = true }, want: "ok"},
		{name: "the first address refuses", zone: record + ";;mta-sts.a.example. AAAA ::1;;" + address, change: func(w *web, _ *zone, _ *discovery.Fetcher) { w.six = true }, want: "ok"},
		{name: "nobody listens", change: func(w *web, _ *zone, _ *discovery.Fetcher) { w.closed = true }, want: "fetch-connect", detail: "refused"},

		{name: "wrong name", cert: named(ca, "www.a.example", nil), want: "fetch-certificate", detail: "www.a.example"},
		{name: "wildcard (13)", cert: named(ca, "*.a.example", nil), want: "ok"},
		{name: "wildcard over two labels (13)", cert: named(ca, "*.example", nil), want: "fetch-certificate"},
		{name: "name in the subject only", cert: named(ca, "mta-sts.a.example", func(c *x509.Certificate) { c.DNSNames = nil }), want: "fetch-certificate"},
		{name: "expired", cert: named(ca, "mta-sts.a.example", func(c *x509.Certificate) { c.NotAfter = testTime.Add(-time.Second) }), want: "fetch-certificate", detail: "expired"},
		{name: "not yet valid", cert: named(ca, "mta-sts.a.example", func(c *x509.Certificate) { c.NotBefore = testTime.Add(time.Second) }), want: "fetch-certificate"},
		{name: "unknown issuer", cert: named(other, "mta-sts.a.example", nil), want: "fetch-certificate"},
		{name: "escape sequence in a name", cert: named(ca, "\x1b[2Jx.example", nil), want: "fetch-certificate", detail: "?[2Jx.example"},
		{name: "many names", cert: named(ca, "www.a.example", func(c *x509.Certificate) {
			for i := range 90 {
				c.DNSNames = append(c.DNSNames, fmt.Sprintf("www%d.a.example", i))
			}
		}), want: "fetch-certificate"},
		{name: "old TLS", change: func(w *web, _ *zone, _ *discovery.Fetcher) { w.version = tls.VersionTLS11 }, want: "fetch-tls"},
		{name: "no TLS", change: func(w *web, _ *zone, _ *discovery.Fetcher) { w.clear = true }, want: "fetch-tls"},

		{name: "redirect (10)", handler: http.RedirectHandler("https://www.a.example/.well-known/mta-sts.txt", http.StatusMovedPermanently), want: "fetch-redirect", detail: "301"},
		{name: "temporary redirect", handler: http.RedirectHandler("/elsewhere", http.StatusFound), want: "fetch-redirect", detail: "302"},
		{name: "not modified", handler: status(304), want: "fetch-redirect", detail: "304"},
		{name: "not found", handler: status(404), want: "fetch-status", detail: "404"},
		{name: "server error", handler: status(500), want: "fetch-status", detail: "500"},
		{name: "no content", handler: status(204), want: "fetch-status", detail: "204"},
		{name: "gzip", handler: status(200, "Content-Encoding", "gzip", "Content-Type", "text/plain"), want: "fetch-encoding", detail: "gzip"},
		{name: "no encoding, named", handler: status(200, "Content-Encoding", "identity", "Content-Type", "text/plain"), want: "ok"},

		{name: "media type with a parameter (9)", handler: serve("text/plain; charset=utf-8", goodPolicy), want: "ok"},
		{name: "media type in capitals (9)", handler: serve("Text/Plain", goodPolicy), want: "ok"},
		{name: "no media type (9)", handler: serve("", goodPolicy), want: "ok"},
		{name: "text/html (9)", handler: serve("text/html", goodPolicy), want: "fetch-media", detail: "text/html"},
		{name: "a page", handler: serve("text/html", "<html>"), want: "policy-invalid"},
		{name: "no mx (6)", handler: serve("text/plain", strings.Replace(goodPolicy, "mx:", "nmx:", 1)), want: "policy-no-mx"},
		{name: "empty", handler: serve("text/plain", ""), want: "policy-invalid"},
		{name: "64 KB", handler: serve("text/plain", goodPolicy+strings.Repeat("x: y\n", (64<<10-len(goodPolicy))/5)), want: "ok"},
		{name: "more than 64 KB", handler: serve("text/plain", goodPolicy+strings.Repeat("x: y\n", 64<<10/5)), want: "fetch-size"},
	} {
		t.Run(c.name, func(t *testing.T) {
			records := c.zone
			if records == "" {
				records = record + ";;" + address
			}
			z := serveZone(t, lines(strings.ReplaceAll(strings.ReplaceAll(records, ";", `\;`), `\;\;`, ";"))...)
			w := &web{protocols: []string{"h2", "http/1.1"}, handler: c.handler, certificate: c.cert}
			if w.handler == nil {
				w.handler = serve("text/plain", goodPolicy)
			}
			if w.certificate.Leaf == nil {
				w.certificate = ca.leaf(t, "mta-sts.a.example", nil)
			}
			f := &discovery.Fetcher{Roots: ca.roots, Now: func() time.Time { return testTime }, Allow: netip.Addr.IsLoopback}
			if c.change != nil {
				z.change(func() { c.change(w, z, f) })
			}
			f.Port = w.start(t)
			s := discovery.FindSTS(t.Context(), client(t, z, nil), f, domainA(t))
			if s.Status != c.want || !strings.Contains(s.Detail, c.detail) || (s.Status == discovery.STSOK) == (s.Detail != "") && s.Status != discovery.STSNone {
				t.Errorf("%s, %q; want %s, %q", s.Status, s.Detail, c.want, c.detail)
			}
			checkSTS(t, s, w)
		})
	}
}

// checkSTS checks what holds between the parts of any STS.
func checkSTS(t *testing.T, s discovery.STS, w *web) {
	t.Helper()
	if strings.ContainsFunc(s.Detail, func(r rune) bool { return r < ' ' || r > '~' }) || len(s.Detail) > 300 {
		t.Errorf("detail %q", s.Detail)
	}
	if n := w.requests.Load(); (s.HTTPStatus != 0) != (n > 0) || n > 1 {
		t.Errorf("HTTP status %d after %d requests", s.HTTPStatus, n)
	}
	if (s.ID == "") != (s.Status == discovery.STSNone || strings.HasPrefix(string(s.Status), "record-")) {
		t.Errorf("%s with id %q", s.Status, s.ID)
	}
	sum := sha256.Sum256(s.Body)
	if s.SHA256 != "" && s.SHA256 != hex.EncodeToString(sum[:]) || (s.SHA256 == "") != (s.Body == nil) {
		t.Errorf("body of %d bytes, digest %q", len(s.Body), s.SHA256)
	}
	valid := s.Status == discovery.STSOK || s.Status == discovery.STSFetchMedia
	if valid && (s.Policy.Mode != mtasts.Enforce || s.Policy.MXs[0].String() != ".a.example") || !valid && s.Policy.Mode != "" {
		t.Errorf("%s with policy %+v", s.Status, s.Policy)
	}
	if valid && s.Server.Port() == 0 || valid && s.NotAfter.IsZero() {
		t.Errorf("server %v, certificate until %v", s.Server, s.NotAfter)
	}
}

func domainA(t *testing.T) policy.Domain {
	t.Helper()
	d, err := policy.ParseDomain("a.example")
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// web is a policy host on loopback.
type web struct {
	handler     http.Handler
	certificate tls.Certificate
	protocols   []string // offered by ALPN
	version     uint16   // the newest TLS version; 0 means all
	six         bool     // listens on ::1 instead of 127.0.0.1
	clear       bool     // speaks no TLS
	closed      bool     // does not listen any more

	requests atomic.Int64
	major    atomic.Int64 // HTTP version of the last request
	header   atomic.Value // of the last request
}

// start returns the port.
func (w *web) start(t *testing.T) int {
	t.Helper()
	address := "127.0.0.1:0"
	if w.six {
		address = "[::1]:0"
	}
	ln, err := net.Listen("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	port := ln.Addr().(*net.TCPAddr).Port
	if w.closed {
		ln.Close()
		return port
	}
	config := &tls.Config{
		Certificates: []tls.Certificate{w.certificate}, NextProtos: w.protocols,
		MinVersion: tls.VersionTLS10, MaxVersion: w.version,
	}
	server := &http.Server{
		Handler:   http.HandlerFunc(w.serve),
		TLSConfig: config, ErrorLog: quiet(),
	}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		if w.clear {
			server.Serve(ln)
		} else {
			server.ServeTLS(ln, "", "")
		}
	}()
	t.Cleanup(func() {
		server.Close()
		<-ended
	})
	return port
}

func (w *web) serve(out http.ResponseWriter, r *http.Request) {
	w.requests.Add(1)
	w.major.Store(int64(r.ProtoMajor))
	w.header.Store(r.Header.Clone())
	if r.URL.Path != "/.well-known/mta-sts.txt" || r.TLS.ServerName != "mta-sts.a.example" || !strings.HasPrefix(r.Host, "mta-sts.a.example") {
		http.Error(out, fmt.Sprintf("%s at %s for %s", r.URL, r.Host, r.TLS.ServerName), http.StatusTeapot)
		return
	}
	w.handler.ServeHTTP(out, r)
}
