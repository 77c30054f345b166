// Package dir keeps a mirror in a local folder: what a web server or rsync publishes, and what `starttls-list mirror`
// makes. Files hold identity bytes; gzip forms and headers are the web server's business and are ignored here.
//
// A file appears whole or not at all. Its bytes are written to .tmp/, fsynced, moved to their place (rename to replace,
// link to create), and the folder is fsynced before the call returns. What a crash leaves in .tmp/ is swept by the next
// Open that finds no other writer. So the folder and all below it must be one file system, and one that has hard links.
//
// Paths cannot leave the folder, not even through symbolic links: os.Root follows only those that stay inside. Links are
// read but not listed.
//
//	store, err := dir.Open("/srv/list")
//	err = store.Put(ctx, mirror.Object{Path: "checkpoint", Data: note})
package dir

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"

	"github.com/starttls-everywhere/policylist/mirror"
)

// tempDir is where files are written before they get their names. CheckPath refuses paths that begin like it.
const tempDir = ".tmp"

// Reader reads a mirror folder and never changes it.
type Reader struct {
	root *os.Root
}

var (
	_ mirror.Reader = (*Reader)(nil)
	_ mirror.Store  = (*Store)(nil)
)

// OpenReader opens an existing folder for reading.
func OpenReader(folder string) (*Reader, error) {
	root, err := os.OpenRoot(folder)
	if err != nil {
		return nil, fmt.Errorf("mirror folder: %w", err)
	}
	return &Reader{root: root}, nil
}

// Close releases the folder.
func (r *Reader) Close() error { return r.root.Close() }

// Get implements mirror.Reader. A folder at path counts as absent, as on a web server.
func (r *Reader) Get(ctx context.Context, path string, limit int64) ([]byte, error) {
	if err := check(ctx, path); err != nil {
		return nil, err
	}
	f, err := r.root.Open(filepath.FromSlash(path))
	if err != nil {
		return nil, fmt.Errorf("mirror folder: %w", absent(err))
	}
	defer f.Close()
	info, err := f.Stat()
	switch {
	case err != nil:
		return nil, fmt.Errorf("mirror folder: %w", err)
	case info.IsDir():
		return nil, fmt.Errorf("mirror folder: %s is a folder: %w", path, fs.ErrNotExist)
	case info.Size() > limit:
		return nil, fmt.Errorf("mirror folder: %s has %d bytes: %w of %d bytes", path, info.Size(),
			mirror.ErrTooLarge, limit)
	}
	data, err := mirror.ReadSized(f, limit, info.Size())
	if err != nil {
		return nil, fmt.Errorf("mirror folder: %s: %w", path, err)
	}
	return data, nil
}

func check(ctx context.Context, path string) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	return mirror.CheckPath(path)
}

// absent makes "a file stands where the path wants a folder" the same as "no such file".
func absent(err error) error {
	if errors.Is(err, syscall.ENOTDIR) {
		return fmt.Errorf("%w (%w)", fs.ErrNotExist, err)
	}
	return err
}
