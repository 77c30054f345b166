package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/starttls-everywhere/policylist/mirror/durable"
)

// rendering writes the text of a table, as often as it is asked the same: a million lines are never in memory as a whole.
type rendering func(w io.Writer) error

// literal is a rendering of text that is short.
func literal(text []byte) rendering {
	return func(w io.Writer) error {
		_, err := w.Write(text)
		return err
	}
}

// isIn reports whether the file at path has this text and nothing else. Errors are about rendering or reading; one that is not
// there is among them. Tables of two releases differ in their first lines, so that it is soon told.
func (r rendering) isIn(path string) (bool, error) {
	return isAsFilled(path, 0, func(w io.WriteSeeker) error { return r(w) })
}

// replace puts the text in the place of the file at path, whose folder it makes. Unless all of it was written, the old file
// stays.
func (r rendering) replace(path string) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	return durable.Write(path, 0o644, func(w io.WriteSeeker) error { return r(w) })
}

// errOther stops a comparison at the first difference.
var errOther = errors.New("other content")

// isAsFilled reports whether the file at path has what fill writes, which may come back to its first head bytes.
func isAsFilled(path string, head int, fill func(io.WriteSeeker) error) (bool, error) {
	f, err := durable.Open(path)
	if err != nil {
		return false, err
	}
	defer f.Close()
	c := comparedFile{want: f, head: make([]byte, head)}
	switch err := fill(&c); {
	case errors.Is(err, errOther):
		return false, nil
	case err != nil:
		return false, err
	}
	return c.same()
}

// comparedFile takes what a file has already, and nothing else. Of its head the last that was written counts.
type comparedFile struct {
	want    *os.File
	head    []byte
	buf     []byte
	at, end int64
}

func (c *comparedFile) Write(p []byte) (int, error) {
	rest := p
	if c.at < int64(len(c.head)) {
		n := copy(c.head[c.at:], rest)
		c.at, rest = c.at+int64(n), rest[n:]
	}
	if len(c.buf) < len(rest) {
		c.buf = make([]byte, len(rest))
	}
	held := c.buf[:len(rest)]
	if n, _ := c.want.ReadAt(held, c.at); n < len(rest) || !bytes.Equal(held, rest) {
		return 0, errOther
	}
	c.at += int64(len(rest))
	c.end = max(c.end, c.at)
	return len(p), nil
}

// Seek implements io.Seeker.
func (c *comparedFile) Seek(offset int64, whence int) (int64, error) {
	switch whence {
	case io.SeekCurrent:
		offset += c.at
	case io.SeekEnd:
		offset += c.end
	}
	if offset < 0 || offset > c.end {
		return 0, fmt.Errorf("offset %d is outside of %d bytes", offset, c.end)
	}
	c.at = offset
	return offset, nil
}

// same is asked when all was written.
func (c *comparedFile) same() (bool, error) {
	info, err := c.want.Stat()
	if err != nil || info.Size() != c.end {
		return false, err
	}
	written := c.head[:min(int64(len(c.head)), c.end)]
	held := make([]byte, len(written))
	if _, err := c.want.ReadAt(held, 0); err != nil && !errors.Is(err, io.EOF) {
		return false, err
	}
	return bytes.Equal(held, written), nil
}
