package tlsrpt

import (
	"bytes"
	"encoding/base64"
	"io"
	"mime/quotedprintable"
	"strings"
)

// decodings returns what a body may be, the likeliest first: decoded as its label says, as it stands, and decoded as base64 when it
// looks like base64 of a report, since gateways lose labels and leave them on what they have decoded.
func decodings(label string, body []byte) [][]byte {
	var all [][]byte
	switch strings.ToLower(strings.TrimSpace(label)) {
	case "base64":
		all = append(all, looseBase64(body), body)
	case "quoted-printable":
		decoded, _ := io.ReadAll(quotedprintable.NewReader(bytes.NewReader(body)))
		all = append(all, decoded, body)
	default:
		all = append(all, body)
	}
	for _, b := range all {
		if packed := bytes.TrimLeft(b, "\r\n\t "); bytes.HasPrefix(packed, []byte("H4sI")) || bytes.HasPrefix(packed, []byte("ey")) || bytes.HasPrefix(packed, []byte("ew")) {
			return append(all, looseBase64(packed))
		}
	}
	return all
}

// looseBase64 decodes as much as there is, by either alphabet (RFC 4648 sections 4 and 5), whatever stands between the digits
// (RFC 2045 section 6.8) and whether or not padding ends it: reports have been lost to stricter readers. A text that goes on behind
// the padding is another one, and is left out.
func looseBase64(text []byte) []byte {
	digits := make([]byte, 0, len(text))
	for _, c := range text {
		switch {
		case c == '=':
			return finishBase64(digits)
		case c == '-':
			c = '+'
		case c == '_':
			c = '/'
		}
		if c >= 'A' && c <= 'Z' || c >= 'a' && c <= 'z' || c >= '0' && c <= '9' || c == '+' || c == '/' {
			digits = append(digits, c)
		}
	}
	return finishBase64(digits)
}

func finishBase64(digits []byte) []byte {
	if len(digits)%4 == 1 { // six bits make no byte
		digits = digits[:len(digits)-1]
	}
	n, _ := base64.RawStdEncoding.Decode(digits, digits) // nothing but digits is left, so that it cannot fail
	return digits[:n]
}
