package lab_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"os"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/emersion/go-smtp"

	"github.com/starttls-everywhere/policylist/pipeline/lab"
	"github.com/starttls-everywhere/policylist/policy/discovery"
)

func start(t *testing.T) *lab.Lab {
	t.Helper()
	l, err := lab.Start(t.Context(), lab.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(l.Close)
	return l
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func clientTLS(l *lab.Lab, name string) *tls.Config {
	return &tls.Config{ServerName: name, RootCAs: l.Roots()}
}

// TestMailArrives: somebody else's client, trusting the lab's root only, delivers to a good host and not to a bad one.
func TestMailArrives(t *testing.T) {
	l := start(t)
	must(t, l.AddHost(lab.Host{Name: "mx.a.example"}))
	addrs, err := l.Addresses("mx.a.example")
	must(t, err)
	deliver := func() error {
		conn, err := net.Dial("tcp", addrs[0].String())
		if err != nil {
			return err
		}
		c, err := smtp.NewClientStartTLS(conn, clientTLS(l, "mx.a.example"))
		if err != nil {
			return err
		}
		defer c.Close()
		return c.SendMail("sender@b.example", []string{"someone@a.example"}, strings.NewReader("Subject: hello\r\n\r\nhello\r\n"))
	}
	must(t, deliver())
	mail, err := l.Mail("mx.a.example")
	must(t, err)
	if len(mail) != 1 || mail[0].From != "sender@b.example" || !mail[0].TLS || !strings.Contains(string(mail[0].Data), "hello") {
		t.Errorf("mailbox %+v", mail)
	}
	for _, b := range []lab.Behaviour{lab.Expired, lab.WrongName, lab.SelfSigned, lab.UnknownCA, lab.ChainIncomplete, lab.TLS11Only, lab.Refusing} {
		must(t, l.SetBehaviour("mx.a.example", b))
		if deliver() == nil {
			t.Errorf("%s: a validating client delivered", b)
		}
	}
	for _, b := range []lab.Behaviour{lab.Good, lab.RSA, lab.Ed25519, lab.TLS13Only, lab.ExtraChain} {
		must(t, l.SetBehaviour("mx.a.example", b))
		if err := deliver(); err != nil {
			t.Errorf("%s: %v", b, err)
		}
	}
}

// TestExample: the example list's domains resolve to servers that listen.
func TestExample(t *testing.T) {
	l := start(t)
	must(t, l.AddExample())
	c, err := discovery.NewClient(discovery.Options{Resolver: l.Resolver()})
	must(t, err)
	hosts := 0
	for _, name := range []string{"good.example", "suffix.example", "one.example", "two.example", "trial.example"} {
		for _, mx := range c.LookupMX(t.Context(), name).MX {
			a := c.LookupA(t.Context(), mx.Host)
			if len(a.Addrs) != 1 {
				t.Fatalf("%s has addresses %v", mx.Host, a.Addrs)
			}
			conn, err := net.Dial("tcp", netip.AddrPortFrom(a.Addrs[0], uint16(l.SMTPPort())).String())
			must(t, err)
			conn.Close()
			hosts++
		}
	}
	if hosts != 8 {
		t.Errorf("%d MX records", hosts)
	}
}

// TestPolicyHost: an MTA-STS policy is served under its host's own certificate, and misbehaves on demand.
func TestPolicyHost(t *testing.T) {
	l := start(t)
	must(t, l.AddDomain(lab.Domain{Name: "a.example", STS: lab.STSPolicy("enforce", 604800, "*.a.example")}))
	c, err := discovery.NewClient(discovery.Options{Resolver: l.Resolver()})
	must(t, err)
	txt := c.LookupTXT(t.Context(), "_mta-sts.a.example").TXT
	if len(txt) != 1 || !strings.HasPrefix(txt[0], "v=STSv1; id=") {
		t.Errorf("TXT %q", txt)
	}
	addr := c.LookupA(t.Context(), "mta-sts.a.example").Addrs[0]
	transport := &http.Transport{
		TLSClientConfig:   &tls.Config{RootCAs: l.Roots()},
		DisableKeepAlives: true,
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return (&net.Dialer{}).DialContext(ctx, "tcp", netip.AddrPortFrom(addr, uint16(l.HTTPSPort())).String())
		},
	}
	client := &http.Client{Transport: transport, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	get := func() string {
		r, err := client.Get("https://mta-sts.a.example/.well-known/mta-sts.txt")
		if name := (*tls.CertificateVerificationError)(nil); errors.As(err, &name) || errors.As(err, new(x509.HostnameError)) {
			return "certificate"
		}
		must(t, err)
		defer r.Body.Close()
		body, err := io.ReadAll(r.Body)
		must(t, err)
		return fmt.Sprintf("%d %s %s", r.StatusCode, r.Header.Get("Content-Type"), strings.SplitN(string(body), "\r\n", 2)[0])
	}
	for fault, want := range map[lab.WebFault]string{
		"": "200 text/plain; charset=utf-8 version: STSv1", lab.WebHTML: "200 text/html version: STSv1",
		lab.WebRedirect: "301 text/html", lab.WebNotFound: "404 text/plain", lab.WebCert: "certificate",
	} {
		l.SetWebFault("mta-sts.a.example", fault)
		if got := get(); !strings.HasPrefix(got, want) {
			t.Errorf("fault %q: %q, want %q", fault, got, want)
		}
	}
}

// TestLabsLiveTogether: several labs at once keep apart, start quickly, and leave nothing behind.
func TestLabsLiveTogether(t *testing.T) {
	before := runtime.NumGoroutine()
	seen := make(map[netip.AddrPort]bool)
	var labs []*lab.Lab
	for range 5 {
		l, err := lab.Start(t.Context(), lab.Options{})
		must(t, err)
		must(t, l.AddExample())
		if seen[l.Resolver()] {
			t.Errorf("two labs resolve at %s", l.Resolver())
		}
		seen[l.Resolver()] = true
		labs = append(labs, l)
	}
	if err := labs[0].AddHost(lab.Host{Name: "mx.good.example"}); err == nil {
		t.Error("a host stands twice")
	}
	if err := labs[0].SetBehaviour("nobody.example", lab.Good); !errors.Is(err, lab.ErrUnknown) {
		t.Errorf("an unknown host: %v", err)
	}
	addrs, err := labs[0].Addresses("mx.good.example")
	must(t, err)
	open, err := net.Dial("tcp", addrs[0].String()) // a visitor who does not leave
	must(t, err)
	defer open.Close()
	for _, l := range labs {
		l.Close()
		l.Close() // twice is fine
	}
	if conn, err := net.Dial("tcp", addrs[0].String()); err == nil {
		conn.Close()
		t.Error("a closed lab still listens")
	}
	for deadline := time.Now().Add(10 * time.Second); runtime.NumGoroutine() > before; runtime.Gosched() {
		if time.Now().After(deadline) {
			stacks := make([]byte, 1<<20)
			t.Fatalf("%d goroutines before, %d after\n%s", before, runtime.NumGoroutine(), stacks[:runtime.Stack(stacks, true)])
		}
	}
}

// TestCancelledContextClosesTheLab: whoever holds the context holds the lab.
func TestCancelledContextClosesTheLab(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	l, err := lab.Start(ctx, lab.Options{})
	must(t, err)
	must(t, l.AddHost(lab.Host{Name: "mx.a.example", Behaviour: lab.Hanging}))
	addrs, err := l.Addresses("mx.a.example")
	must(t, err)
	conn, err := net.Dial("tcp", addrs[0].String())
	must(t, err)
	defer conn.Close()
	cancel()
	conn.SetReadDeadline(time.Now().Add(30 * time.Second))
	if _, err := conn.Read(make([]byte, 1)); err == nil || errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("the connection is still open: %v", err)
	}
	l.Close()
}

func BenchmarkStart(b *testing.B) {
	for b.Loop() {
		l, err := lab.Start(b.Context(), lab.Options{})
		if err != nil {
			b.Fatal(err)
		}
		if err := l.AddExample(); err != nil {
			b.Fatal(err)
		}
		l.Close()
	}
}
