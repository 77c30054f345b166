package lab

import (
	"bytes"
	"crypto/tls"
	"io"
	"log"
	"net"
	"slices"
	"sync"

	"github.com/emersion/go-smtp"
)

// maxMessage is the most a lab server keeps of one message.
const maxMessage = 1 << 20

// Message is mail that a lab server accepted.
type Message struct {
	From string
	To   []string
	Data []byte
	TLS  bool // it came over TLS
}

// Command is one of those that make up a mail transaction (RFC 5321 section 3.3), as a lab server heard it, whether it was
// accepted or not: it gives away who writes to whom.
type Command struct {
	Verb    string // "MAIL", "RCPT" or "DATA"
	Address string // without brackets; "" for DATA
	TLS     bool   // it came over TLS
}

// Heard returns the commands of all transactions at the host so far, oldest first.
func (l *Lab) Heard(host string) ([]Command, error) {
	h, err := l.host(host)
	if err != nil {
		return nil, err
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	return slices.Clone(h.heard), nil
}

func (h *host) hear(c Command) {
	h.mu.Lock()
	h.heard = append(h.heard, c)
	h.mu.Unlock()
}

// keep puts a message into the mailbox.
func (h *host) keep(m Message) {
	h.mu.Lock()
	h.mail = append(h.mail, m)
	h.mu.Unlock()
}

// Mail returns what the host accepted so far, oldest first.
func (l *Lab) Mail(host string) ([]Message, error) {
	h, err := l.host(host)
	if err != nil {
		return nil, err
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	return slices.Clone(h.mail), nil
}

// startGood prepares the server for sessions by the book; it gets them through the queue.
func (h *host) startGood() {
	h.queue = &connQueue{conns: make(chan net.Conn), closed: make(chan struct{}), addr: h.addrs[0].Addr().AsSlice()}
	h.good = smtp.NewServer(smtp.BackendFunc(func(c *smtp.Conn) (smtp.Session, error) {
		return &mailSession{host: h, conn: c}, nil
	}))
	h.good.Domain = h.Name
	h.good.MaxMessageBytes = maxMessage
	h.good.ErrorLog = log.New(io.Discard, "", 0) // visitors that hang up are the lab's daily bread
	h.good.TLSConfig = &tls.Config{GetConfigForClient: h.helloConfig}
	h.good.Debug = quitCounter{h}
	h.lab.serving.Add(1)
	go func() {
		defer h.lab.serving.Done()
		h.good.Serve(h.queue)
	}()
}

// quitCounter sees what both sides say. A client in lock-step sends QUIT by itself, so that it comes as one piece.
type quitCounter struct{ host *host }

func (q quitCounter) Write(said []byte) (int, error) {
	if bytes.EqualFold(said, []byte("QUIT\r\n")) {
		q.host.quit()
	}
	return len(said), nil
}

// mailSession accepts everything into memory.
type mailSession struct {
	host *host
	conn *smtp.Conn
	msg  Message
}

// hear notes a command, and whether it came over TLS.
func (s *mailSession) hear(verb, address string) {
	_, s.msg.TLS = s.conn.TLSConnectionState()
	s.host.hear(Command{verb, address, s.msg.TLS})
}

func (s *mailSession) Mail(from string, _ *smtp.MailOptions) error {
	s.hear("MAIL", from)
	s.msg.From = from
	return nil
}

func (s *mailSession) Rcpt(to string, _ *smtp.RcptOptions) error {
	s.hear("RCPT", to)
	s.msg.To = append(s.msg.To, to)
	return nil
}

func (s *mailSession) Data(r io.Reader) error {
	s.hear("DATA", "")
	data, err := io.ReadAll(r)
	if err != nil {
		return err
	}
	s.msg.Data = data
	s.host.keep(s.msg)
	return nil
}

func (s *mailSession) Reset()        { s.msg = Message{} }
func (s *mailSession) Logout() error { return nil }

// connQueue is a net.Listener fed by hand.
type connQueue struct {
	conns  chan net.Conn
	closed chan struct{}
	once   sync.Once
	addr   net.IP
}

func (q *connQueue) put(c net.Conn) {
	select {
	case q.conns <- c:
	case <-q.closed:
		c.Close()
	}
}

func (q *connQueue) Accept() (net.Conn, error) {
	select {
	case c := <-q.conns:
		return c, nil
	case <-q.closed:
		return nil, net.ErrClosed
	}
}

func (q *connQueue) Close() error {
	q.once.Do(func() { close(q.closed) })
	return nil
}

func (q *connQueue) Addr() net.Addr { return &net.TCPAddr{IP: q.addr} }
