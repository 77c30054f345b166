package maillog

import (
	"net/netip"
	"strings"
	"testing"
)

var peer = Peer{"mx.a.test", netip.MustParseAddr("192.0.2.1"), 25}

// The forms of Postfix 3.7 and 3.10, as log_adhoc.c and tls_misc.c write them, and of smtp(8)'s failures.
func TestMessages(t *testing.T) {
	const to, end = "4C1F2A3B: to=<u@a.test>, relay=mx.a.test[192.0.2.1]:25, delay=0.3, delays=0.1/0.01/0.1/0.09, ", "(250 2.0.0 Ok: queued as 1)"
	sent := Delivery{"4C1F2A3B", "a.test", peer, "2.0.0", Sent, ""}
	waits := func(r Reason, relay Peer, dsn string) Delivery {
		return Delivery{"4C1F2A3B", "a.test", relay, dsn, Deferred, r}
	}
	for message, want := range map[string]Event{
		"Verified TLS connection established to mx.a.test[192.0.2.1]:25: TLSv1.3 with cipher TLS_AES_256_GCM_SHA384 (256/256 bits) key-exchange X25519 server-signature ECDSA (P-256) server-digest SHA256": Connection{Verified, false, peer},
		"Trusted TLS connection established to mx.a.test[192.0.2.1]:25: TLSv1.2 with cipher X (128/128 bits)":                                                                                               Connection{Trusted, false, peer},
		"Untrusted TLS connection reused to mx.a.test[192.0.2.1]:25: TLSv1.3 with cipher X (256/256 bits)":                                                                                                  Connection{Untrusted, true, peer},
		"Anonymous TLS connection established to mx.a.test[2001:db8::1]:2525: TLSv1.3 with cipher X (256/256 bits)":                                                                                         Connection{Anonymous, false, Peer{"mx.a.test", netip.MustParseAddr("2001:db8::1"), 2525}},
		"Verified TLS connection established from mx.a.test[192.0.2.1]: TLSv1.3 with cipher X":                                                                                                              nil,
		"Unheard TLS connection established to mx.a.test[192.0.2.1]:25: TLSv1.3":                                                                                                                            nil,
		"Verified TLS connection established to mx.a.test[192.0.2.1]:25":                                                                                                                                    nil,
		"Verified TLS connection lost to mx.a.test[192.0.2.1]:25: x":                                                                                                                                        nil,
		"SSL_connect error to mx.a.test[192.0.2.1]:25: -1":                                                                                                                                                  Failure{peer},
		"SSL_connect error to somebody":                                           nil,
		"warning: MX name 'mx.x.test' does not match STS MX pattern for 'a.test'": Mismatch{"mx.x.test", "a.test"},
		"warning: MX name 'mx.x.test' does not match STS MX pattern for 'a.test":  nil,
		"Host offered STARTTLS: [mx.a.test]":                                      nil,

		to + "dsn=2.0.0, status=sent " + end: sent,
		"4C1F2A3B: to=<u@a.test>, orig_to=<\"x>, status=bounced (\"@b.test>, relay=mx.a.test[192.0.2.1]:25, conn_use=2, delay=0.3, delays=0/0/0/0.3, tls=1, dsn=2.0.0, status=sent " + end: sent,
		"4C1F2A3B: to=<\"x>, relay=evil[192.0.2.9]:25, status=bounced (y@z\"@a.test>, relay=mx.a.test[192.0.2.1]:25, delay=1, dsn=2.0.0, status=sent " + end:                               sent,
		"4C1F2A3B: to=<\"x\\\"@b.test>, y\"@a.test>, relay=mx.a.test[192.0.2.1]:25, delay=1, dsn=2.0.0, status=sent " + end:                                                                sent,
		to + "dsn=4.7.5, status=deferred (Server certificate not verified)":                                                                                                                waits(NotVerified, peer, "4.7.5"),
		to + "dsn=4.7.5, status=deferred (Server certificate not trusted)":                                                                                                                 waits(NotVerified, peer, "4.7.5"),
		to + "dsn=4.7.4, status=deferred (TLS is required, but was not offered by host mx.a.test[192.0.2.1])":                                                                              waits(NotOffered, peer, "4.7.4"),
		to + "dsn=4.7.0, status=deferred (TLS is required, but host mx.a.test[192.0.2.1] refused to start TLS: 454 4 x)":                                                                   waits(NotOffered, peer, "4.7.0"),
		to + "dsn=4.7.5, status=deferred (TLS is required, but our TLS engine is unavailable)":                                                                                             waits(NoEngine, peer, "4.7.5"),
		to + "dsn=4.7.5, status=deferred (Cannot start TLS: handshake failure)":                                                                                                            waits(Handshake, peer, "4.7.5"),
		"4C1F2A3B: to=<u@a.test>, relay=none, delay=0.1, dsn=4.7.5, status=deferred (client TLS configuration problem)":                                                                    waits(Configuration, Peer{}, "4.7.5"),
		"4C1F2A3B: to=<u@a.test>, relay=none, delay=0.1, dsn=4.7.5, status=deferred (no TLSA records found)":                                                                               waits(DANE, Peer{}, "4.7.5"),
		"4C1F2A3B: to=<u@a.test>, relay=mx.a.test[/run/sock], delay=1, dsn=4.3.0, status=deferred (x)":                                                                                     waits("", Peer{}, "4.3.0"),
		// What servers say is nobody's reason.
		to + "dsn=4.0.0, status=deferred (host mx.a.test[192.0.2.1] said: 450 Server certificate not verified)": waits("", peer, "4.0.0"),
		to + "dsn=2.0.0, status=sent (Server certificate not verified)":                                         sent,

		"4C1F2A3B: to=<postmaster>, relay=mx.a.test[192.0.2.1]:25, delay=1, dsn=5.0.0, status=bounced (x)": Delivery{"4C1F2A3B", "", peer, "5.0.0", Bounced, ""},
		to + "dsn=2.1.5, status=deliverable " + end:                                                        nil,
		to + "dsn=2.1.5":          nil,
		to + "dsn=2.1.5, ":        nil,
		"4C1F2A3B: to=<u@a.test":  nil,
		"4C1F2A3B: to=<u@a.test>": nil,
		"4C1F2A3B: to=<u@a.test>, orig_to=<x, relay=none, dsn=1.1.1, status=sent (x)":   nil,
		"4C1F-2A3B: to=<u@a.test>, relay=none, dsn=2.0.0, status=sent (x)":              nil,
		"4C1F2A3B: to=<u@a.test>, re lay=none, dsn=2.0.0, status=sent (x)":              nil,
		strings.Repeat("A", 40) + ": to=<u@a.test>, relay=none, dsn=2.0.0, status=sent": nil,
		"warning: x: to=<u@a.test>, relay=none, dsn=2.0.0, status=sent (x)":             nil,
	} {
		l, ok := ParseLine("Nov 27 08:00:00 mail postfix/smtp[71]: " + message + "\n")
		if ok != (want != nil) || l.Event != want {
			t.Errorf("%s\n%+v, %t, want %+v", message, l.Event, ok, want)
		}
	}
}

