package term

import (
	"strings"
	"unicode"
)

// Escape makes text from outside safe to print: control characters and other unprintable runes, which could drive
// a terminal, come out as \x1b or \u202e. Newlines and tabs are escaped too: one value stays one line.
func Escape(s string) string {
	if strings.IndexFunc(s, unsafe) < 0 {
		return s
	}
	var b strings.Builder
	for _, r := range s {
		if !unsafe(r) {
			b.WriteRune(r)
			continue
		}
		switch {
		case r < 0x100:
			b.WriteString(`\x` + hex(r, 2))
		default:
			b.WriteString(`\u` + hex(r, 4))
		}
	}
	return b.String()
}

func unsafe(r rune) bool { return !unicode.IsPrint(r) || r == unicode.ReplacementChar }

func hex(r rune, width int) string {
	const digits = "0123456789abcdef"
	out := make([]byte, 0, 8)
	for ; r > 0 || len(out) < width; r >>= 4 {
		out = append([]byte{digits[r&15]}, out...)
	}
	return string(out)
}
