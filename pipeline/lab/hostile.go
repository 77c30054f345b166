package lab

import (
	"encoding/binary"
	"io"
	"net"
	"strings"
	"time"
)

// drip is the pace of a tarpit.
const drip = 20 * time.Millisecond

// swallow reads without answering; it notes a QUIT, which comes in one piece.
func (h *host) swallow(from io.Reader) {
	piece := make([]byte, 512)
	for {
		n, err := from.Read(piece)
		if err != nil {
			return
		}
		quitCounter{h}.Write(piece[:n])
	}
}

// flood writes text until the visitor has enough.
func flood(conn net.Conn, text string) {
	for {
		if _, err := io.WriteString(conn, text); err != nil {
			return
		}
	}
}

// trickle greets with a byte every now and then, for ever.
func (h *host) trickle(conn net.Conn) {
	pace := time.NewTicker(drip)
	defer pace.Stop()
	for text := "220-" + strings.Repeat("wait ", 80) + "\r\n"; ; text = text[1:] + text[:1] {
		if _, err := io.WriteString(conn, text[:1]); err != nil {
			return
		}
		select {
		case <-pace.C:
		case <-h.lab.done:
			return
		}
	}
}

// endlessCertificate answers a client's hello with TLS 1.2 and a certificate message (RFC 5246 section 7.4.2) that
// announces 16 MB and whose bytes never end.
func endlessCertificate(conn net.Conn) {
	record := func(body []byte) []byte { // RFC 5246 section 6.2.1
		return append(binary.BigEndian.AppendUint16([]byte{22, 3, 3}, uint16(len(body))), body...)
	}
	hello := append([]byte{2, 0, 0, 38, 3, 3}, make([]byte, 33)...) // version, random, no session id
	hello = append(hello, 0xc0, 0x2b, 0)                            // TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256, no compression
	conn.Write(record(hello))
	conn.Write(record([]byte{11, 0xff, 0xff, 0xff}))
	flood(conn, string(record(make([]byte, 16<<10))))
}

// reset closes conn so that the visitor sees RST.
func reset(conn net.Conn) {
	if c, ok := conn.(*trackedConn); ok {
		if tcp, ok := c.Conn.(*net.TCPConn); ok {
			tcp.SetLinger(0)
		}
	}
	conn.Close()
}
