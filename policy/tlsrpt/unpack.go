package tlsrpt

import (
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
)

// ratioFrom is the size of JSON from which on Limits.Ratio holds: small reports may pack any way.
const ratioFrom = 256 << 10

// maxMembers is how many gzip members are one document: each costs more to begin than the twenty bytes that it may have.
const maxMembers = 16

// Unpack returns the JSON of a document that is gzip (RFC 1952) or JSON already, whatever its label said: by its first bytes.
// Bytes behind the gzip trailer are left out with a note, a further gzip member is taken in. Errors wrap ErrLimit or ErrFormat.
// JSON that is not packed is returned as it is, without a copy.
func Unpack(data []byte, limits Limits) (json []byte, notes []Note, err error) {
	if len(data) > limits.Compressed {
		return nil, nil, fmt.Errorf("%w: more than %d bytes", ErrLimit, limits.Compressed)
	}
	// Gateways put line ends around attachments that they decode and encode again.
	if trimmed := bytes.TrimLeft(data, "\r\n\t "); bytes.HasPrefix(trimmed, []byte{0x1f, 0x8b}) {
		return gunzip(trimmed, limits)
	}
	if len(data) > limits.Size {
		return nil, nil, fmt.Errorf("%w: more than %d bytes", ErrLimit, limits.Size)
	}
	return data, nil, nil
}

func gunzip(data []byte, limits Limits) ([]byte, []Note, error) {
	most := min(limits.Size, max(ratioFrom, len(data)*limits.Ratio))
	source := bytes.NewReader(data)
	unzip, err := gzip.NewReader(source)
	if err != nil {
		return nil, nil, fmt.Errorf("%w: the gzip header is damaged", ErrFormat)
	}
	var out bytes.Buffer
	trailer := func(format string, args ...any) ([]byte, []Note, error) {
		return out.Bytes(), []Note{{Code: NoteTrailer, Text: fmt.Sprintf(format, args...)}}, nil
	}
	for member := 1; ; member++ {
		unzip.Multistream(false)
		whole := out.Len()
		_, err := io.Copy(&out, io.LimitReader(unzip, int64(most-whole+1)))
		switch {
		case out.Len() > most:
			return nil, nil, fmt.Errorf("%w: %d bytes of gzip hold more than %d bytes", ErrLimit, len(data), most)
		case err == nil && source.Len() == 0:
			return out.Bytes(), nil, nil
		case err != nil && member > 1:
			out.Truncate(whole)
			return trailer("a further gzip member is damaged; it was left out")
		case errors.Is(err, io.ErrUnexpectedEOF): // a report in it may still be whole, if only the trailer is cut
			return trailer("the gzip data stop before their end")
		case err != nil:
			return nil, nil, fmt.Errorf("%w: the gzip data are damaged", ErrFormat)
		case member == maxMembers:
			return nil, nil, fmt.Errorf("%w: gzip of more than %d members", ErrLimit, maxMembers)
		}
		left := source.Len()
		if err := unzip.Reset(source); err != nil { // at the end of a member: another header, or something else
			return trailer("%d bytes after the end of the gzip data were left out", left)
		}
	}
}
