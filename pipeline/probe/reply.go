package probe

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"strings"
)

// Caps on what a server may make us read and remember. RFC 5321 section 4.5.3.1.5 gives a reply line 512 bytes; a
// server that sends more than these is not going to say anything useful.
const (
	maxReplyLine  = 2048
	maxReplyLines = 100
	keptLines     = 12      // of a reply go into the evidence
	keptLine      = 160     // bytes of each, before escaping
	keptReply     = 1 << 10 // bytes of a reply, escaped
)

// errReply is what a reply that is no SMTP reply wraps.
var errReply = errors.New("not an SMTP reply")

// reply is one server reply (RFC 5321 section 4.2), all lines.
type reply struct {
	code  int
	lines []string // text behind code and separator, without the line end, as sent
}

// readReply reads one reply, single- or multi-line. Line ends may be LF or CRLF, the separator of the last line may be
// missing, text may be any bytes. Errors of r pass through; a malformed or overlong reply wraps errReply.
func readReply(r *bufio.Reader) (reply, error) {
	var rep reply
	for len(rep.lines) < maxReplyLines {
		line, err := readLine(r)
		if err != nil {
			return rep, err
		}
		code, text, more, err := splitReply(line)
		if err != nil {
			return rep, err
		}
		if rep.lines != nil && code != rep.code {
			return rep, fmt.Errorf("%w: code %d goes on as %d", errReply, rep.code, code)
		}
		rep.code = code
		rep.lines = append(rep.lines, text)
		if !more {
			return rep, nil
		}
	}
	return rep, fmt.Errorf("%w: more than %d lines", errReply, maxReplyLines)
}

func readLine(r *bufio.Reader) (string, error) {
	var line []byte
	for {
		part, err := r.ReadSlice('\n')
		line = append(line, part...)
		switch {
		case len(line) > maxReplyLine:
			return "", fmt.Errorf("%w: a line of more than %d bytes", errReply, maxReplyLine)
		case err == nil:
			return strings.TrimSuffix(string(line[:len(line)-1]), "\r"), nil
		case errors.Is(err, bufio.ErrBufferFull):
		case errors.Is(err, io.EOF) && len(line) > 0:
			return "", io.ErrUnexpectedEOF
		default:
			return "", err
		}
	}
}

// splitReply takes a line apart: three digits, then '-' for "more to come", or a space or nothing.
func splitReply(line string) (code int, text string, more bool, err error) {
	if len(line) < 3 {
		return 0, "", false, fmt.Errorf("%w: %s", errReply, escape(line, keptLine))
	}
	for i := range 3 {
		if line[i] < '0' || line[i] > '9' {
			return 0, "", false, fmt.Errorf("%w: %s", errReply, escape(line, keptLine))
		}
		code = code*10 + int(line[i]-'0')
	}
	switch {
	case code < 200 || code > 599:
	case len(line) == 3:
		return code, "", false, nil
	case line[3] == '-' || line[3] == ' ':
		return code, line[4:], line[3] == '-', nil
	}
	return 0, "", false, fmt.Errorf("%w: %s", errReply, escape(line, keptLine))
}

// offersStartTLS looks for the keyword among the EHLO lines after the first, in any case and spacing: servers write
// "250-starttls" and senders take it (RFC 5321 section 2.4).
func (r reply) offersStartTLS() bool {
	for _, line := range r.extensions() {
		if strings.EqualFold(keyword(line), "STARTTLS") {
			return true
		}
	}
	return false
}

// masked reports whether a middlebox wrote over the keyword so that the length of the reply stays: eight bytes, mostly X
// ("250-XXXXXXXA", as Cisco firewalls with SMTP inspection send), or eight blanks, where a keyword belongs.
func (r reply) masked() bool {
	for _, line := range r.extensions() {
		k := keyword(line)
		switch {
		case len(k) == len("STARTTLS") && strings.HasPrefix(strings.ToUpper(k), "XXXXXXX"):
			return true
		case k == "" && len(line) >= len("STARTTLS"):
			return true
		}
	}
	return false
}

// starred reports whether a middlebox wrote over the greeting: the same firewalls leave "220 ****2**0**" of it and do
// not know EHLO.
func (r *Reply) starred() bool {
	return r != nil && len(r.Lines) > 0 && strings.Count(r.Lines[0], "*") > len(r.Lines[0])/2
}

func (r reply) extensions() []string {
	if len(r.lines) < 2 {
		return nil
	}
	return r.lines[1:]
}

func keyword(line string) string {
	if fields := strings.Fields(line); len(fields) > 0 {
		return fields[0]
	}
	return ""
}

// Reply is a server's reply as evidence keeps it: at most keptLines lines and keptReply bytes, escaped.
type Reply struct {
	Code  uint16   `json:"code"`
	Lines []string `json:"lines"`
}

func (r reply) keep() *Reply {
	out := &Reply{Code: uint16(r.code), Lines: []string{}}
	size := 0
	for _, line := range r.lines[:min(len(r.lines), keptLines)] {
		kept := escape(line, keptLine)
		if size += len(kept); size > keptReply {
			break
		}
		out.Lines = append(out.Lines, kept)
	}
	return out
}

// escape makes at most limit bytes of foreign text fit for canonical JSON, a terminal and a page: printable ASCII
// stays, all else and the backslash itself become \xHH. Cut text ends in "\...", which no escaped text contains.
func escape(s string, limit int) string {
	const digits = "0123456789abcdef"
	cut := len(s) > limit
	if cut {
		s = s[:limit]
	}
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if c := s[i]; c < 0x20 || c > 0x7e || c == '\\' {
			b.WriteString(`\x`)
			b.WriteByte(digits[c>>4])
			b.WriteByte(digits[c&15])
		} else {
			b.WriteByte(c)
		}
	}
	if cut {
		b.WriteString(`\...`)
	}
	return b.String()
}
