package mirror

import (
	"context"
	"errors"
	"io/fs"
	"iter"
)

// ErrConflict is returned by Store.Create when the path holds other bytes than those given: two histories, or a damaged
// store. The caller stops and tells. A store that swaps objects returns it when somebody else was first.
var ErrConflict = errors.New("the object holds other bytes")

// ErrTooLarge is returned by Reader.Get when the object is longer than the limit.
var ErrTooLarge = errors.New("object is longer than its limit")

// Reader reads the objects of a mirror. Implementations are safe for concurrent use.
type Reader interface {
	// Get returns the identity bytes (content encodings removed) of the object at path. It reads and decodes at
	// most limit bytes, and wraps ErrTooLarge beyond that. An absent object wraps fs.ErrNotExist (HTTP 403, 404
	// and 410 alike). Any other error means "unknown".
	Get(ctx context.Context, path string, limit int64) ([]byte, error)
}

// Headers are what a mirror says about an object besides its bytes; "" where it says nothing.
type Headers struct {
	ContentType  string
	CacheControl string
}

// HeaderReader is a Reader of a mirror whose objects have headers, which are part of the format: see NewObject.
type HeaderReader interface {
	Reader

	// GetHeaders is Get, with what the same answer said.
	GetHeaders(ctx context.Context, path string, limit int64) ([]byte, Headers, error)
}

// Store is a mirror that can be written. Paths are relative and slash-separated. Nobody but the publisher or the
// mirror tool writes to it; the lock and the journal see to that, never the store.
type Store interface {
	Reader

	// Put writes or replaces a mutable object. Durable on return; a reader sees the old or the new bytes.
	Put(ctx context.Context, o Object) error

	// Create writes an immutable object and reads it back. The same identity bytes already there are success;
	// other bytes wrap ErrConflict and stay. Durable on return; a reader never sees half of it.
	Create(ctx context.Context, o Object) error

	// List yields the paths below prefix ("" for all), in bytewise order. After an error the iteration ends.
	List(ctx context.Context, prefix string) iter.Seq2[string, error]

	// Delete removes the object at path; an absent one is success.
	Delete(ctx context.Context, path string) error
}

// Batcher is a Store to which many objects are written at once: where each write waits for a disk, one by one they take
// ten times as long.
type Batcher interface {
	Store

	// Batch begins an empty batch. Its owner ends it with Commit, as often as there is something, and with Discard.
	Batch() Batch
}

// Batch collects changes that are no release's own, so that their order matters to nobody: the pages of a site. It is safe
// for concurrent use; Commit and Discard come when nothing else is going on.
type Batch interface {
	// Put writes an object that takes its place with Commit.
	Put(ctx context.Context, o Object) error

	// Delete removes the object at path with Commit; an absent one is success.
	Delete(ctx context.Context, path string) error

	// Commit makes what was collected visible, object by object, each old or new and never a part of it, also after a
	// crash. All is durable on return. After an error any part of it may be done.
	Commit(ctx context.Context) error

	// Discard forgets what is not committed.
	Discard()
}

// Object is one file of a mirror together with the headers that are part of the format.
type Object struct {
	Path         string
	Data         []byte // identity bytes
	Gzip         []byte // the same, gzip-encoded; nil where the format has no encoded form. Stores with headers send this form
	ContentType  string
	CacheControl string
}

// IsAbsent reports whether err says that an object does not exist.
func IsAbsent(err error) bool { return errors.Is(err, fs.ErrNotExist) }
