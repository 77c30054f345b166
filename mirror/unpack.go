package mirror

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"slices"
	"sync"

	"github.com/klauspost/compress/zstd"
)

// Unzstd decompresses one zstd file (RFC 8878) to at most limit bytes, and wraps ErrTooLarge beyond that, whatever the file says
// of its size.
func Unzstd(packed []byte, limit int64) ([]byte, error) {
	z, err := newUnzstd(packed)
	if err != nil {
		return nil, err
	}
	defer z.Close()
	return ReadLimited(z, limit)
}

// newUnzstd decodes with bounded memory, on the caller's own thread.
func newUnzstd(packed []byte) (*zstd.Decoder, error) {
	return zstd.NewReader(bytes.NewReader(packed), zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxWindow(64<<20), zstd.WithDecoderLowmem(true))
}

// CheckPacked checks a zstd file by the SHA-256 of its content, of which it decompresses at most limit bytes.
func CheckPacked(packed []byte, limit int64, digest [32]byte) error {
	z, err := newUnzstd(packed)
	if err != nil {
		return err
	}
	defer z.Close()
	h := sha256.New()
	n, err := io.Copy(h, io.LimitReader(z, limit+1))
	switch got := h.Sum(nil); {
	case err != nil:
		return err
	case n > limit:
		return fmt.Errorf("%w of %d bytes", ErrTooLarge, limit)
	case !bytes.Equal(got, digest[:]):
		return fmt.Errorf("its content has the digest %x", got)
	}
	return nil
}

// Unpacker compares zstd files with what they should hold. It keeps its buffers from one file to the next: making them
// takes longer than decoding a list that repeats itself. The zero value is ready; safe for concurrent use.
type Unpacker struct{ idle sync.Pool }

// ErrOtherContent is what Compare wraps for a sound file of other content.
var ErrOtherContent = errors.New("other content")

// Compare decompresses a file, byte by byte beside want's pieces. It stops at the first byte that differs, so that no
// file makes it decompress more than want and one block.
func (u *Unpacker) Compare(packed []byte, want ...string) error {
	z, _ := u.idle.Get().(*zstd.Decoder)
	if z == nil {
		var err error
		if z, err = newUnzstd(packed); err != nil {
			return err
		}
	} else if err := z.Reset(bytes.NewReader(packed)); err != nil {
		return err
	}
	defer func() {
		if z.Reset(nil) == nil { // else it would hold the file in memory
			u.idle.Put(z)
		}
	}()
	c := comparison{rest: slices.Clone(want)}
	if _, err := z.WriteTo(&c); err != nil {
		return err
	}
	return c.end()
}

// comparison is an io.Writer that takes only certain bytes.
type comparison struct {
	rest []string
	done int64
}

func (c *comparison) Write(data []byte) (int, error) {
	n := 0
	for n < len(data) {
		if len(c.rest) == 0 {
			return n, fmt.Errorf("%w: more than %d bytes", ErrOtherContent, c.done)
		}
		same := min(len(c.rest[0]), len(data)-n)
		if c.rest[0][:same] != string(data[n:n+same]) { // the compiler copies nothing for a comparison
			return n, fmt.Errorf("%w in the %d bytes from %d", ErrOtherContent, same, c.done)
		}
		n, c.done = n+same, c.done+int64(same)
		if c.rest[0] = c.rest[0][same:]; len(c.rest[0]) == 0 {
			c.rest = c.rest[1:]
		}
	}
	return n, nil
}

func (c *comparison) end() error {
	for _, r := range c.rest {
		if len(r) > 0 {
			return fmt.Errorf("%w: only %d bytes", ErrOtherContent, c.done)
		}
	}
	return nil
}

// UnpackLines decompresses a zstd file of at most limit bytes, and gives its lines of at most longest bytes to take, without
// their newlines. What take was given counts only when nil is returned: the SHA-256 of the content is known at its end.
func UnpackLines(packed []byte, limit int64, digest [32]byte, longest int, take func(line []byte) error) error {
	z, err := newUnzstd(packed)
	if err != nil {
		return err
	}
	defer z.Close()
	h := sha256.New()
	s := bufio.NewScanner(io.TeeReader(io.LimitReader(z, limit), h)) // of a longer one the digest differs
	s.Buffer(nil, longest+1)
	for s.Scan() {
		if err := take(s.Bytes()); err != nil {
			return err
		}
	}
	if err := s.Err(); err != nil {
		return err
	}
	if got := h.Sum(nil); !bytes.Equal(got, digest[:]) {
		return fmt.Errorf("its content has the digest %x", got)
	}
	return nil
}
