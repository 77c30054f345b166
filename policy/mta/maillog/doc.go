// Package maillog reads what Postfix's smtp(8) writes into the mail log, to learn how past deliveries went: to which
// recipient domain, over which MX host, with which certificate.
//
//	Nov 27 08:00:00 mail postfix/smtp[71]: Verified TLS connection established to mx.a.test[192.0.2.1]:25: TLSv1.3 with …
//	Nov 27 08:00:01 mail postfix/smtp[71]: 4C1F2A: to=<u@a.test>, relay=mx.a.test[192.0.2.1]:25, delay=1, …,
//	    dsn=2.0.0, status=sent (250 2.0.0 Ok)
//
// The line about TLS names no message, and that about the message no TLS. One process delivers one message at a time, so
// a Linker joins them by the process, and gives an Attempt: a.test, by mx.a.test, Verified.
//
// Postfix writes the first line only with smtp_tls_loglevel = 1 or more; its default is 0. Then every Attempt has the level
// None, and nothing can be said about certificates: Summary.Connections tells.
//
// The log is hostile as far as recipients, senders and other people's servers put text into it. Local parts of addresses
// and replies of servers are passed over, never searched and never kept.
package maillog