// The forms of a line, up to its message.
func TestPrefixes(t *testing.T) {
	for prefix, want := range map[string][2]string{
		"Nov 27 08:00:00 mail postfix/smtp[71]: ":                                    {"Nov 27 08:00:00", "mail postfix/smtp"},
		"Nov  7 08:00:00 mail postfix/smtp[71]: ":                                    {"Nov  7 08:00:00", "mail postfix/smtp"},
		"Nov 27 08:00:00.123456 mail postfix/smtp[71]: ":                             {"Nov 27 08:00:00.123456", "mail postfix/smtp"},
		"2026-11-27T08:00:00.123456+01:00 mail.a.test postfix-out/smtp[71]: ":        {"2026-11-27T08:00:00.123456+01:00", "mail.a.test postfix-out/smtp"},
		"Fri 2026-11-27 08:00:00 UTC mail postfix/relay/smtp[71]: ":                  {"Fri 2026-11-27 08:00:00 UTC", "mail postfix/relay/smtp"},
		"[  123.456789] mail postfix/smtp[71]: ":                                     {"[  123.456789]", "mail postfix/smtp"},
		"2026-11-27T08:00:00Z postfix/smtp[71]: ":                                    {"2026-11-27T08:00:00Z", "postfix/smtp"},
		"postfix-mailcow-1  | Nov 27 08:00:00 3fd enforced-tls-smtp/smtp[71]: ":      {"postfix-mailcow-1  | Nov 27 08:00:00", "3fd enforced-tls-smtp/smtp"},
		"postfix/smtp[71]: ":                                                         {"", "postfix/smtp"},
		"Nov 27 08:00:00 mail postfix/smtpd[71]: ":                                   {},
		"Nov 27 08:00:00 mail postfix/lmtp[71]: ":                                    {},
		"Nov 27 08:00:00 mail postfix/error[71]: ":                                   {},
		"Nov 27 08:00:00 mail postfix/smtp[]: ":                                      {},
		"Nov 27 08:00:00 mail postfix/smtp[-1]: ":                                    {},
		"Nov 27 08:00:00 mail postfix/smtp[99999999999]: ":                           {},
		"Nov 27 08:00:00 mail postfix/cleanup[1]: 4C: warning: x postfix/smtp[71]: ": {}, // a header that somebody sent
		// Names that somebody logs in with, in the line of a program that has no number.
		"Nov 27 08:00:00 mail dovecot: imap-login: Aborted: user=<a/smtp[99]: ":            {},
		"Nov 27 08:00:00 mail dovecot: imap-login: Aborted: user=<x mx postfix/smtp[71]: ": {},
		strings.Repeat("x", 600) + " postfix/smtp[71]: ":                                   {},
	} {
		l, ok := ParseLine(prefix + "4C: to=<u@a.test>, relay=none, delay=1, dsn=4.4.1, status=deferred (x)")
		if got := [2]string{l.Stamp, l.Process.Tag}; ok != (want[1] != "") || got != want || ok && l.Process.ID != 71 {
			t.Errorf("%q: %q %+v, %t, want %q", prefix, got, l, ok, want)
		}
	}
}

