package mirror

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
)

// Gunzip returns the identity bytes of one complete gzip member (RFC 1952). It decodes at most limit bytes and wraps
// ErrTooLarge beyond that, so that a bomb costs what an honest object costs. Anything behind the member, even a second
// member, is refused: two readers that disagree about trailing bytes would see two different objects.
func Gunzip(encoded []byte, limit int64) ([]byte, error) {
	// A reader that is an io.ByteReader is never read past the end of the member.
	src := bufio.NewReader(bytes.NewReader(encoded))
	zr, err := gzip.NewReader(src)
	if err != nil {
		return nil, fmt.Errorf("gzip header: %w", err)
	}
	zr.Multistream(false)
	data, err := ReadLimited(zr, limit)
	if err != nil {
		return nil, fmt.Errorf("gzip: %w", err)
	}
	if _, err := src.ReadByte(); !errors.Is(err, io.EOF) {
		return nil, errors.New("gzip: bytes follow the end of the member")
	}
	return data, nil
}

// ReadLimited reads r to its end and wraps ErrTooLarge when there are more than limit bytes.
func ReadLimited(r io.Reader, limit int64) ([]byte, error) { return ReadSized(r, limit, 0) }

// ReadSized is ReadLimited with room for size bytes from the start: a hint, which the caller does not take from strangers.
func ReadSized(r io.Reader, limit, size int64) ([]byte, error) {
	b := bytes.NewBuffer(make([]byte, 0, max(min(size, limit), 0)+bytes.MinRead))
	if _, err := b.ReadFrom(io.LimitReader(r, limit)); err != nil {
		return nil, err
	}
	data := b.Bytes()
	if int64(len(data)) < limit {
		return data, nil
	}
	// The one byte more also lets a decoder check what follows its data: gzip's checksum stands behind the last byte.
	var more [1]byte
	switch n, err := io.ReadFull(r, more[:]); {
	case n > 0 || limit < 0:
		return nil, fmt.Errorf("%w of %d bytes", ErrTooLarge, limit)
	case errors.Is(err, io.EOF):
		return data, nil
	default:
		return nil, err
	}
}
