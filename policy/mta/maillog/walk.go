package maillog

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
)

// maxLine is the longest line that is read, in bytes. Postfix writes 2000 at most, syslog of RFC 5424 about as many;
// journald 48 KiB. What is longer is passed over.
const maxLine = 64 << 10

// ErrFormat means that a file is no text and no gzip.
var ErrFormat = errors.New("neither text nor gzip")

// Summary counts what a walk has seen.
type Summary struct {
	Lines       int64  `json:"lines"`
	TooLong     int64  `json:"too_long,omitempty"` // passed over
	Connections int64  `json:"tls_connections"`    // lines about TLS sessions of smtp(8)
	Attempts    int64  `json:"deliveries"`
	First       string `json:"first,omitempty"` // time of the first and the last attempt, as the log has them
	Last        string `json:"last,omitempty"`
}

// Walk reads a log to its end and calls each with every attempt, until that returns an error. Text and gzip are told
// apart by their first bytes. Memory does not grow with the log. Lines of several logs may be linked over their borders
// by giving the same Linker and Summary to several walks; both may be nil.
func Walk(r io.Reader, l *Linker, s *Summary, each func(Attempt) error) error {
	if l == nil {
		l = new(Linker)
	}
	if s == nil {
		s = new(Summary)
	}
	lines, err := open(r)
	if err != nil {
		return err
	}
	for {
		text, err := nextLine(lines, s)
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		a, ok := s.take(text, l)
		if !ok {
			continue
		}
		if err := each(a); err != nil {
			return err
		}
	}
}

func (s *Summary) take(text []byte, l *Linker) (a Attempt, ok bool) {
	if !bytes.Contains(text, []byte("/smtp[")) { // by far the most
		return Attempt{}, false
	}
	line, ok := ParseLine(string(text))
	if !ok {
		return Attempt{}, false
	}
	if _, is := line.Event.(Connection); is {
		s.Connections++
	}
	a, ok = l.Event(line)
	if !ok {
		return Attempt{}, false
	}
	s.Attempts++
	if s.First == "" {
		s.First = a.Stamp
	}
	s.Last = a.Stamp
	return a, true
}

// open looks at the first bytes. Formats that we cannot read would look like logs without deliveries.
func open(r io.Reader) (*bufio.Reader, error) {
	b := bufio.NewReaderSize(r, maxLine)
	head, _ := b.Peek(8)
	switch {
	case bytes.HasPrefix(head, []byte{0x1f, 0x8b}):
		z, err := gzip.NewReader(b)
		if err != nil {
			return nil, err
		}
		return bufio.NewReaderSize(z, maxLine), nil
	case bytes.HasPrefix(head, []byte("\xfd7zXZ\x00")), bytes.HasPrefix(head, []byte("\x28\xb5\x2f\xfd")),
		bytes.HasPrefix(head, []byte("BZh")), bytes.HasPrefix(head, []byte("LPKSHHRH")):
		return nil, fmt.Errorf("%w: it begins with %q", ErrFormat, head[:3])
	}
	return b, nil
}

// nextLine returns the next line that is short enough. It holds until the next call.
func nextLine(b *bufio.Reader, s *Summary) ([]byte, error) {
	for {
		text, err := b.ReadSlice('\n')
		if err == nil || errors.Is(err, io.EOF) && len(text) > 0 {
			s.Lines++
			return text, nil
		}
		if !errors.Is(err, bufio.ErrBufferFull) {
			return nil, err
		}
		for errors.Is(err, bufio.ErrBufferFull) {
			_, err = b.ReadSlice('\n')
		}
		s.Lines++
		s.TooLong++
		if err != nil {
			return nil, err
		}
	}
}
