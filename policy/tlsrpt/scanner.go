package tlsrpt

import (
	"bytes"
	"fmt"
	"strings"
	"unicode/utf16"
	"unicode/utf8"
)

// scanner walks over JSON once, forward, without building a tree: a document of a million empty arrays costs nothing but
// time. It is more lenient than RFC 8259 where the rest of a report is not put in doubt by that: bytes that are no UTF-8, halves of
// surrogate pairs and raw control characters in strings, a comma before a closing bracket. The first error sticks.
type scanner struct {
	src      []byte
	pos      int
	depth    int
	maxDepth int
	maxText  int // bytes kept of a string
	err      error
	lenient  func(code Code, what string) // told of each thing let pass
}

func (s *scanner) fail(format string, args ...any) {
	if s.err == nil {
		s.err = fmt.Errorf("%w: at byte %d: %s", ErrFormat, s.pos, fmt.Sprintf(format, args...))
		s.pos = len(s.src) // nothing comes after
	}
}

// peek skips white space and returns the next byte, 0 at the end.
func (s *scanner) peek() byte {
	for ; s.pos < len(s.src); s.pos++ {
		switch c := s.src[s.pos]; c {
		case ' ', '\t', '\n', '\r':
		default:
			return c
		}
	}
	return 0
}

// object calls member with each member's name, at its value, which member has to consume.
func (s *scanner) object(member func(name string)) {
	s.container('}', func(int) {
		if s.peek() != '"' {
			s.fail("a member's name in quotes should stand here, not %s", s.next())
			return
		}
		name := s.text()
		if s.peek() != ':' {
			s.fail("a colon should stand here, not %s", s.next())
			return
		}
		s.pos++
		member(name)
	})
}

// array calls item with each item's index, at its value, which item has to consume.
func (s *scanner) array(item func(i int)) { s.container(']', item) }

func (s *scanner) container(end byte, item func(i int)) {
	if s.depth++; s.depth > s.maxDepth {
		s.err = fmt.Errorf("%w: nested deeper than %d levels at byte %d", ErrLimit, s.maxDepth, s.pos)
		s.pos = len(s.src)
	}
	defer func() { s.depth-- }()
	s.pos++ // the opening bracket
	for i := 0; s.err == nil; i++ {
		c := s.peek()
		if c == end {
			if i > 0 {
				s.lenient(NoteSyntax, "a comma before a closing bracket")
			}
			s.pos++
			return
		}
		item(i)
		switch c = s.peek(); {
		case s.err != nil:
		case c == ',':
			s.pos++
		case c == end:
			s.pos++
			return
		default:
			s.fail("a comma or %q should stand here, not %s", end, s.next())
		}
	}
}

// next names what comes next, for messages.
func (s *scanner) next() string {
	if s.pos >= len(s.src) {
		return "the end"
	}
	return quote(string(s.src[s.pos:min(len(s.src), s.pos+8)]))
}

// skip consumes any value and returns what it is, "an object".
func (s *scanner) skip() string {
	switch c := s.peek(); {
	case c == '{':
		s.object(func(string) { s.skip() })
		return "an object"
	case c == '[':
		s.array(func(int) { s.skip() })
		return "an array"
	case c == '"':
		s.text()
		return "a string"
	default:
		return s.word().kind()
	}
}

// literal is a number, true, false or null, as it stands.
type literal string

// kind takes any text of digits, signs, points and exponents for a number: whoever needs one parses it.
func (l literal) kind() string {
	switch {
	case l == "null":
		return "null"
	case l == "true" || l == "false":
		return "a boolean"
	case strings.Trim(string(l), "+-.0123456789eE") == "" && strings.ContainsAny(string(l), "0123456789"):
		return "a number"
	}
	return "a word"
}

// word consumes a literal. Python's NaN and None are let pass for what they are, since they stand for one value only.
func (s *scanner) word() literal {
	start := s.pos
	for s.pos < len(s.src) && isWordByte(s.src[s.pos]) {
		s.pos++
	}
	if s.pos == start {
		s.fail("a value should stand here, not %s", s.next())
		return ""
	}
	w := literal(s.src[start:min(s.pos, start+64)])
	if w.kind() == "a word" {
		s.lenient(NoteSyntax, "the word "+quote(string(w)))
	}
	return w
}

