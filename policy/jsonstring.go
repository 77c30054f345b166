package policy

import (
	"strconv"
	"strings"
	"unicode/utf16"
	"unicode/utf8"
)

// str reads a string; without escapes, the common case, the result shares the file's memory.
func (p *jsonParser) str() (string, *jsonFault) {
	open := p.pos
	p.pos++
	start := p.pos
	for p.pos < len(p.src) {
		switch c := p.src[p.pos]; {
		case c == '"':
			p.pos++
			return p.src[start : p.pos-1], nil
		case c == '\\':
			return p.escaped(open, start)
		case c < 0x20:
			return "", p.fault("a control character (0x%02x) stands in a string; the closing quote may be missing", c)
		}
		p.pos++
	}
	p.pos = open
	return "", p.fault("this string has no closing quote")
}

// escaped continues str at the first backslash.
func (p *jsonParser) escaped(open, start int) (string, *jsonFault) {
	var b strings.Builder
	b.WriteString(p.src[start:p.pos])
	for p.pos < len(p.src) {
		switch c := p.src[p.pos]; {
		case c == '"':
			p.pos++
			return b.String(), nil
		case c == '\\':
			r, fault := p.escape()
			if fault != nil {
				return "", fault
			}
			b.WriteRune(r)
		case c < 0x20:
			return "", p.fault("a control character (0x%02x) stands in a string; the closing quote may be missing", c)
		default:
			b.WriteByte(c)
			p.pos++
		}
	}
	p.pos = open
	return "", p.fault("this string has no closing quote")
}

func (p *jsonParser) escape() (rune, *jsonFault) {
	if p.pos+1 >= len(p.src) {
		return 0, p.fault("the file ends within an escape")
	}
	const names, values = `"\/bfnrt`, "\"\\/\b\f\n\r\t"
	c := p.src[p.pos+1]
	if i := strings.IndexByte(names, c); i >= 0 {
		p.pos += 2
		return rune(values[i]), nil
	}
	if c != 'u' {
		return 0, p.fault("JSON has no escape \\%c", firstRune(p.src[p.pos+1:]))
	}
	r, ok := p.hex4(p.pos + 2)
	if !ok {
		return 0, p.fault("four hex digits should follow \\u")
	}
	if !utf16.IsSurrogate(r) {
		p.pos += 6
		return r, nil
	}
	// Half a pair has no UTF-8 form: decoders differ in what they make of it (RFC 8259 section 8.2), so we make nothing.
	low, ok := p.hex4(p.pos + 8)
	both := utf16.DecodeRune(r, low)
	if !ok || both == utf8.RuneError || p.src[p.pos+6:p.pos+8] != `\u` {
		return 0, p.fault("this escape is half of a surrogate pair")
	}
	p.pos += 12
	return both, nil
}

func (p *jsonParser) hex4(at int) (rune, bool) {
	if at+4 > len(p.src) {
		return 0, false
	}
	v, err := strconv.ParseUint(p.src[at:at+4], 16, 16)
	return rune(v), err == nil
}
