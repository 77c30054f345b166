package mirror

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"

	"golang.org/x/mod/sumdb/tlog"

	"github.com/starttls-everywhere/policylist/transparency"
)

// sourceReader reads the mirror that is copied from. It counts requests, tells "it lacks what it must have" from "it
// cannot be reached", and keeps the few tiles that prove all others: those above the leaves and those at the tree's
// right edge. What it keeps is as unverified as what it reads.
type sourceReader struct {
	r        Reader
	requests atomic.Int64

	mu   sync.Mutex
	kept map[string][]byte
}

// maxKept bounds what is kept, in tiles: the proving tiles of 65,536 * 4,096 entries.
const maxKept = 4096

func newSourceReader(r Reader) *sourceReader { return &sourceReader{r: r, kept: map[string][]byte{}} }

// Get implements Reader. Errors wrap ErrSource or ErrUnreachable.
func (s *sourceReader) Get(ctx context.Context, path string, limit int64) ([]byte, error) {
	keep := proves(path)
	if keep {
		s.mu.Lock()
		data, ok := s.kept[path]
		s.mu.Unlock()
		if ok {
			return data, nil
		}
	}
	s.requests.Add(1)
	data, err := s.r.Get(ctx, path, limit)
	switch {
	case IsAbsent(err) || errors.Is(err, ErrTooLarge):
		return nil, fmt.Errorf("%w: %w", ErrSource, err)
	case err != nil:
		return nil, fmt.Errorf("%w: %w", ErrUnreachable, err)
	}
	if keep {
		s.mu.Lock()
		if len(s.kept) < maxKept {
			s.kept[path] = data
		}
		s.mu.Unlock()
	}
	return data, nil
}

// proves reports whether path is a tile or bundle that several others need.
func proves(path string) bool {
	t, err := transparency.ParseTilePath(path)
	return err == nil && (t.L > 0 || t.W < transparency.TileWidth)
}

// storeCounter counts the requests that a run makes at the mirror that is copied to.
type storeCounter struct {
	Store
	requests atomic.Int64
}

func (s *storeCounter) Get(ctx context.Context, path string, limit int64) ([]byte, error) {
	s.requests.Add(1)
	return s.Store.Get(ctx, path, limit)
}

func (s *storeCounter) Put(ctx context.Context, o Object) error {
	s.requests.Add(1)
	return s.Store.Put(ctx, o)
}

func (s *storeCounter) Create(ctx context.Context, o Object) error {
	s.requests.Add(1)
	return s.Store.Create(ctx, o)
}

func (s *storeCounter) Delete(ctx context.Context, path string) error {
	s.requests.Add(1)
	return s.Store.Delete(ctx, path)
}

// verifiedLog gives out parts of a log that are proved against one root.
type verifiedLog struct {
	src    Reader
	tree   tlog.Tree
	hashes tlog.HashReader
}

func newVerifiedLog(ctx context.Context, src Reader, tree tlog.Tree) *verifiedLog {
	return &verifiedLog{src, tree, tlog.TileHashReader(tree, NewTileReader(ctx, src))}
}

// edge returns the widest form that t, or the bundle over it, has in the tree.
func (l *verifiedLog) edge(t tlog.Tile) tlog.Tile {
	level := max(t.L, 0)
	t.W = int(min(l.tree.N>>(level*transparency.TileHeight)-t.N<<transparency.TileHeight, transparency.TileWidth))
	return t
}

// tile returns the proved hashes that tile t holds, or that stand for the entries of bundle t.
func (l *verifiedLog) tile(t tlog.Tile) ([]byte, error) {
	t.L = max(t.L, 0)
	data, err := tlog.ReadTileData(t, l.hashes)
	return data, asSource(err)
}

// check compares the hashes of tile t, or of the entries of bundle t, with the tree. A full tile is compared with the
// one hash that stands for it in its parent, so that checking it needs nothing below that parent. An error that wraps
// neither ErrSource nor ErrUnreachable is about the hashes given.
func (l *verifiedLog) check(t tlog.Tile, hashes []tlog.Hash) error {
	if len(hashes) != t.W {
		return fmt.Errorf("%d hashes where %d belong", len(hashes), t.W)
	}
	level := max(t.L, 0)
	if t.W == transparency.TileWidth {
		want, err := l.hashes.ReadHashes([]int64{tlog.StoredHashIndex((level+1)*transparency.TileHeight, t.N)})
		if err != nil {
			return asSource(err)
		}
		if transparency.SubtreeRoot(hashes) != want[0] {
			return errors.New("its hashes are not those of the signed tree")
		}
		return nil
	}
	want, err := l.tile(t)
	if err != nil {
		return err
	}
	if string(transparency.AppendHashes(nil, hashes...)) != string(want) {
		return errors.New("its hashes are not those of the signed tree")
	}
	return nil
}

// asSource makes an error the source's fault where nothing said otherwise yet.
func asSource(err error) error {
	if err == nil || errors.Is(err, ErrSource) || errors.Is(err, ErrUnreachable) ||
		errors.Is(err, ErrDestination) || errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return err
	}
	return fmt.Errorf("%w: %w", ErrSource, err)
}

// isBundle tells an entry bundle's path from a hash tile's.
func isBundle(path string) bool { return strings.HasPrefix(path, "tile/entries/") }
