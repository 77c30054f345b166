package probe

import (
	"context"
	"io"
	"net"
	"net/netip"
	"testing"
	"time"

	"github.com/starttls-everywhere/policylist/policy"
	"github.com/starttls-everywhere/policylist/policy/canonical"
)

// FuzzSession lets a server say anything, all at once and without listening: whatever it is, the session ends, and what is
// kept of it is small, printable and judged without a pass.
func FuzzSession(f *testing.F) {
	f.Add([]byte("220 mx\r\n250-mx\r\n250 STARTTLS\r\n220 go on\r\n\x15\x03\x03\x00\x02\x02\x28"))
	f.Add([]byte("220 mx\r\n250-mx\r\n250-starttls\r\n250 x\r\n220 go on\r\n250 injected\r\n"))
	f.Add([]byte("220-\x1b[2J\r\n220 ****\r\n500 what\r\n"))
	f.Add([]byte("220 mx\r\n250-mx\r\n250 STARTTLS\r\n220\r\n\x16\x03\x03\x00\x04\x02\xff\xff\xff"))
	f.Add([]byte("554"))
	v := visitor{ehlo: "probe.operator.example", port: 25, timeout: 10 * time.Second, now: time.Now}
	f.Fuzz(func(t *testing.T, said []byte) {
		client, server := net.Pipe()
		v := v
		v.dial = func(context.Context, string, string) (net.Conn, error) { return client, nil }
		done := make(chan struct{})
		go func() {
			defer close(done)
			go io.Copy(io.Discard, server)
			server.Write(said)
			server.Close()
		}()
		s, _ := v.visit(t.Context(), netip.MustParseAddr("192.0.2.1"), domain("mx.a.example"))
		<-done
		line := appendLine(nil, s)
		if _, err := canonical.Members(line); err != nil || len(line) > keptSession {
			t.Fatalf("%q is kept as %d bytes, %v\n%s", said, len(line), err, line)
		}
		if j := Judge(domain("a.example"), oneHost(s), policy.Policy{}, judgedAt, 0); j.Verdict == Pass || j.Verdict == Warn {
			t.Fatalf("%q: %s %q", said, j.Verdict, j.Codes)
		}
	})
}
