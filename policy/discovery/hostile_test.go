package discovery_test

import (
	"encoding/binary"
	"io"
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"
	"github.com/starttls-everywhere/policylist/policy/discovery"
)

// rawResolver cuts every answer over UDP, so that the question comes again over TCP, where speak has the word.
func rawResolver(t *testing.T, speak func(net.Conn, *dns.Msg)) netip.AddrPort {
	t.Helper()
	packets, streams := listen(t, "127.0.0.1:0")
	ended := make(chan struct{}, 2)
	go func() {
		defer func() { ended <- struct{}{} }()
		buf := make([]byte, 4096)
		for {
			n, from, err := packets.ReadFrom(buf)
			if err != nil {
				return
			}
			if query := new(dns.Msg); query.Unpack(buf[:n]) == nil {
				reply := new(dns.Msg).SetReply(query)
				reply.Truncated = true
				out, _ := reply.Pack()
				packets.WriteTo(out, from)
			}
		}
	}()
	go func() {
		defer func() { ended <- struct{}{} }()
		for {
			conn, err := streams.Accept()
			if err != nil {
				return
			}
			if query, err := (&dns.Conn{Conn: conn}).ReadMsg(); err == nil {
				speak(conn, query)
			}
			conn.Close()
		}
	}()
	t.Cleanup(func() {
		packets.Close()
		streams.Close()
		<-ended
		<-ended
	})
	return streams.Addr().(*net.TCPAddr).AddrPort()
}

// TestEndlessTXT: a resolver that never stops talking is heard for one message, of 64 KB at the most.
func TestEndlessTXT(t *testing.T) {
	sent := make(chan int, 1)
	at := rawResolver(t, func(conn net.Conn, query *dns.Msg) {
		reply := new(dns.Msg).SetReply(query)
		rr := &dns.TXT{Hdr: dns.RR_Header{Name: query.Question[0].Name, Rrtype: dns.TypeTXT, Class: dns.ClassINET}}
		for range 254 {
			rr.Txt = append(rr.Txt, strings.Repeat("x", 255))
		}
		reply.Answer = []dns.RR{rr}
		packed, err := reply.Pack()
		if err != nil {
			t.Error(err)
		}
		conn.Write(append(binary.BigEndian.AppendUint16(nil, uint16(len(packed))), packed...))
		n, more := 0, make([]byte, 1<<16)
		for n < 64<<20 {
			w, err := conn.Write(more)
			if n += w; err != nil {
				break
			}
		}
		sent <- n
	})
	c, err := discovery.NewClient(discovery.Options{Resolver: at, Timeout: patience})
	if err != nil {
		t.Fatal(err)
	}
	a := c.LookupTXT(t.Context(), "a.example")
	if a.Status != discovery.NoError || len(a.TXT) != 1 || len(a.TXT[0]) != 254*255 {
		t.Errorf("%s, %d records", a.Status, len(a.TXT))
	}
	if n := <-sent; n > 16<<20 { // what the kernel's buffers hold
		t.Errorf("the resolver got rid of %d bytes", n)
	}
}

// TestBrokenTCP: an answer that does not come whole, or is none, is no answer.
func TestBrokenTCP(t *testing.T) {
	for name, c := range map[string]struct {
		speak func(net.Conn, *dns.Msg)
		want  discovery.Status
	}{
		"half a length": {func(conn net.Conn, _ *dns.Msg) { conn.Write([]byte{1}) }, discovery.Malformed},
		"half an answer": {func(conn net.Conn, q *dns.Msg) {
			packed, _ := new(dns.Msg).SetReply(q).Pack()
			conn.Write(append(binary.BigEndian.AppendUint16(nil, uint16(len(packed)+1)), packed...))
		}, discovery.Malformed},
		"garbage": {func(conn net.Conn, _ *dns.Msg) { conn.Write([]byte("\x00\x05hello")) }, discovery.Malformed},
		"another name": {func(conn net.Conn, q *dns.Msg) {
			q.Question[0].Name = "b.example."
			(&dns.Conn{Conn: conn}).WriteMsg(new(dns.Msg).SetReply(q))
		}, discovery.Malformed},
		"another type": {func(conn net.Conn, q *dns.Msg) {
			q.Question[0].Qtype = dns.TypeMX
			(&dns.Conn{Conn: conn}).WriteMsg(new(dns.Msg).SetReply(q))
		}, discovery.Malformed},
		"the question": {func(conn net.Conn, q *dns.Msg) { (&dns.Conn{Conn: conn}).WriteMsg(q) }, discovery.Malformed},
		"silence": {func(conn net.Conn, _ *dns.Msg) {
			conn.Write([]byte{0})
			io.Copy(io.Discard, conn) // until the client gives up
		}, discovery.Timeout},
	} {
		at := rawResolver(t, c.speak)
		client, err := discovery.NewClient(discovery.Options{Resolver: at, Timeout: patience, Attempts: 1})
		if c.want == discovery.Timeout {
			client, err = discovery.NewClient(discovery.Options{Resolver: at, Timeout: 100 * time.Millisecond, Attempts: 1})
		}
		if err != nil {
			t.Fatal(err)
		}
		if a := client.LookupTXT(t.Context(), "a.example"); a.Status != c.want || a.TXT != nil || a.Failures != 1 {
			t.Errorf("%s: %+v, want %s", name, a, c.want)
		}
	}
}
