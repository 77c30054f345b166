package tlsrpt

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime/debug"
	"syscall"
	"time"

	"go.etcd.io/bbolt"

	"github.com/starttls-everywhere/policylist/mirror/durable"
)

// The files of a store's folder. All are its owner's alone.
const (
	dataName   = "tlsrpt.db" // bbolt: all but what stands below
	lockName   = "lock"      // held by who has dataName open
	turnName   = "turn"      // held by who comes next
	secretName = "secret"    // makes the tokens; back it up
	monthsName = "months"    // one secret a month, for pseudonyms
	rawName    = "raw"       // one file a day: the documents as they came
)

// The buckets of dataName; README.md says what is in them.
var (
	bucketMeta          = []byte("meta")
	bucketDomains       = []byte("domains")
	bucketSeen          = []byte("seen")
	bucketTallies       = []byte("tallies")
	bucketContributions = []byte("contributions")
	bucketCounts        = []byte("counts")
	buckets             = [][]byte{bucketMeta, bucketDomains, bucketSeen, bucketTallies, bucketContributions, bucketCounts}
)

// format is the version of the store's layout, under formatKey of bucketMeta.
var (
	formatKey = []byte("format")
	format    = []byte("2") // 1 had contributions that were not packed
)

// leastData is the size of a store in which there is nothing: bbolt begins with four pages.
const leastData = 4 << 12

// lockPause is how long a process sleeps between two tries to lock a file. A transaction takes some milliseconds.
const lockPause = 2 * time.Millisecond

// Options of a store. The zero value is usable.
type Options struct {
	Space int64         // bytes that all files may take together; 0 means 2 GiB
	Wait  time.Duration // how long to wait for another process; 0 means 10 s
	Now   func() time.Time
}

// Store keeps enrolments, documents and tallies in a folder. It holds no lock but within a call, so that a server, an MTA's
// pipes and whoever looks share one folder, also from several processes. What writes is durable on return. Safe for
// concurrent use.
type Store struct {
	dir    string
	opts   Options
	secret []byte
	turn   chan struct{} // one place: of this process, one waits at the files
	queue  queue
	owner  int // user id of the folder's owner
}

// Open makes the folder's files where there are none; its parent must exist.
func Open(dir string, opts Options) (*Store, error) {
	if opts.Space == 0 {
		opts.Space = 2 << 30
	}
	if opts.Wait == 0 {
		opts.Wait = 10 * time.Second
	}
	if opts.Now == nil {
		opts.Now = time.Now
	}
	s := &Store{dir: dir, opts: opts, turn: make(chan struct{}, 1)}
	for _, folder := range []string{dir, s.path(monthsName), s.path(rawName)} {
		if err := os.Mkdir(folder, 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
			return nil, storeError(err)
		}
	}
	info, err := os.Stat(dir)
	if err != nil {
		return nil, storeError(err)
	}
	s.owner = os.Geteuid()
	if sys, ok := info.Sys().(*syscall.Stat_t); ok {
		s.owner = int(sys.Uid)
	}
	// The secret comes before the data: data without it have lost it, and another would void the URIs in everybody's DNS.
	_, missing := os.Lstat(s.path(dataName))
	s.secret, err = readSecret(s.path(secretName), s.writable() == nil && missing != nil)
	if errors.Is(err, fs.ErrNotExist) && missing == nil {
		err = fmt.Errorf("%w: there is no %s", ErrDamaged, s.path(secretName))
	}
	if err != nil {
		return nil, storeError(err)
	}
	if s.writable() != nil {
		return s, nil
	}
	return s, storeError(s.makeData())
}

// makeData makes the data where there is none. It gets its name when it is whole: what a kill leaves of a half-made file
// would be a damaged store.
func (s *Store) makeData() error {
	if _, err := os.Lstat(s.path(dataName)); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	fresh := s.path(dataName) + ".new-" + rand.Text()
	defer os.Remove(fresh)
	db, err := bbolt.Open(fresh, 0o600, nil)
	if err != nil {
		return err
	}
	if err := errors.Join(db.Update(prepare), db.Close()); err != nil {
		return err
	}
	if err := os.Link(fresh, s.path(dataName)); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	return durable.SyncDir(s.dir)
}

// OpenExisting is Open for who only looks: it makes nothing.
func OpenExisting(dir string, opts Options) (*Store, error) {
	if _, err := os.Stat(filepath.Join(dir, dataName)); err != nil {
		return nil, storeError(err)
	}
	return Open(dir, opts)
}

func (s *Store) path(elem ...string) string {
	return filepath.Join(append([]string{s.dir}, elem...)...)
}

