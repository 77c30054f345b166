package maillog

import (
	"fmt"
	"net/netip"
	"strconv"
	"strings"
)

// Event is a Connection, a Failure, a Mismatch or a Delivery.
type Event interface{ event() }

// Connection says that a TLS session stands (tls_log_summary in Postfix's tls_misc.c).
type Connection struct {
	Level  Level
	Reused bool // of an earlier message (smtp_tls_connection_reuse, from 3.4 on)
	Peer   Peer
}

// Failure says that a TLS handshake failed. Postfix may go on in clear text where no policy forbids it.
type Failure struct{ Peer Peer }

// Mismatch says that Postfix has passed over an MX host that the policy does not name, before it connected (from 3.10.5 on,
// with mx_host_pattern). When none is left, what it says of the message is nothing of TLS.
type Mismatch struct {
	Host   string // as the log has it
	Domain string
}

// Delivery is what became of one recipient of one message (log_adhoc.c).
type Delivery struct {
	QueueID string
	Domain  string // behind the recipient's last @, as the log has it; "" where there is none
	Relay   Peer   // zero: nobody was reached
	DSN     string // RFC 3463: "2.0.0"
	Status  Status
	Reason  Reason
}

func (Connection) event() {}
func (Failure) event()    {}
func (Mismatch) event()   {}
func (Delivery) event()   {}

// Level is what Postfix found out about the certificate of a session.
type Level int

const (
	// None: no TLS, or a log without lines about it.
	None Level = iota
	// Anonymous: the session needed no certificate. It says nothing about what the server would show if asked.
	Anonymous
	// Untrusted: a certificate that leads to no CA that Postfix has.
	Untrusted
	// Trusted: of a CA that Postfix has, and for whom was not asked, or not for the name that was asked for.
	Trusted
	// Verified: as the policy for the domain demands it.
	Verified
)

var levelNames = [...]string{None: "none", Anonymous: "anonymous", Untrusted: "untrusted", Trusted: "trusted", Verified: "verified"}

// String returns the level in lower case, as in reports.
func (l Level) String() string { return levelNames[l] }

// Status is the result of an attempt.
type Status string

const (
	Sent     Status = "sent"     // delivered
	Deferred Status = "deferred" // tried again later
	Bounced  Status = "bounced"  // given back
)

// Reason is why TLS kept a message from being delivered; "" for all other reasons, and for none.
type Reason string

const (
	NotVerified   Reason = "certificate not verified"         // of the MX host, by WebPKI
	NotOffered    Reason = "TLS not offered"                  // no STARTTLS
	NotNamed      Reason = "MX host not in the policy"        // see Mismatch
	Handshake     Reason = "handshake failure"                // TLS began and failed
	NoEngine      Reason = "TLS engine not available"         // of the mail server itself
	Configuration Reason = "client TLS configuration problem" // a table or socket of smtp_tls_policy_maps failed, or what it said
	DANE          Reason = "DANE"                             // no TLSA record fits, or none is usable
)

// reasons are how the texts begin. A server's own words come later in a text ("host … said: …") and never count.
var reasons = []struct {
	begins string
	reason Reason
}{
	{"Server certificate not ", NotVerified}, // "verified", "trusted"
	{"TLS is required, but was not offered", NotOffered},
	{"TLS is required, but host ", NotOffered}, // "… refused to start TLS: …"
	{"TLS is required, but ", NoEngine},        // "our TLS engine is unavailable", "unavailable"
	{"Cannot start TLS", Handshake},
	{"client TLS configuration problem", Configuration},
	{"no TLSA records found", DANE},
	{"TLSA lookup error", DANE},
	{"non DNSSEC destination", DANE},
	{"dane configured with ", DANE},
}

// Peer is a server as the log names it, "mx.a.test[192.0.2.1]:25". The zero value is none.
type Peer struct {
	Host string // a name, or the address once more
	Addr netip.Addr
	Port uint16
}

// String returns the log's form; "none" for the zero value.
func (p Peer) String() string {
	if p == (Peer{}) {
		return "none"
	}
	return fmt.Sprintf("%s[%s]:%d", p.Host, p.Addr, p.Port)
}

// maxHost is the longest host name (RFC 1035 section 2.3.4).
const maxHost = 253

// parsePeer reads String's form at the beginning of s and returns what follows. ok is false for anything else, such as
// the path of a unix socket.
func parsePeer(s string) (p Peer, rest string, ok bool) {
	host, after, found := strings.Cut(s, "[")
	if !found || host == "" || len(host) > maxHost || strings.ContainsAny(host, " ,<>()") {
		return Peer{}, "", false
	}
	text, after, found := strings.Cut(after, "]:")
	addr, err := netip.ParseAddr(text)
	if !found || err != nil {
		return Peer{}, "", false
	}
	end := strings.IndexFunc(after, func(r rune) bool { return r < '0' || r > '9' })
	if end < 0 {
		end = len(after)
	}
	port, err := strconv.ParseUint(after[:end], 10, 16)
	if err != nil {
		return Peer{}, "", false
	}
	return Peer{strings.Clone(host), addr, uint16(port)}, after[end:], true
}
