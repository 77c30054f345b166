// Package feedback is the sender's side of the list's feedback: what one mail server tells an operator about deliveries to listed
// domains, when, and that it does so once. It is off unless an administrator turns it on.
//
// A UTC day's document is made once, at a random time after the day's end, from one source: files of RFC 8460 (ReadSpool), the
// counts of Postfix's log (FromLog), or the daemon's look-ups (Lookups). policy/tlsrpt scrubs it. It goes into an outbox before its
// first use, so that every attempt to send it sends the same bytes, also after a kill at any line:
//
//	feedback.json                     the Book: what became of each day
//	feedback-outbox-2026-01-10.json   that day's document, padded, as it is sent
//	feedback-key.pem                  the contributor's Key
//
// Silence would tell an operator that no mail went to listed domains that day, so a day without anything to say sends an empty
// document of the same size, at a time chosen in the same way.
//
// A server that fails, hangs or lies costs a deadline in a process of its own; nothing of this is in the way of an update or
// of an answer to a mail server.
package feedback
