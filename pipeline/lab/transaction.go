package lab

import (
	"bytes"
	"io"
	"strings"
)

// envelope takes a sender or a recipient from "MAIL FROM:<…>" or "RCPT TO:<…>": whom an attacker has made to go on in clear
// is to be seen doing it.
func (s *script) envelope(verb, line string) bool {
	_, address, _ := strings.Cut(line, "<")
	address, _, _ = strings.Cut(address, ">")
	s.host.hear(Command{verb, address, s.encrypted})
	if verb == "MAIL" {
		s.msg = Message{From: address}
	} else {
		s.msg.To = append(s.msg.To, address)
	}
	return s.say("250 2.1.0 fine\r\n")
}

// data takes a message (RFC 5321 section 4.1.1.4), as it comes: dots stay doubled.
func (s *script) data() bool {
	s.host.hear(Command{Verb: "DATA", TLS: s.encrypted})
	if !s.say("354 go on\r\n") {
		return false
	}
	var text bytes.Buffer
	for {
		line, err := s.in.ReadString('\n')
		if err != nil && err != io.EOF || line == "" || text.Len()+len(line) > maxMessage {
			return false
		}
		if strings.TrimRight(line, "\r\n") == "." {
			break
		}
		text.WriteString(line)
	}
	s.msg.Data, s.msg.TLS = text.Bytes(), s.encrypted
	s.host.keep(s.msg)
	s.msg = Message{}
	return s.say("250 2.0.0 taken\r\n")
}
