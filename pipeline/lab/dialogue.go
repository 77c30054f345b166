package lab

import (
	"bufio"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"os"
	"strings"
	"time"
)

// earlyTalk is how long EarlyTrap listens before it says anything. A client that does not wait for its turn has spoken by
// then: it needs no round trip.
const earlyTalk = 20 * time.Millisecond

// scripted reports whether the behaviour shows in the dialogue itself; the others differ in their TLS only and are
// served by go-smtp.
func scripted(b Behaviour) bool {
	switch b {
	case OddSpelling, EarlyTrap, NoStartTLS, NoEHLO, Stripped, Blanked, Starred, StartTLS454, StartTLS502, StartTLS554,
		StartTLSHangs, Injection, NotTLS, HandshakeHangs, HandshakeDrops, EndlessCert, Greeting421, Greeting554, EHLO451,
		EHLO550, Garbage, Escapes, Endless, EndlessLine, Tarpit, Hanging, Dropping, Resetting:
		return true
	}
	return false
}

// talk plays the server's part of one session; the caller closes conn.
func (h *host) talk(conn net.Conn, b Behaviour) {
	switch b {
	case Hanging:
		h.swallow(conn)
		return
	case Dropping:
		return
	case Resetting:
		reset(conn)
		return
	case Endless:
		flood(conn, "220-"+strings.Repeat("x", 500)+"\r\n")
		return
	case EndlessLine:
		flood(conn, strings.Repeat("220 ", 4<<10))
		return
	case Tarpit:
		h.trickle(conn)
		return
	}
	if b == EarlyTrap && talksFirst(conn) {
		io.WriteString(conn, "554 you speak before you are spoken to\r\n")
		return
	}
	s := &script{host: h, behaviour: b, conn: conn, in: bufio.NewReader(conn)}
	if !s.say(s.greeting()) {
		return
	}
	for s.step() {
	}
}

// talksFirst reports whether the client sends anything before the greeting.
func talksFirst(conn net.Conn) bool {
	conn.SetReadDeadline(time.Now().Add(earlyTalk))
	defer conn.SetReadDeadline(time.Time{})
	_, err := conn.Read(make([]byte, 1))
	return !errors.Is(err, os.ErrDeadlineExceeded)
}

// script is a session that is wrong in one place.
type script struct {
	host      *host
	behaviour Behaviour
	conn      net.Conn
	in        *bufio.Reader
	encrypted bool
	msg       Message
}

// say sends text as it is and reports whether the session goes on.
func (s *script) say(text string) bool {
	_, err := io.WriteString(s.conn, text)
	return err == nil
}

func (s *script) greeting() string {
	switch s.behaviour {
	case Greeting421:
		return "421 4.7.0 try later\r\n"
	case Greeting554:
		return "554 5.7.1 no mail from you\r\n"
	case Garbage:
		return "\x1b[2J<html>\r\n"
	case Starred:
		return "220 ****************************0*2******\r\n"
	case Escapes:
		return "220 mx \x1b]0;owned\x07\x1b[2J\u202e<script>\r\n"
	case OddSpelling:
		return "220-mx MX Mail\n220\n"
	}
	return "220 " + s.host.Name + " ESMTP\r\n"
}

// step reads one command and answers it; false ends the session.
func (s *script) step() bool {
	line, err := s.in.ReadString('\n')
	if err != nil || len(line) > 4096 {
		return false
	}
	if s.behaviour == EarlyTrap && !s.encrypted && (s.in.Buffered() > 0 || talksFirst(s.conn)) {
		s.say("554 you do not wait for the answer\r\n")
		return false
	}
	verb, _, _ := strings.Cut(strings.ToUpper(strings.TrimSpace(line)), " ")
	switch verb {
	case "EHLO":
		return s.say(s.ehlo())
	case "HELO":
		return s.say("250 " + s.host.Name + "\r\n")
	case "STARTTLS":
		return s.startTLS()
	case "QUIT":
		s.host.quit()
		s.say("221 2.0.0 bye\r\n")
		return false
	case "MAIL", "RCPT":
		return s.envelope(verb, line)
	case "DATA":
		return s.data()
	}
	return s.say("502 5.5.1 not here\r\n")
}

func (s *script) ehlo() string {
	first := "250-" + s.host.Name + "\r\n"
	switch s.behaviour {
	case NoEHLO:
		return "502 5.5.1 what is that\r\n"
	case Starred:
		return "500 5.5.1 command unrecognized: XXXX\r\n"
	case Blanked:
		return first + "250-8BITMIME\r\n250-        \r\n250 SIZE\r\n"
	case Escapes:
		return first + "250-\x1b[31mred\x9b2J\r\n250 \x00\xff\r\n"
	case EHLO451:
		return "451 4.7.1 greylisted\r\n"
	case EHLO550:
		return "550 5.7.1 your name is not liked\r\n"
	case NoStartTLS:
		return first + "250 8BITMIME\r\n"
	case Stripped:
		return first + "250-8BITMIME\r\n250 XXXXXXXA\r\n"
	case OddSpelling:
		return "250-" + s.host.Name + " at your service\n250-\tstarttls  \n250 SIZE\n"
	}
	if s.encrypted {
		return first + "250 8BITMIME\r\n"
	}
	return first + "250-8BITMIME\r\n250 STARTTLS\r\n"
}

func (s *script) startTLS() bool {
	const ready = "220 2.0.0 ready\r\n"
	switch s.behaviour {
	case StartTLS454:
		return s.say("454 4.7.0 TLS not available due to temporary reason\r\n")
	case StartTLS554:
		return s.say("554 5.7.3 TLS is disabled by policy\r\n")
	case StartTLSHangs:
		s.host.swallow(s.in)
		return false
	case EndlessCert:
		s.say(ready)
		io.ReadFull(s.in, make([]byte, 1)) // the client's hello
		endlessCertificate(s.conn)
		return false
	case Injection:
		return s.say(ready + "250 2.0.0 injected\r\n")
	case NotTLS:
		s.say(ready)
		io.ReadFull(s.in, make([]byte, 1)) // the client's hello is on its way: this cannot share a segment with the 220
		return s.say("250 2.0.0 still in clear\r\n")
	case HandshakeHangs:
		s.say(ready)
		io.Copy(io.Discard, s.conn)
		return false
	case HandshakeDrops:
		s.say(ready)
		return false
	case OddSpelling, EarlyTrap:
		return s.say(ready) && s.encrypt()
	}
	return s.say("502 5.5.1 not implemented\r\n")
}

func (s *script) encrypt() bool {
	cfg, err := s.host.tlsConfig(s.behaviour, "")
	if err != nil {
		return false
	}
	secure := tls.Server(s.conn, cfg)
	if secure.Handshake() != nil {
		return false
	}
	s.conn, s.in, s.encrypted = secure, bufio.NewReader(secure), true
	return true
}
