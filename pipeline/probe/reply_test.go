package probe

import (
	"bufio"
	"errors"
	"io"
	"strings"
	"testing"

	"github.com/starttls-everywhere/policylist/policy/canonical"
)

func parseReply(s string) (reply, error) { return readReply(bufio.NewReader(strings.NewReader(s))) }

func TestReply(t *testing.T) {
	cases := []struct {
		in     string
		code   int
		lines  int
		offers bool
		masked bool
	}{
		{"220 mx.a.example ESMTP\r\n", 220, 1, false, false},
		{"220\r\n", 220, 1, false, false},
		{"250-mx\r\n250 STARTTLS\r\n", 250, 2, true, false},
		{"250-mx\n250-starttls  \n250 SIZE 1\n", 250, 3, true, false}, // case 34
		{"250-mx\r\n250-\tStartTLS\r\n250\r\n", 250, 3, true, false},
		{"250 STARTTLS\r\n", 250, 1, false, false}, // the first line is the greeting, not a keyword
		{"250-mx\r\n250 STARTTLS-NOT\r\n", 250, 2, false, false},
		{"250-mx\r\n250 XXXXXXXA\r\n", 250, 2, false, true}, // case 40
		{"250-mx\r\n250 XXXXXXXXXA\r\n", 250, 2, false, false},
		{"250-mx\r\n250 \xff\x00\r\n", 250, 2, false, false},
	}
	for _, c := range cases {
		r, err := parseReply(c.in)
		if err != nil || r.code != c.code || len(r.lines) != c.lines || r.offersStartTLS() != c.offers || r.masked() != c.masked {
			t.Errorf("%q: %+v, %v; offers %v, masked %v", c.in, r, err, r.offersStartTLS(), r.masked())
		}
	}
}

func TestReplyRefused(t *testing.T) {
	for in, want := range map[string]error{
		"":                                   io.EOF,
		"220 mx":                             io.ErrUnexpectedEOF,
		"250-mx\r\n":                         io.EOF,
		"hello\r\n":                          errReply,
		"22\r\n":                             errReply,
		"220x\r\n":                           errReply,
		"099 low\r\n":                        errReply,
		"600 high\r\n":                       errReply,
		"250-a\r\n220 b\r\n":                 errReply,
		"220 " + strings.Repeat("x", 1<<20):  errReply,
		strings.Repeat("250-more\r\n", 1000): errReply,
		"2\u0662\u0660 digits of others\r\n": errReply,
	} {
		if _, err := parseReply(in); !errors.Is(err, want) {
			t.Errorf("%.40q: %v, want %v", in, err, want)
		}
	}
}

func TestEscape(t *testing.T) {
	for in, want := range map[string]string{
		`bk\sla`:            `bk\x5csla`,
		"plain":             "plain",
		"\x1b[2J":           `\x1b[2J`,
		"caf\u00e9":         `caf\xc3\xa9`,
		"12345678":          "12345678",
		"123456789 and":     `12345678\...`,
		"\u202e":            `\xe2\x80\xae`,
		"tab\tline\r\n\x7f": `tab\x09line\...`,
	} {
		if got := escape(in, 8); got != want {
			t.Errorf("%q: %q, want %q", in, got, want)
		}
	}
}

func FuzzReply(f *testing.F) {
	f.Add("250-mx\r\n250 STARTTLS\r\n")
	f.Add("220\n")
	f.Fuzz(func(t *testing.T, in string) {
		r, err := parseReply(in)
		if err != nil {
			return
		}
		kept := r.keep()
		if r.code < 200 || r.code > 599 || len(r.lines) == 0 || len(r.lines) > maxReplyLines || len(kept.Lines) > keptLines {
			t.Fatalf("accepted %q as %+v", in, r)
		}
		if _, err := canonical.Members(appendLine(nil, kept)); err != nil {
			t.Fatalf("%q is kept as %+v: %v", in, kept, err)
		}
		// What was accepted, written by the book, reads the same.
		var b strings.Builder
		for i, line := range r.lines {
			sep := "-"
			if i == len(r.lines)-1 {
				sep = " "
			}
			b.WriteString(formatCode(r.code) + sep + line + "\r\n")
		}
		again, err := parseReply(b.String())
		if err != nil || again.code != r.code || strings.Join(again.lines, "\n") != strings.Join(r.lines, "\n") {
			t.Fatalf("%q reads as %+v, written again as %+v, %v", in, r, again, err)
		}
	})
}

func formatCode(code int) string {
	return string([]byte{'0' + byte(code/100), '0' + byte(code/10%10), '0' + byte(code%10)})
}
