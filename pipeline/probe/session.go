package probe

import (
	"bufio"
	"cmp"
	"context"
	"crypto/x509"
	"errors"
	"io"
	"net"
	"net/netip"
	"os"
	"syscall"
	"time"

	"github.com/starttls-everywhere/policylist/policy"
)

const (
	// connectTimeout is the share of a session that may pass before anybody accepts the connection.
	connectTimeout = 30 * time.Second
	// quitTimeout is how long we stay for the answer to QUIT.
	quitTimeout = 5 * time.Second
)

// visitor is who we are when we talk to mail servers.
type visitor struct {
	dial    func(ctx context.Context, network, address string) (net.Conn, error)
	ehlo    string
	port    uint16
	timeout time.Duration // of a whole session, so that a server cannot keep us by sending a byte now and then
	roots   *x509.CertPool
	now     func() time.Time
}

// newVisitor is who opts, which are complete, say that we are.
func newVisitor(opts *Options) visitor {
	dialer := net.Dialer{Timeout: min(opts.Timeout, connectTimeout)}
	return visitor{
		dial: dialer.DialContext, ehlo: cmp.Or(opts.EHLO, "localhost.localdomain"), port: uint16(opts.SMTPPort),
		timeout: opts.Timeout, roots: opts.Roots.Pool, now: opts.Clock.Now,
	}
}

// visit holds one session with the server at addr under the MX host name, or under none, and says what it saw. names
// are those in the server's certificate.
func (v *visitor) visit(ctx context.Context, addr netip.Addr, name policy.Domain) (s Session, names []string) {
	ctx, cancel := context.WithTimeout(ctx, v.timeout)
	defer cancel()
	s = Session{Address: addr.String(), Stage: StageConnect}
	conn, err := v.dial(ctx, "tcp", netip.AddrPortFrom(addr, v.port).String())
	if err != nil {
		s.Failure = connectFailure(err)
		return s, nil
	}
	defer conn.Close()
	// Reads and writes end with the session, whatever the server does.
	defer context.AfterFunc(ctx, func() { conn.SetDeadline(time.Unix(1, 0)) })()
	d := &dialogue{visitor: v, wire: conn, conn: conn, in: bufio.NewReader(conn), seen: &s}
	d.run(ctx, name)
	return s, d.names
}

func connectFailure(err error) Failure {
	for _, e := range []error{syscall.ENETUNREACH, syscall.EADDRNOTAVAIL, syscall.EAFNOSUPPORT} {
		if errors.Is(err, e) {
			return FailNoRoute
		}
	}
	if errors.Is(err, syscall.ECONNRESET) {
		return FailClosed // somebody took the connection and threw it away before we saw that it stood
	}
	return FailUnreachable
}

// dialogue is one session in lock-step: we never send before the server's reply is complete (RFC 5321 section 4.3.1).
type dialogue struct {
	*visitor
	wire net.Conn // the TCP connection
	conn net.Conn // the same, or TLS over it
	in   *bufio.Reader

	seen  *Session
	names []string // in the certificate
}

// run goes through the stages; what is seen on the way stays in d.seen.
func (d *dialogue) run(ctx context.Context, name policy.Domain) {
	defer d.quit()
	greeting, ok := d.hear(StageGreeting, &d.seen.Greeting)
	if !ok || greeting.code != 220 {
		return
	}
	ehlo, ok := d.ask(StageEHLO, "EHLO "+d.ehlo, &d.seen.EHLO)
	if !ok || ehlo.code != 250 {
		return
	}
	d.seen.Stage = StageSTARTTLS
	switch {
	case ehlo.offersStartTLS():
		d.seen.Offer = "starttls"
	case ehlo.masked():
		d.seen.Offer = "masked"
		return
	default:
		return
	}
	ready, ok := d.ask(StageSTARTTLS, "STARTTLS", &d.seen.STARTTLS)
	if !ok || ready.code != 220 {
		return
	}
	if n := d.in.Buffered(); n > 0 {
		// What lies here came unencrypted, before the handshake; a client that read on after it would take an
		// attacker's words for the server's (CVE-2011-0411).
		early, _ := d.in.Peek(n)
		d.seen.Clear = escape(string(early), keptLine)
		return
	}
	d.encrypt(ctx, name)
}

func (d *dialogue) encrypt(ctx context.Context, name policy.Domain) {
	d.seen.Stage = StageTLS
	secure, err := handshake(ctx, d.conn, name)
	if err != nil {
		d.seen.Failure, d.seen.Detail = handshakeFailure(err)
		return
	}
	d.seen.Stage = StageDone
	state := secure.ConnectionState()
	d.seen.TLS, d.names = describe(state, name, d.roots, d.now()), state.PeerCertificates[0].DNSNames
	d.conn, d.in = secure, bufio.NewReader(secure)
}

func (d *dialogue) ask(stage Stage, command string, into **Reply) (reply, bool) {
	if _, err := io.WriteString(d.conn, command+"\r\n"); err != nil {
		d.seen.Stage, d.seen.Failure = stage, cmp.Or(transportFailure(err), FailClosed)
		return reply{}, false
	}
	return d.hear(stage, into)
}

// hear waits for a reply; ok is false when none came.
func (d *dialogue) hear(stage Stage, into **Reply) (rep reply, ok bool) {
	d.seen.Stage = stage
	rep, err := readReply(d.in)
	switch {
	case err == nil:
		*into = rep.keep()
		return rep, true
	case errors.Is(err, errReply):
		d.seen.Failure, d.seen.Detail = FailSyntax, err.Error()
	default:
		d.seen.Failure = cmp.Or(transportFailure(err), FailClosed)
	}
	return rep, false
}

// quit is the manners: we do not hang up without a word (RFC 5321 section 4.1.1.10), except where nobody listens: after a
// failed handshake, and when the server hung up.
func (d *dialogue) quit() {
	switch {
	case d.seen.Stage == StageTLS, d.seen.Failure == FailClosed:
		return
	}
	d.conn.SetDeadline(time.Now().Add(min(quitTimeout, d.timeout)))
	if _, err := io.WriteString(d.conn, "QUIT\r\n"); err != nil {
		return
	}
	if d.seen.Failure != "" || d.seen.Clear != "" {
		return // it is silent, or floods us; or the buffer holds an unknown number of replies
	}
	if _, err := readReply(d.in); err == nil {
		// The server closes after its reply (RFC 5321 section 4.1.1.10). Waiting for it means that the next session never
		// overlaps with this one in its eyes either.
		io.CopyN(io.Discard, d.in, maxReplyLine)
		io.CopyN(io.Discard, d.wire, maxReplyLine) // TLS says goodbye before TCP does
	}
}

// transportFailure sorts the errors of an open connection; "" for one that is not about the transport.
func transportFailure(err error) Failure {
	var timeout net.Error
	switch {
	case errors.Is(err, os.ErrDeadlineExceeded), errors.Is(err, context.DeadlineExceeded),
		errors.Is(err, context.Canceled), errors.As(err, &timeout) && timeout.Timeout():
		return FailTimeout
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, syscall.ECONNRESET),
		errors.Is(err, syscall.EPIPE), errors.Is(err, net.ErrClosed):
		return FailClosed
	}
	return ""
}
