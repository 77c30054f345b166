package trial

import (
	"bufio"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"strconv"
	"strings"
	"time"

	"github.com/starttls-everywhere/policylist/policy"
)

const (
	// sessionTime bounds a whole session, so that a server cannot keep us by sending a byte now and then.
	sessionTime = time.Minute
	// quitTime is how long we stay for the answer to QUIT.
	quitTime = 5 * time.Second
	// maxReplies caps what is read of a server's replies, in bytes: EHLO takes some hundred.
	maxReplies = 64 << 10
	// maxDetail caps a detail, in bytes.
	maxDetail = 200
)

// caller is who we are when we talk to mail servers. The pipeline's probe has a dialogue that sees more; here it must not be
// linked, and there is nothing to see but whether mail would go.
type caller struct {
	roots *x509.CertPool // nil: this machine's
	ehlo  string
	now   func() time.Time
}

// call holds one session with the server at addr under the MX host name: greeting, EHLO, STARTTLS, handshake, QUIT. There
// is no mail in it.
func (c caller) call(ctx context.Context, addr netip.AddrPort, host policy.Domain) (Code, string) {
	ctx, cancel := context.WithTimeout(ctx, sessionTime)
	defer cancel()
	conn, err := new(net.Dialer).DialContext(ctx, "tcp", addr.String())
	if err != nil {
		return CodeUnknown, clean(err.Error())
	}
	defer conn.Close()
	defer context.AfterFunc(ctx, func() { conn.SetDeadline(time.Unix(1, 0)) })()
	code, detail, secure := c.talk(ctx, conn, host)
	if ctx.Err() == nil { // else we are to end
		quit(secure)
	}
	return code, clean(detail)
}

// talk returns the connection that QUIT belongs on, nil where nobody listens to one.
func (c caller) talk(ctx context.Context, conn net.Conn, host policy.Domain) (Code, string, net.Conn) {
	in := bufio.NewReader(io.LimitReader(conn, maxReplies))
	code, text, err := readReply(in)
	switch {
	case err != nil:
		return CodeUnknown, "greeting: " + err.Error(), nil
	case code != 220:
		return CodeUnknown, "greeting: " + said(code, text), conn
	}
	switch code, text, err = ask(conn, in, "EHLO "+c.ehlo); {
	case err != nil:
		return CodeUnknown, "EHLO: " + err.Error(), nil
	case code == 421:
		return CodeUnknown, "EHLO: " + said(code, text), conn
	case code == 500 || code == 502:
		return CodeClear, "EHLO: " + said(code, text), conn // it does not know extensions
	case code != 250:
		return CodeUnknown, "EHLO: " + said(code, text), conn // it does not like us
	case !offers(text):
		return CodeClear, "STARTTLS is not offered", conn
	}
	switch code, text, err = ask(conn, in, "STARTTLS"); {
	case err != nil:
		return CodeUnknown, "STARTTLS: " + err.Error(), nil
	case code != 220:
		return CodeClear, "STARTTLS: " + said(code, text), conn
	case in.Buffered() > 0:
		// It came unencrypted; read on after the handshake, it would be taken for the server's word (CVE-2011-0411).
		return CodeHandshake, "text in clear behind the reply to STARTTLS", conn
	}
	secure := tls.Client(conn, &tls.Config{ServerName: host.String(), RootCAs: c.roots, MinVersion: tls.VersionTLS12, Time: c.now})
	if err := secure.HandshakeContext(ctx); err != nil {
		return c.judge(ctx, err), err.Error(), nil
	}
	return CodeGood, "", secure
}

// judge sorts what a handshake ended with. One that was cut off says nothing about the server.
func (c caller) judge(ctx context.Context, err error) Code {
	var certificate *tls.CertificateVerificationError
	var network net.Error
	switch {
	case errors.As(err, &certificate):
		return CodeCertificate
	case ctx.Err() != nil, errors.As(err, &network) && network.Timeout():
		return CodeUnknown
	}
	return CodeHandshake
}

func ask(conn net.Conn, in *bufio.Reader, command string) (code int, text string, err error) {
	if _, err := io.WriteString(conn, command+"\r\n"); err != nil {
		return 0, "", err
	}
	return readReply(in)
}

// readReply reads one reply (RFC 5321 section 4.2.1): three digits and a hyphen in front of each line but the last, which has a
// space or nothing behind them. text has the lines without that. Bare line feeds are let pass.
func readReply(in *bufio.Reader) (code int, text string, err error) {
	for {
		line, err := in.ReadString('\n')
		if err != nil {
			return 0, "", err
		}
		line = strings.TrimRight(line, "\r\n")
		n, err := strconv.Atoi(line[:min(3, len(line))])
		if err != nil || n < 200 || n > 599 || len(line) > 3 && line[3] != ' ' && line[3] != '-' {
			return 0, "", fmt.Errorf("not a reply: %.100q", line)
		}
		code, text = n, text+line[min(4, len(line)):]+"\n"
		if len(line) < 4 || line[3] == ' ' {
			return code, text, nil
		}
	}
}

// offers looks for the keyword among EHLO's lines (RFC 3207 section 4).
func offers(ehlo string) bool {
	for l := range strings.Lines(ehlo) {
		if strings.EqualFold(strings.TrimSpace(l), "STARTTLS") {
			return true
		}
	}
	return false
}

// said is the first line of a reply.
func said(code int, text string) string {
	first, _, _ := strings.Cut(text, "\n")
	return fmt.Sprintf("%d %s", code, first)
}

// quit takes leave, as RFC 5321 section 4.1.1.10 asks. After a failed handshake there is nothing left to say it over.
func quit(conn net.Conn) {
	if conn == nil {
		return
	}
	conn.SetDeadline(time.Now().Add(quitTime))
	if _, err := io.WriteString(conn, "QUIT\r\n"); err == nil {
		_, _ = conn.Read(make([]byte, 512))
	}
}

// clean makes a server's words harmless: printable ASCII, not too long.
func clean(s string) string {
	s = strings.Map(func(r rune) rune {
		if r < ' ' || r > '~' {
			return '?'
		}
		return r
	}, s)
	return s[:min(len(s), maxDetail)]
}
