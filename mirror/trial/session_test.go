package trial

import (
	"bufio"
	"context"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/starttls-everywhere/policylist/pipeline/lab"
	"github.com/starttls-everywhere/policylist/policy"
)

func startLab(t *testing.T) *lab.Lab {
	t.Helper()
	l, err := lab.Start(t.Context(), lab.Options{})
	must(t, err)
	t.Cleanup(l.Close)
	return l
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func domain(t testing.TB, s string) policy.Domain {
	t.Helper()
	d, err := policy.ParseDomain(s)
	must(t, err)
	return d
}

// TestSessions: every way in which a server can be is told apart, and none of them hears of mail.
func TestSessions(t *testing.T) {
	l := startLab(t)
	c := caller{roots: l.Roots(), ehlo: "mail.us.example", now: time.Now}
	for behaviour, want := range map[lab.Behaviour]Code{
		lab.Good: CodeGood, lab.TLS12Only: CodeGood, lab.TLS13Only: CodeGood, lab.Wildcard: CodeGood, lab.NeedsSNI: CodeGood, lab.OddSpelling: CodeGood,
		lab.NoStartTLS: CodeClear, lab.NoEHLO: CodeClear, lab.Stripped: CodeClear, lab.StartTLS454: CodeClear, lab.StartTLS554: CodeClear, lab.Escapes: CodeClear,
		lab.Injection: CodeHandshake, lab.NotTLS: CodeHandshake, lab.HandshakeFails: CodeHandshake, lab.HandshakeDrops: CodeHandshake, lab.TLS11Only: CodeHandshake,
		lab.Expired: CodeCertificate, lab.NotYetValid: CodeCertificate, lab.WrongName: CodeCertificate, lab.NoSAN: CodeCertificate, lab.SelfSigned: CodeCertificate,
		lab.UnknownCA: CodeCertificate, lab.ChainIncomplete: CodeCertificate, lab.EscapeName: CodeCertificate,
		lab.Greeting421: CodeUnknown, lab.Greeting554: CodeUnknown, lab.EHLO451: CodeUnknown, lab.EHLO550: CodeUnknown, lab.Garbage: CodeUnknown, lab.Endless: CodeUnknown,
		lab.EndlessLine: CodeUnknown, lab.Refusing: CodeUnknown, lab.Dropping: CodeUnknown, lab.Resetting: CodeUnknown,
	} {
		name := "mx" + string(behaviour) + ".a.example"
		must(t, l.AddHost(lab.Host{Name: name, Behaviour: behaviour}))
		addrs, err := l.Addresses(name)
		must(t, err)
		code, detail := c.call(t.Context(), addrs[0], domain(t, name))
		if code != want || (code == CodeGood) != (detail == "") {
			t.Errorf("%q: %q %s, want %q", behaviour, code, detail, want)
		}
		if behaviour == lab.Injection && detail != "text in clear behind the reply to STARTTLS" {
			t.Errorf("%q: %s", behaviour, detail)
		}
		if strings.ContainsFunc(detail, func(r rune) bool { return r < ' ' || r > '~' }) || len(detail) > maxDetail {
			t.Errorf("%q: the detail is not harmless: %q", behaviour, detail)
		}
		if heard, err := l.Heard(name); err != nil || len(heard) > 0 {
			t.Errorf("%q heard of mail: %+v, %v", behaviour, heard, err)
		}
		if stats, err := l.Stats(name); err != nil || code == CodeGood && stats.Quits != 1 {
			t.Errorf("%q: we left without QUIT: %+v, %v", behaviour, stats, err)
		}
	}
}

// TestSessionEnds: a server that says nothing, or a letter now and then, keeps nobody beyond the session's time, nor when
// we stop.
func TestSessionEnds(t *testing.T) {
	l := startLab(t)
	c := caller{roots: l.Roots(), ehlo: "mail.us.example", now: time.Now}
	for _, behaviour := range []lab.Behaviour{lab.Hanging, lab.Tarpit, lab.HandshakeHangs, lab.StartTLSHangs} {
		name := "mx" + string(behaviour) + ".a.example"
		must(t, l.AddHost(lab.Host{Name: name, Behaviour: behaviour}))
		addrs, err := l.Addresses(name)
		must(t, err)
		ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
		code, detail := c.call(ctx, addrs[0], domain(t, name))
		cancel()
		if code != CodeUnknown || detail == "" {
			t.Errorf("%q: %q %s", behaviour, code, detail)
		}
	}
	if code, _ := c.call(t.Context(), netip.MustParseAddrPort("127.0.0.1:1"), domain(t, "mx.a.example")); code != CodeUnknown {
		t.Errorf("nobody there: %q", code)
	}
}

// A server's reply never makes the reader panic, and what it takes has a code.
func FuzzReply(f *testing.F) {
	for _, s := range []string{"220 mx ESMTP\r\n", "250-a\n250-\tstarttls \n250\n", "22\n", "220+x\n", "-20 x\n", "250-", "\n"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		code, text, err := readReply(bufio.NewReader(strings.NewReader(s)))
		if err == nil && (code < 200 || code > 599 || !strings.HasSuffix(text, "\n")) {
			t.Errorf("%q: %d %q", s, code, text)
		}
		offers(text)
		if c := clean(said(code, text)); len(c) > maxDetail || strings.ContainsAny(c, "\r\n\x1b") {
			t.Errorf("%q", c)
		}
	})
}