func isWordByte(c byte) bool {
	return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '+' || c == '-' || c == '.' || c == '_'
}

// text consumes a string and returns it in valid UTF-8, cut to maxText bytes.
func (s *scanner) text() string {
	s.pos++ // the opening quote
	// Nearly all strings are plain: one pass, one copy.
	for i := s.pos; i < len(s.src); i++ {
		switch c := s.src[i]; {
		case c == '"':
			raw := s.src[s.pos:i]
			s.pos = i + 1
			if word := frequent(raw); word != "" {
				return word
			}
			return s.cut(string(raw[:min(len(raw), s.maxText+utf8.UTFMax)]))
		case c == '\\' || c < 0x20 || c >= 0x80:
			return s.slowText()
		}
	}
	s.fail("a string has no end")
	return ""
}

// frequent returns the words of which reports mostly consist without a copy, "" for others.
func frequent(b []byte) string {
	for _, word := range [...]string{
		"policies", "policy", "summary", "failure-details", "policy-type", "policy-string", "policy-domain", "mx-host", "total-successful-session-count",
		"total-failure-session-count", "result-type", "sending-mta-ip", "receiving-mx-hostname", "receiving-mx-helo", "receiving-ip",
		"failed-session-count", "additional-information", "failure-reason-code", "organization-name", "contact-info", "report-id", "date-range",
		"start-datetime", "end-datetime", "sts", "tlsa",
	} {
		if string(b) == word {
			return word
		}
	}
	return ""
}

func (s *scanner) cut(text string) string {
	if len(text) <= s.maxText {
		return text
	}
	s.lenient(NoteTooLong, fmt.Sprintf("text of more than %d bytes", s.maxText))
	n := s.maxText
	for n > 0 && !utf8.RuneStart(text[n]) {
		n--
	}
	return text[:n]
}

// slowText is text for strings with escapes or beyond ASCII.
func (s *scanner) slowText() string {
	var b strings.Builder
	for s.pos < len(s.src) {
		c := s.src[s.pos]
		if c == '"' {
			s.pos++
			return s.cut(b.String())
		}
		r, n := rune(c), 1
		switch {
		case c == '\\':
			if r, n = s.escape(); n == 0 {
				s.lenient(NoteSyntax, "a backslash that begins no escape")
				r, n = '\\', 1
			}
		case c < 0x20:
			s.lenient(NoteSyntax, "a control character in a string")
		case c >= 0x80:
			if r, n = utf8.DecodeRune(s.src[s.pos:]); r == utf8.RuneError && n == 1 {
				s.lenient(NoteEncoding, "bytes that are no UTF-8")
			}
		}
		s.pos += n
		if b.Len() <= s.maxText {
			b.WriteRune(r)
		}
	}
	s.fail("a string has no end")
	return ""
}

// escape reads the escape at pos and returns its length, 0 for none (RFC 8259 section 7).
func (s *scanner) escape() (r rune, length int) {
	const names, values = `"\/bfnrt`, "\"\\/\b\f\n\r\t"
	rest := s.src[s.pos:]
	if len(rest) < 2 {
		return 0, 0
	}
	if i := strings.IndexByte(names, rest[1]); i >= 0 {
		return rune(values[i]), 2
	}
	high, ok := hex4(rest)
	if !ok {
		return 0, 0
	}
	if !utf16.IsSurrogate(high) {
		return high, 6
	}
	if low, ok := hex4(rest[6:]); ok {
		if r := utf16.DecodeRune(high, low); r != utf8.RuneError {
			return r, 12
		}
	}
	s.lenient(NoteEncoding, "half of a surrogate pair")
	return utf8.RuneError, 6
}

// hex4 reads \uXXXX.
func hex4(b []byte) (rune, bool) {
	if len(b) < 6 || !bytes.HasPrefix(b, []byte(`\u`)) {
		return 0, false
	}
	var r rune
	for _, c := range b[2:6] {
		digit := strings.IndexByte("0123456789abcdef", c|0x20)
		if c < '0' || digit < 0 {
			return 0, false
		}
		r = r<<4 | rune(digit)
	}
	return r, true
}