func FuzzParseLine(f *testing.F) {
	f.Add("Nov 27 08:00:00 mail postfix/smtp[71]: Verified TLS connection established to mx.a.test[192.0.2.1]:25: TLSv1.3 with cipher X (1/1 bits)")
	f.Add("2026-11-27T08:00:00Z mail postfix/smtp[71]: 4C: to=<\"a>, b\"@a.test>, orig_to=<x>, relay=mx.a.test[2001:db8::1]:25, delay=1, dsn=2.0.0, status=sent (250 Ok)")
	f.Add("a/smtp[1]: SSL_connect error to h[::]:1: x")
	f.Fuzz(func(t *testing.T, text string) {
		l, ok := ParseLine(text)
		if !ok {
			if l != (Line{}) {
				t.Errorf("not read, and yet %+v", l)
			}
			return
		}
		if len(l.Stamp)+len(l.Process.Tag) > maxPrefix || l.Process.ID < 0 {
			t.Errorf("%+v", l)
		}
		p := Peer{}
		switch e := l.Event.(type) {
		case Connection:
			p = e.Peer
		case Failure:
			p = e.Peer
		case Delivery:
			p = e.Relay
			if e.QueueID == "" || len(e.QueueID) > maxQueueID || len(e.Domain) > maxDomain || strings.Contains(e.Domain, "@") {
				t.Errorf("%+v", e)
			}
		}
		if p == (Peer{}) {
			return
		}
		if again, rest, ok := parsePeer(p.String()); !ok || rest != "" || again != p {
			t.Errorf("%+v reads again as %+v, %q", p, again, rest)
		}
	})
}
