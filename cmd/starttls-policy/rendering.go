package main

import (
	"bytes"
	"errors"
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

// errOtherText stops a comparison at the first difference. Tables of two releases differ in their first lines, so that it is
// soon over.
var errOtherText = errors.New("another text")

// isIn reports whether the file at path has this text and nothing else. Errors are about rendering or reading; a file that
// is not there has another text.
func (r rendering) isIn(path string) (bool, error) {
	f, err := durable.Open(path)
	if err != nil {
		return false, err
	}
	defer f.Close()
	c := comparedText{want: f}
	switch err := r(&c); {
	case errors.Is(err, errOtherText):
		return false, nil
	case err != nil:
		return false, err
	}
	n, err := io.ReadFull(f, make([]byte, 1))
	if n > 0 || !errors.Is(err, io.EOF) {
		return false, nil
	}
	return true, nil
}

// comparedText takes what want has.
type comparedText struct {
	want io.Reader
	buf  []byte
}

func (c *comparedText) Write(p []byte) (int, error) {
	if len(c.buf) < len(p) {
		c.buf = make([]byte, len(p))
	}
	held := c.buf[:len(p)]
	if _, err := io.ReadFull(c.want, held); err != nil || !bytes.Equal(held, p) {
		return 0, errOtherText
	}
	return len(p), nil
}

// replace puts the text in the place of the file at path, whose folder it makes. Unless all of it was written, the old file
// stays.
func (r rendering) replace(path string) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	return durable.Write(path, 0o644, r)
}
