package tlsrpt

import (
	"bufio"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strings"
	"time"

	"go.etcd.io/bbolt"

	"github.com/starttls-everywhere/policylist/mirror/durable"
	"github.com/starttls-everywhere/policylist/policy/tlsrpt"
)

// rawKey is the key in bucketMeta of how many bytes of a day's file count. What lies behind them was written by a process
// that ended before its transaction.
const rawKey = "raw/"

// transaction is a transaction of the store and what it adds to the day's documents.
type transaction struct {
	*bbolt.Tx
	store *Store
	now   time.Time
	taken int64 // bytes that the store's files take
	lines []byte
}

func (s *Store) begin(tx *bbolt.Tx) (*transaction, error) {
	t := &transaction{Tx: tx, store: s, now: s.opts.Now().UTC(), taken: used(tx)}
	c := tx.Bucket(bucketMeta).Cursor()
	for k, v := c.Seek([]byte(rawKey)); k != nil && strings.HasPrefix(string(k), rawKey); k, v = c.Next() {
		n, err := rawSize(v)
		if err != nil {
			return nil, err
		}
		t.taken += n
	}
	return t, nil
}

// used is what the data take of their file. That never shrinks: pages that Prune has freed are there for what comes.
func used(tx *bbolt.Tx) int64 {
	return tx.Size() - int64(tx.DB().Stats().FreePageN)*int64(tx.DB().Info().PageSize)
}

func rawSize(value []byte) (int64, error) {
	if value == nil {
		return 0, nil
	}
	if len(value) != 8 {
		return 0, fmt.Errorf("%w: a size of %d bytes", ErrDamaged, len(value))
	}
	return int64(binary.BigEndian.Uint64(value)), nil
}

// keep adds a line to the day's documents; false when the store is full.
func (t *transaction) keep(line []byte) bool {
	if t.taken+int64(len(line))+1 > t.store.opts.Space {
		return false
	}
	t.taken += int64(len(line)) + 1
	t.lines = append(append(t.lines, line...), '\n')
	return true
}

// finish puts the lines on disk before the transaction says that they count.
func (t *transaction) finish() error {
	if len(t.lines) == 0 {
		return nil
	}
	day := tlsrpt.DayOf(t.now).String()
	key := []byte(rawKey + day)
	meta := t.Bucket(bucketMeta)
	size, err := rawSize(meta.Get(key))
	if err != nil {
		return err
	}
	if size, err = appendAt(t.store.path(rawName, day+".jsonl"), size, t.lines); err != nil {
		return err
	}
	return meta.Put(key, binary.BigEndian.AppendUint64(nil, uint64(size)))
}

// appendAt writes data behind the first size bytes of a file, durably, and returns how long it is then. A file that somebody
// has cut begins at its end.
func appendAt(path string, size int64, data []byte) (int64, error) {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE, 0o600)
	if err != nil {
		return 0, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return 0, err
	}
	size = min(size, info.Size())
	if err := f.Truncate(size); err != nil {
		return 0, err
	}
	if _, err := f.WriteAt(data, size); err != nil {
		return 0, err
	}
	if err := f.Sync(); err != nil {
		return 0, err
	}
	if info.Size() == 0 {
		return size + int64(len(data)), durable.SyncDir(path[:strings.LastIndexByte(path, '/')])
	}
	return size + int64(len(data)), nil
}

// Size returns the bytes that the store's files take, and how many they may take.
func (s *Store) Size(ctx context.Context) (taken, space int64, err error) {
	err = s.view(ctx, func(tx *bbolt.Tx) error {
		t, err := s.begin(tx)
		if err == nil {
			taken = t.taken
		}
		return err
	})
	return taken, s.opts.Space, err
}

// Lines calls yield with each document that came on a day, as a line of canonical JSON (README.md) without its end, in the
// order in which they came. The line is yield's only until it returns. Nothing for a day that is gone.
func (s *Store) Lines(ctx context.Context, day tlsrpt.Day, yield func(line []byte) error) error {
	var size int64
	err := s.view(ctx, func(tx *bbolt.Tx) (err error) {
		size, err = rawSize(tx.Bucket(bucketMeta).Get([]byte(rawKey + day.String())))
		return err
	})
	if err != nil || size == 0 {
		return err
	}
	f, err := durable.Open(s.path(rawName, day.String()+".jsonl"))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return storeError(err)
	}
	defer f.Close()
	in := bufio.NewReaderSize(io.LimitReader(f, size), 64<<10)
	for {
		line, err := readLine(in)
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("%s: %w", f.Name(), err)
		}
		if err := yield(line); err != nil {
			return err
		}
	}
}

// readLine returns io.EOF at the end, and no part of a line.
func readLine(in *bufio.Reader) ([]byte, error) {
	line, err := in.ReadBytes('\n')
	if len(line) > maxLine {
		return nil, fmt.Errorf("%w: a line of %d bytes", ErrDamaged, len(line))
	}
	if err != nil {
		return nil, err
	}
	return line[:len(line)-1], nil
}

// maxLine is a document of the largest size in Base64 (policy/tlsrpt.Limits.Compressed) and what stands around it.
const maxLine = 8 << 20
