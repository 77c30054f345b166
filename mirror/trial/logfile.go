package trial

import (
	"compress/gzip"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/starttls-everywhere/policylist/mirror/durable"
	"github.com/starttls-everywhere/policylist/policy/mta/maillog"
)

const (
	// headBytes is how much of a log's beginning tells it from others.
	headBytes = 1024
	// warmBytes is how much of what was read before is read again, for TLS sessions whose deliveries come after.
	warmBytes = 256 << 10
	// maxRead bounds one reading; of a log that has grown more the end is read.
	maxRead = 256 << 20
	// maxRotated bounds the search for what a log is called now.
	maxRotated = 64
)

// Position is how far a log was read. Its inode and its beginning tell whether the file of the name is still the one.
type Position struct {
	Path   string `json:"path"`
	Inode  uint64 `json:"inode"`
	Offset int64  `json:"offset"` // behind a line's end
	Head   string `json:"head"`   // SHA-256 of the first HeadLen bytes, hex
	Length int64  `json:"head_bytes"`
}

// Reading says what one reading of the log found.
type Reading struct {
	maillog.Summary
	Rotated bool `json:"rotated,omitempty"` // the rest of the log before was read, too
	Gap     bool `json:"gap,omitempty"`     // some of it could not be found, or was too much
}

// Read counts what the log at path has more than at the last time, also when it was rotated since, by renaming or by
// copying and truncating, and compressed. now has the location of the log's times. On an error nothing has changed.
func (t *Tally) Read(path string, now time.Time, listed Listed) (r Reading, err error) {
	f, err := durable.Open(path)
	if err != nil {
		return r, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return r, err
	}
	next := *t
	c, linker, seen := next.begin(now, listed), new(maillog.Linker), int64(0)
	walk := func(part io.Reader, count bool) error {
		var s maillog.Summary
		err := maillog.Walk(part, linker, &s, func(a maillog.Attempt) error {
			if count {
				c.take(a)
			}
			return nil
		})
		if seen += s.Connections; count {
			r.add(s)
		}
		return err
	}
	start, at := int64(0), t.Position
	switch {
	case at.Path != path:
	case at.is(f, info):
		start = at.Offset
	default:
		r.Rotated = at.Offset > 0
		if err := at.rest(walk); err != nil {
			r.Gap = true
		}
	}
	if rest := info.Size() - start; rest > maxRead {
		start, r.Gap = info.Size()-maxRead, true
	}
	end, err := lastLine(f, start, info.Size())
	if err != nil {
		return Reading{}, err
	}
	warm := max(0, start-warmBytes)
	if err := walk(io.NewSectionReader(f, warm, start-warm), false); err != nil {
		return Reading{}, err
	}
	if err := walk(io.NewSectionReader(f, start, end-start), true); err != nil {
		return Reading{}, err
	}
	if next.Position, err = positionOf(path, f, info, end); err != nil {
		return Reading{}, err
	}
	c.end(seen)
	*t = next
	return r, nil
}

func (r *Reading) add(s maillog.Summary) {
	r.Lines += s.Lines
	r.TooLong += s.TooLong
	r.Connections += s.Connections
	r.Attempts += s.Attempts
	if r.First == "" {
		r.First = s.First
	}
	if s.Last != "" {
		r.Last = s.Last
	}
}

func positionOf(path string, f *os.File, info os.FileInfo, offset int64) (Position, error) {
	p := Position{Path: path, Inode: inode(info), Offset: offset, Length: min(offset, headBytes)}
	var err error
	p.Head, err = head(io.NewSectionReader(f, 0, p.Length), p.Length)
	return p, err
}

func head(r io.Reader, length int64) (string, error) {
	h := sha256.New()
	if n, err := io.Copy(h, io.LimitReader(r, length)); err != nil || n < length {
		return "", errors.Join(err, io.ErrUnexpectedEOF)
	}
	return fmt.Sprintf("%x", h.Sum(nil)), nil
}

func inode(info os.FileInfo) uint64 {
	if s, ok := info.Sys().(*syscall.Stat_t); ok {
		return s.Ino
	}
	return 0
}

// is reports whether f is the log of the position: an inode is soon given to another file, so its beginning counts as well.
func (p Position) is(f *os.File, info os.FileInfo) bool {
	if inode(info) != p.Inode || info.Size() < p.Offset {
		return false
	}
	got, err := head(io.NewSectionReader(f, 0, p.Length), p.Length)
	return err == nil && got == p.Head
}

// rest reads what the log of the position has behind it, whatever it is called now.
func (p Position) rest(walk func(part io.Reader, count bool) error) error {
	if p.Length == 0 {
		return nil
	}
	var names []string
	for _, pattern := range []string{".*", "-*"} {
		found, err := filepath.Glob(escapeGlob(p.Path) + pattern)
		if err != nil {
			return err
		}
		names = append(names, found...)
	}
	for _, name := range names[:min(len(names), maxRotated)] {
		if found, err := p.restOf(name, walk); found {
			return err
		}
	}
	return fmt.Errorf("what %s was before is not found", p.Path)
}

// restOf reads the rest of the file at path if its beginning is the log's: that of a renamed one, or of a copy.
func (p Position) restOf(path string, walk func(part io.Reader, count bool) error) (found bool, err error) {
	open := func() (io.ReadCloser, error) {
		f, err := durable.Open(path)
		if err != nil || !strings.HasSuffix(path, ".gz") {
			return f, err
		}
		z, err := gzip.NewReader(f)
		if err != nil {
			f.Close()
			return nil, err
		}
		return struct {
			io.Reader
			io.Closer
		}{z, f}, nil
	}
	f, err := open()
	if err != nil {
		return false, nil
	}
	got, err := head(f, p.Length)
	if f.Close(); err != nil || got != p.Head {
		return false, nil
	}
	if f, err = open(); err != nil {
		return true, err
	}
	defer f.Close()
	warm := max(0, p.Offset-warmBytes)
	if _, err := io.CopyN(io.Discard, f, warm); err != nil {
		return true, err
	}
	if err := walk(io.LimitReader(f, p.Offset-warm), false); err != nil {
		return true, err
	}
	return true, walk(io.LimitReader(f, maxRead), true)
}

func escapeGlob(s string) string {
	return strings.NewReplacer(`\`, `\\`, `*`, `\*`, `?`, `\?`, `[`, `\[`).Replace(s)
}

// lastLine returns the offset behind the last line's end between start and size; start where there is none. What follows is
// being written.
func lastLine(f *os.File, start, size int64) (int64, error) {
	buf := make([]byte, 64<<10)
	for end := size; end > start; {
		from := max(start, end-int64(len(buf)))
		part := buf[:end-from]
		if _, err := f.ReadAt(part, from); err != nil {
			return 0, err
		}
		if i := strings.LastIndexByte(string(part), '\n'); i >= 0 {
			return from + int64(i) + 1, nil
		}
		end = from
	}
	return start, nil
}
