package maillog

import (
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
)

// short is an attempt as one word each: domain, host, level, status, reason.
func short(a Attempt) string {
	return strings.TrimSpace(fmt.Sprintf("%s %s %s %s %s", a.Domain, a.Host, a.Level, a.Status, a.Reason))
}

func walk(t *testing.T, log string) (out []string, s Summary) {
	t.Helper()
	err := Walk(strings.NewReader(log), nil, &s, func(a Attempt) error {
		out = append(out, short(a))
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return out, s
}

const story = `Nov 27 08:00:00 mail postfix/smtp[71]: Verified TLS connection established to mx.a.test[192.0.2.1]:25: TLSv1.3 with cipher X (256/256 bits)
Nov 27 08:00:00 mail postfix/smtp[72]: Untrusted TLS connection established to mx.b.test[192.0.2.2]:25: TLSv1.3 with cipher X (256/256 bits)
Nov 27 08:00:00 other postfix/smtp[71]: Anonymous TLS connection established to mx.a.test[192.0.2.1]:25: TLSv1.2 with cipher X (256/256 bits)
Nov 27 08:00:01 mail postfix/qmgr[9]: 4C: from=<s@x.test>, size=1, nrcpt=2 (queue active)
Nov 27 08:00:01 mail postfix/smtp[71]: 4C: to=<u@A.Test>, relay=mx.a.test[192.0.2.1]:25, delay=1, dsn=2.0.0, status=sent (250 Ok)
Nov 27 08:00:01 mail postfix/smtp[71]: 4C: to=<v@a.test>, relay=mx.a.test[192.0.2.1]:25, delay=1, dsn=2.0.0, status=sent (250 Ok)
Nov 27 08:00:01 other postfix/smtp[71]: 4D: to=<v@a.test>, relay=mx.a.test[192.0.2.1]:25, delay=1, dsn=2.0.0, status=sent (250 Ok)
Nov 27 08:00:02 mail postfix/smtp[72]: 5A: to=<u@b.test>, relay=mx.b.test[192.0.2.2]:25, delay=1, dsn=4.7.5, status=deferred (Server certificate not verified)
Nov 27 08:00:03 mail postfix/smtp[71]: 6A: to=<u@c.test>, relay=mx.a.test[192.0.2.1]:25, delay=1, dsn=2.0.0, status=sent (250 Ok)
Nov 27 08:00:04 mail postfix/smtp[71]: Trusted TLS connection reused to mx.a.test[192.0.2.1]:25: TLSv1.3 with cipher X (256/256 bits)
Nov 27 08:00:04 mail postfix/smtp[71]: 6B: to=<u@c.test>, relay=mx2.a.test[192.0.2.9]:25, delay=1, dsn=2.0.0, status=sent (250 Ok)
Nov 27 08:00:05 mail postfix/smtp[71]: 6B: to=<u@c.test>, relay=mx.a.test[192.0.2.1]:25, conn_use=2, delay=1, dsn=2.0.0, status=sent (250 Ok)
Nov 27 08:00:06 mail postfix/smtp[73]: Trusted TLS connection established to mx.d.test[192.0.2.4]:25: TLSv1.3 with cipher X (256/256 bits)
Nov 27 08:00:06 mail postfix/smtp[73]: SSL_connect error to mx.d.test[192.0.2.4]:25: lost connection
Nov 27 08:00:06 mail postfix/smtp[73]: 7A: to=<u@d.test>, relay=mx.d.test[192.0.2.4]:25, delay=1, dsn=2.0.0, status=sent (250 Ok)
Nov 27 08:00:07 mail postfix/smtp[74]: 7B: to=<u@[192.0.2.7]>, relay=192.0.2.7[192.0.2.7]:25, delay=1, dsn=2.0.0, status=sent (250 Ok)
Nov 27 08:00:08 mail postfix/smtp[74]: 7C: to=<u@e.test>, relay=none, delay=1, dsn=5.4.4, status=bounced (Host not found)`

// Each delivery gets the session of its own process and message, and no other.
func TestLinking(t *testing.T) {
	got, s := walk(t, story)
	want := []string{
		"a.test mx.a.test verified sent", "a.test mx.a.test verified sent", // two recipients of one message
		"a.test mx.a.test anonymous sent", // the same number on another machine
		"b.test mx.b.test untrusted deferred certificate not verified",
		"c.test mx.a.test none sent",    // the next message of the process, without a session of its own
		"c.test mx2.a.test none sent",   // another server
		"c.test mx.a.test trusted sent", // kept over
		"d.test mx.d.test none sent",    // after a failed handshake, in clear text
		"none sent", "e.test  none bounced",
	}
	for i := range want {
		if i >= len(got) || strings.TrimSpace(got[i]) != want[i] {
			t.Fatalf("attempt %d of %q: want %q", i, got, want[i])
		}
	}
	if s != (Summary{Lines: 17, Connections: 5, Attempts: 10, First: "Nov 27 08:00:01", Last: "Nov 27 08:00:08"}) || len(got) != 10 {
		t.Errorf("%+v, %d attempts", s, len(got))
	}
}

// Postfix 3.10 says of a message only that no server was left; why, it has said before.
func TestPassedOver(t *testing.T) {
	const (
		passed = "Nov 27 08:00:00 mail postfix/smtp[71]: warning: MX name 'mx.x.test' does not match STS MX pattern for 'A.test'\n"
		waits  = "Nov 27 08:00:00 mail postfix/smtp[71]: 4C: to=<u@a.test>, relay=none, delay=1, dsn=4.3.0, status=deferred (server unavailable or unable to receive mail)\n"
		other  = "Nov 27 08:00:00 mail postfix/smtp[71]: 4D: to=<u@b.test>, relay=none, delay=1, dsn=4.3.0, status=deferred (server unavailable or unable to receive mail)\n"
		sent   = "Nov 27 08:00:00 mail postfix/smtp[71]: 4E: to=<u@a.test>, relay=mx.a.test[192.0.2.1]:25, delay=1, dsn=2.0.0, status=sent (250 Ok)\n"
		open   = "Nov 27 08:00:00 mail postfix/smtp[71]: Verified TLS connection established to mx.a.test[192.0.2.1]:25: TLSv1.3 with cipher X (256/256 bits)\n"
	)
	got, _ := walk(t, waits+passed+waits+other+waits+passed+open+sent+waits+passed+sent)
	for i, want := range []string{"a.test  none deferred", "a.test  none deferred MX host not in the policy", "b.test  none deferred", "a.test  none deferred MX host not in the policy",
		"a.test mx.a.test verified sent", "a.test  none deferred", "a.test mx.a.test none sent"} {
		if i >= len(got) || got[i] != want {
			t.Errorf("attempt %d: %q, want %q", i, got, want)
		}
	}
}

// A rotated file is read as it is, also where it was written in several parts; other compressions are refused, since they
// would look like logs without deliveries. A file that ends too early is an error.
func TestGzip(t *testing.T) {
	var z bytes.Buffer
	for _, part := range []string{story[:300], story[300:]} {
		w := gzip.NewWriter(&z)
		if _, err := io.WriteString(w, part); err != nil || w.Close() != nil {
			t.Fatal(err)
		}
	}
	want, _ := walk(t, story)
	got, s := walk(t, z.String())
	if fmt.Sprint(got) != fmt.Sprint(want) || s.Lines != 17 {
		t.Errorf("%d lines, %q", s.Lines, got)
	}
	none := func(Attempt) error { return nil }
	if err := Walk(bytes.NewReader(z.Bytes()[:z.Len()-9]), nil, nil, none); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("cut short: %v", err)
	}
	if err := Walk(strings.NewReader("\x1f\x8bnonsense"), nil, nil, none); err == nil {
		t.Error("nonsense behind gzip's first bytes is read")
	}
	for _, head := range []string{"\xfd7zXZ\x00x", "\x28\xb5\x2f\xfdx", "BZh91", "LPKSHHRHx"} {
		if err := Walk(strings.NewReader(head), nil, nil, none); !errors.Is(err, ErrFormat) {
			t.Errorf("%q: %v", head, err)
		}
	}
	for _, log := range []string{"", "\n", "x"} {
		if err := Walk(strings.NewReader(log), nil, nil, none); err != nil {
			t.Errorf("%q: %v", log, err)
		}
	}
}

// What each returns ends the walk.
func TestWalkStops(t *testing.T) {
	stop, seen := errors.New("enough"), 0
	err := Walk(strings.NewReader(story), nil, nil, func(Attempt) error {
		seen++
		return stop
	})
	if !errors.Is(err, stop) || seen != 1 {
		t.Errorf("%d attempts, %v", seen, err)
	}
}

// Lines that are too long are passed over, wherever they end, and the next ones read.
func TestLongLines(t *testing.T) {
	for _, n := range []int{maxLine - 1, maxLine, maxLine + 1, 5 * maxLine} {
		long := strings.Repeat("x", n)
		got, s := walk(t, long+"\n"+story)
		tooLong := int64(0)
		if n >= maxLine {
			tooLong = 1
		}
		if len(got) != 10 || s.TooLong != tooLong || s.Lines != 18 {
			t.Errorf("%d bytes: %d attempts, %+v", n, len(got), s)
		}
		if got, s := walk(t, story+"\n"+long); len(got) != 10 || s.Lines != 18 {
			t.Errorf("%d bytes at the end: %d attempts, %+v", n, len(got), s)
		}
	}
}

// endless is a log of n lines, each of another process on another machine that opens a session and never uses it.
type endless struct{ n, at int }

func (e *endless) Read(p []byte) (int, error) {
	if e.at == e.n {
		return 0, io.EOF
	}
	e.at++
	return copy(p, fmt.Sprintf("Nov 27 08:00:00 m%d postfix/smtp[%d]: Trusted TLS connection established to mx%d.test[192.0.2.1]:25: TLSv1.3 x\n", e.at, e.at, e.at)), nil
}

// A log of processes that never come back does not fill the memory, and the youngest are remembered.
func TestMemoryIsBounded(t *testing.T) {
	l, s := new(Linker), new(Summary)
	if err := Walk(&endless{n: 50_000}, l, s, func(Attempt) error { return nil }); err != nil {
		t.Fatal(err)
	}
	if len(l.sessions) != maxProcesses || l.byUse.Len() != maxProcesses || s.Connections != 50_000 {
		t.Errorf("%d and %d processes remembered, of %d", len(l.sessions), l.byUse.Len(), s.Connections)
	}
	for machine, want := range map[int]Level{50_000: Trusted, 50_000 - maxProcesses + 1: Trusted, 50_000 - maxProcesses: None} {
		a, ok := l.Line(fmt.Sprintf("Nov 27 08:00:00 m%d postfix/smtp[%d]: 4C: to=<u@a.test>, relay=mx%d.test[192.0.2.1]:25, delay=1, dsn=2.0.0, status=sent (x)", machine, machine, machine))
		if !ok || a.Level != want {
			t.Errorf("process %d: %s, want %s", machine, a.Level, want)
		}
	}
}

// How fast a log is read, against reading its lines alone.
func BenchmarkWalk(b *testing.B) {
	log := strings.Repeat(story+"\n", 1000)
	b.SetBytes(int64(len(log)))
	for b.Loop() {
		if err := Walk(strings.NewReader(log), nil, nil, func(Attempt) error { return nil }); err != nil {
			b.Fatal(err)
		}
	}
}
