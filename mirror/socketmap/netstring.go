package socketmap

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"strconv"
)

// maxRequest caps a request, in bytes. A domain has at most 253, an address with quotes may have some more; Postfix sends
// both. What is longer is no request that anybody has an answer to.
const maxRequest = 10_000

// maxReply caps a reply; it is Postfix's own limit (socketmap_table(5)).
const maxReply = 100_000

// maxDigits is how many digits maxRequest has.
const maxDigits = 5

// errNetstring is what a peer gets its connection closed for.
var errNetstring = errors.New("not a netstring")

// readNetstring reads "5:hello," and returns "hello" in buf, which it may grow. The end of the stream in front of one is
// io.EOF, inside one io.ErrUnexpectedEOF.
func readNetstring(r *bufio.Reader, buf []byte) ([]byte, error) {
	return readNetstringOf(r, buf, maxRequest)
}

// readNetstringOf reads one of at most so many bytes.
func readNetstringOf(r *bufio.Reader, buf []byte, most int) ([]byte, error) {
	n, err := readLength(r, most)
	if err != nil {
		return nil, err
	}
	if cap(buf) < n+1 {
		buf = make([]byte, n+1)
	}
	buf = buf[:n+1]
	if _, err := io.ReadFull(r, buf); err != nil {
		return nil, unexpected(err)
	}
	if buf[n] != ',' {
		return nil, fmt.Errorf("%w: %q after %d bytes, where a comma belongs", errNetstring, buf[n], n)
	}
	return buf[:n], nil
}

// readLength reads decimal digits, without a leading zero, up to the colon.
func readLength(r *bufio.Reader, most int) (int, error) {
	n, digits := 0, len(strconv.Itoa(most))
	for i := 0; ; i++ {
		c, err := r.ReadByte()
		switch {
		case err != nil && i == 0:
			return 0, err
		case err != nil:
			return 0, unexpected(err)
		case c == ':' && i > 0:
			if n > most {
				return 0, fmt.Errorf("%w of at most %d bytes: %d announced", errNetstring, most, n)
			}
			return n, nil
		case c < '0' || c > '9' || i > 0 && n == 0 || i == digits:
			return 0, fmt.Errorf("%w: byte %q in its length", errNetstring, c)
		}
		n = 10*n + int(c-'0')
	}
}

func unexpected(err error) error {
	if err == io.EOF {
		return io.ErrUnexpectedEOF
	}
	return err
}

// holdsNetstring reports whether a whole netstring is in r's buffer, so that reading it waits for nobody.
func holdsNetstring(r *bufio.Reader) bool {
	here, err := r.Peek(r.Buffered())
	digits, rest, ok := bytes.Cut(here, []byte(":"))
	n, errLength := strconv.Atoi(string(digits[:min(len(digits), maxDigits+1)]))
	return err == nil && ok && errLength == nil && len(rest) > n
}

// appendNetstring appends s as a netstring.
func appendNetstring(b []byte, s string) []byte {
	b = strconv.AppendInt(b, int64(len(s)), 10)
	b = append(append(append(b, ':'), s...), ',')
	return b
}
