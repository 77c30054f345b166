// Package canonical reads and writes canonical JSON: the one byte string that stands for a value wherever this
// project signs, hashes or logs JSON.
//
// Strings hold ASCII 0x20-0x7E and know two escapes, \" and \\. Object keys are sorted bytewise, there is no white
// space, integers are 0..2^53-1 without sign, exponent or leading zero, and there are no floats, booleans, nulls,
// duplicate or unknown keys:
//
//	{"kind":"trust","sha256":"9f86…","version":4}
//
// Since every format has fixed keys in a fixed order, reading is matching: a Scanner expects literals and takes
// values between them. What it accepts is canonical by construction.
package canonical

import (
	"errors"
	"fmt"
	"strconv"
)

// MaxInt is the largest integer, 2^53-1, so that JavaScript readers lose nothing.
const MaxInt = 1<<53 - 1

// ErrSyntax is what every refusal wraps.
var ErrSyntax = errors.New("not the canonical form")

// AppendString appends s quoted. It reports an error for bytes that canonical JSON cannot carry.
func AppendString(b []byte, s string) ([]byte, error) {
	b = append(b, '"')
	for i := 0; i < len(s); i++ {
		switch c := s[i]; {
		case c == '"' || c == '\\':
			b = append(b, '\\', c)
		case c < 0x20 || c > 0x7e:
			return nil, fmt.Errorf("%w: byte %#02x at offset %d of a string", ErrSyntax, c, i)
		default:
			b = append(b, c)
		}
	}
	return append(b, '"'), nil
}

// Scanner walks over one canonical value. The first error sticks: callers may read on and look at Err or Done at
// the end. The zero value is not useful; see NewScanner.
type Scanner struct {
	data []byte
	off  int
	err  error
}

// NewScanner reads data, which it does not copy or change.
func NewScanner(data []byte) *Scanner { return &Scanner{data: data} }

// Offset is the number of bytes read so far; on an error, the place of the error.
func (s *Scanner) Offset() int { return s.off }

// Err is the first error, which names the byte offset.
func (s *Scanner) Err() error { return s.err }

// Fail records a caller's own refusal at the present place, unless an earlier error stands.
func (s *Scanner) Fail(format string, args ...any) {
	if s.err == nil {
		s.err = fmt.Errorf("%w: at byte %d: %s", ErrSyntax, s.off, fmt.Sprintf(format, args...))
	}
}

// Done is Err, or an error when bytes are left over.
func (s *Scanner) Done() error {
	if s.err == nil && s.off != len(s.data) {
		s.Fail("%d bytes too many", len(s.data)-s.off)
	}
	return s.err
}

// Literal demands the bytes lit.
func (s *Scanner) Literal(lit string) {
	if s.err == nil && !s.Try(lit) {
		s.Fail("expected %q", lit)
	}
}

// Try consumes lit if it comes next and reports whether it did.
func (s *Scanner) Try(lit string) bool {
	if s.err != nil || len(s.data)-s.off < len(lit) || string(s.data[s.off:s.off+len(lit)]) != lit {
		return false
	}
	s.off += len(lit)
	return true
}

// More reports whether a list goes on after an element: true after a comma, false at end, which it consumes.
func (s *Scanner) More(end string) bool {
	if s.Try(",") {
		return true
	}
	s.Literal(end)
	return false
}

// Str takes a quoted string of at most limit bytes after unescaping.
func (s *Scanner) Str(limit int) string {
	s.Literal(`"`)
	if s.err != nil {
		return ""
	}
	start, escaped := s.off, false
	for ; s.off < len(s.data); s.off++ {
		switch c := s.data[s.off]; {
		case c == '"':
			return s.finish(start, escaped, limit)
		case c < 0x20 || c > 0x7e:
			s.Fail("byte %#02x in a string", c)
			return ""
		case c == '\\':
			escaped = true
			s.off++
			if s.off == len(s.data) || s.data[s.off] != '"' && s.data[s.off] != '\\' {
				s.Fail("an escape other than \\\" and \\\\")
				return ""
			}
		}
	}
	s.Fail("string without an end")
	return ""
}

func (s *Scanner) finish(start int, escaped bool, limit int) string {
	raw := s.data[start:s.off]
	if escaped {
		raw = unescape(raw)
	}
	if len(raw) > limit {
		s.Fail("string of %d bytes, the most is %d", len(raw), limit)
		return ""
	}
	s.off++
	return string(raw)
}

func unescape(raw []byte) []byte {
	out := make([]byte, 0, len(raw))
	for i := 0; i < len(raw); i++ {
		if raw[i] == '\\' {
			i++
		}
		out = append(out, raw[i])
	}
	return out
}

// Int takes an integer 0..MaxInt.
func (s *Scanner) Int() int64 {
	start := s.off
	for s.err == nil && s.off < len(s.data) && s.data[s.off] >= '0' && s.data[s.off] <= '9' {
		s.off++
	}
	digits := string(s.data[start:s.off])
	n, err := strconv.ParseInt(digits, 10, 64)
	switch {
	case s.err != nil:
	case err != nil || n > MaxInt:
		s.Fail("expected an integer 0 to 2^53-1")
	case len(digits) > 1 && digits[0] == '0':
		s.Fail("integer with a leading zero")
	default:
		return n
	}
	return 0
}