// writable is nil for the folder's owner. What root made in it, the owner could never write again.
func (s *Store) writable() error {
	if s.owner == os.Geteuid() {
		return nil
	}
	return fmt.Errorf("%w: %s is of the user with the id %d, and this one has %d", ErrDenied, s.dir, s.owner, os.Geteuid())
}

// update runs fn in a transaction that writes; it is on disk when update returns nil, and not there at all otherwise.
func (s *Store) update(ctx context.Context, fn func(*bbolt.Tx) error) error {
	if err := s.writable(); err != nil {
		return err
	}
	return s.open(ctx, false, func(db *bbolt.DB) error {
		return db.Update(func(tx *bbolt.Tx) error {
			if err := prepare(tx); err != nil {
				return err
			}
			return fn(tx)
		})
	})
}

// prepare makes the buckets of a new store.
func prepare(tx *bbolt.Tx) error {
	for _, name := range buckets {
		if _, err := tx.CreateBucketIfNotExists(name); err != nil {
			return err
		}
	}
	meta := tx.Bucket(bucketMeta)
	if meta.Get(formatKey) == nil {
		return meta.Put(formatKey, format)
	}
	return checkFormat(tx)
}

func checkFormat(tx *bbolt.Tx) error {
	if found := tx.Bucket(bucketMeta).Get(formatKey); string(found) != string(format) {
		return fmt.Errorf("%w: its format is %q, and this program knows %q", ErrDamaged, found, format)
	}
	return nil
}

// view runs fn in a transaction that reads. Everybody else waits: fn takes what it needs and returns.
func (s *Store) view(ctx context.Context, fn func(*bbolt.Tx) error) error {
	return s.open(ctx, true, func(db *bbolt.DB) error {
		return db.View(func(tx *bbolt.Tx) error {
			for _, name := range buckets {
				if tx.Bucket(name) == nil {
					return fmt.Errorf("%w: it has no %s", ErrDamaged, name)
				}
			}
			if err := checkFormat(tx); err != nil {
				return err
			}
			return fn(tx)
		})
	})
}

// open gives fn the data for the length of a call.
func (s *Store) open(ctx context.Context, readOnly bool, fn func(*bbolt.DB) error) (err error) {
	done, err := s.lock(ctx)
	if err != nil {
		return err
	}
	defer done()
	// A page that a failing disk spoiled makes bbolt panic, and one behind the end of a file that was cut is a fault: an
	// answer to this caller, not the end of a server.
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	var file *os.File
	defer func() {
		if r := recover(); r != nil {
			// What bbolt has mapped stays, and would keep the lock with it.
			syscall.Flock(int(file.Fd()), syscall.LOCK_UN)
			file.Close()
			err = fmt.Errorf("%w: %s: %v", ErrDamaged, s.path(dataName), r)
		}
	}()
	db, err := bbolt.Open(s.path(dataName), 0o600, &bbolt.Options{
		ReadOnly: readOnly, PreLoadFreelist: true, Timeout: s.opts.Wait, FreelistType: bbolt.FreelistMapType,
		OpenFile: func(path string, flag int, mode os.FileMode) (_ *os.File, err error) {
			// bbolt would make of no file, or an empty one, a store without anybody in it.
			if file, err = os.OpenFile(path, flag&^os.O_CREATE, mode); err != nil {
				return nil, err
			}
			if info, err := file.Stat(); err != nil || info.Size() < leastData {
				return file, errors.Join(fmt.Errorf("%w: it is cut", ErrDamaged), err, file.Close())
			}
			return file, nil
		},
	})
	if err != nil {
		return storeError(fmt.Errorf("%s: %w", s.path(dataName), err))
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	return storeError(fn(db))
}

// lock takes the data for this process alone, and waits Options.Wait for it. bbolt has a lock of its own, for which it would
// sleep 50 ms at a time; so that one is always free. Whoever waits holds the turn: a process that writes without end comes
// after him each time.
func (s *Store) lock(ctx context.Context) (done func(), err error) {
	ctx, cancel := context.WithTimeout(ctx, s.opts.Wait)
	defer cancel()
	select {
	case s.turn <- struct{}{}:
		defer func() { <-s.turn }()
	case <-ctx.Done():
		return nil, fmt.Errorf("%w: %w", ErrBusy, context.Cause(ctx))
	}
	next, err := s.await(ctx, turnName)
	if err != nil {
		return nil, err
	}
	defer next()
	return s.await(ctx, lockName)
}

// await locks a file of the store.
func (s *Store) await(ctx context.Context, name string) (unlock func(), err error) {
	for {
		unlock, err := durable.Lock(s.path(name))
		if err == nil || !errors.Is(err, durable.ErrLocked) {
			return unlock, storeError(err)
		}
		select {
		case <-time.After(lockPause):
		case <-ctx.Done():
			return nil, fmt.Errorf("%w: %w", ErrBusy, err)
		}
	}
}
