package mirror

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"golang.org/x/mod/sumdb/tlog"

	"github.com/starttls-everywhere/policylist/policy"
	"github.com/starttls-everywhere/policylist/transparency"
)

// errLagging marks a mirror that serves an older, consistent state: not an attack, ask another.
var errLagging = errors.New("the mirror lags behind")

// maxTrustRun is how many trust leaves may stand between a release's changes and its leaf. The release keys sign where
// the changes end; so the log key alone cannot move a genuine leaf to the end of an invented tree.
const maxTrustRun = 64

// maxFuture is how far a release's timestamp may lie after its quorum time.
const maxFuture = time.Hour

// growth limits on the snapshot path, where the new leaves are not read: a log-key thief who signs an invented size
// of 2^40 must not make every honest checkpoint look old.
const maxGrowth = 10_000_000

// held is what the client has before it asks a mirror. Nothing in it changes during the update but the chain, which
// only grows.
type held struct {
	*state
	chain *transparency.TrustChain
	list  func() (policy.List, error) // reads and checks the held list
	now   time.Time                   // by the local clock
	pin   *pinned                     // an earlier list that is in force instead of the held one; nil for none
}

// any reports whether there is a list.
func (h *held) any() bool { return h.pin != nil || h.release != nil }

// inForce reads the list in force.
func (h *held) inForce() (policy.List, error) {
	if h.pin != nil {
		return h.pin.list()
	}
	return h.list()
}

// candidate is a verified newer state, or the same state confirmed.
type candidate struct {
	*Release
	method     string // "none", "delta" or "snapshot"
	checkpoint transparency.Cosigned
	pointer    []byte // the proof file, its checkpoint reduced to verified lines
	quorum     time.Time
	rng        transparency.CompactRange
	alarms     []Alarm
	more       int  // alarms beyond those
	healed     bool // the held release turned out never to have been valid: see dispute
}

// ForkError is two signed checkpoints of one log that cannot both be prefixes of one history.
type ForkError struct{ Evidence Evidence }

func (e *ForkError) Error() string {
	return fmt.Sprintf("two signed checkpoints of %s contradict each other", e.Evidence.Origin)
}

// fetch asks one mirror, whose pointer is data, for something newer than h. It verifies everything and changes nothing
// on disk. The result is nil when the mirror is good but has nothing newer than best, another mirror's.
func fetch(ctx context.Context, r Reader, data []byte, h *held, best *candidate, method Method) (*candidate, error) {
	p, err := openPointer(data, h.chain)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", PointerPath, err)
	}
	c := &candidate{Release: &Release{Leaf: p.leaf, Raw: p.raw, Index: p.proof.Index}, method: "none", checkpoint: p.checkpoint, quorum: p.quorum}
	p.proof.Checkpoint = p.checkpoint.Note
	c.pointer = p.proof.Format()
	if h.release != nil {
		done, err := compare(h, p, c)
		if done || err != nil {
			return c, err
		}
		if err := h.checkLater(p.leaf); err != nil {
			if err = c.dispute(ctx, r, h, err); err != nil {
				return nil, err
			}
			return c, nil
		}
	}
	if p.leaf.Release < h.Highest {
		return nil, fmt.Errorf("%w: release %d, this client has seen %d", errLagging, p.leaf.Release, h.Highest)
	}
	if best != nil && p.leaf.Release <= best.Leaf.Release {
		return nil, nil
	}
	if err := c.obtain(ctx, r, h, p, method); err != nil {
		return nil, err
	}
	return c, nil
}

// compare sets the new pointer against the held state; done means that they are the same.
func compare(h *held, p *pointer, c *candidate) (done bool, err error) {
	old, new := h.rng.Tree(), p.checkpoint.Tree
	switch {
	case h.release.Origin != p.leaf.Origin: // the new log's tree says nothing about the old one's
	case new.N < old.N:
		return false, fmt.Errorf("%w: its log has %d entries, this client has seen %d", errLagging, new.N, old.N)
	case new.N == old.N && new != old:
		return false, newFork(p.leaf.Origin, h.Checkpoint, string(p.checkpoint.Note), nil, nil)
	case new.N == old.N:
		c.rng = h.rng
		return true, nil
	}
	return false, nil
}

// checkLater verifies what holds of every later release, in this log or in its successor. A release that was dated
// into the future, as a thief of all keys can where no witness tells the time, does not keep a successor out.
func (h *held) checkLater(next *ReleaseLeaf) error {
	r := h.release
	later := next.Timestamp.After(r.Timestamp) || next.Origin != r.Origin && r.Timestamp.After(h.now.Add(maxFuture))
	switch {
	case next.Release <= r.Release || !later:
		return fmt.Errorf("its log ends in release %d of %s, not later than release %d of %s",
			next.Release, next.Timestamp.Format(time.RFC3339), r.Release, r.Timestamp.Format(time.RFC3339))
	case next.Trust < r.Trust:
		return fmt.Errorf("%w: release %d names trust version %d, release %d version %d", errLagging, next.Release, next.Trust, r.Release, r.Trust)
	}
	return nil
}

// checkUnread verifies what a replay would notice as far as that is possible without reading the leaves between.
func (h *held) checkUnread(next *ReleaseLeaf, tree tlog.Tree) error {
	switch {
	case next.Release-h.release.Release > tree.N-h.rng.Size():
		return fmt.Errorf("release %d after release %d: there are %d entries for the releases between", next.Release, h.release.Release, tree.N-h.rng.Size())
	case next.From < h.rng.Size():
		return fmt.Errorf("release %d claims the change at %d, which is older than release %d", next.Release, next.From, h.release.Release)
	case next.Release == h.release.Release+1 && *next.Previous != sum([]byte(h.Leaf)):
		return fmt.Errorf("release %d does not name release %d as the one before", next.Release, h.release.Release)
	}
	return nil
}

// findFork returns a ForkError when the candidate's tree is larger than the held one and contradicts it, else nil.
func (c *candidate) findFork(ctx context.Context, r Reader, h *held) error {
	var fork *ForkError
	if h.release.Origin == c.Leaf.Origin && errors.As(checkConsistent(ctx, r, h, c.checkpoint), &fork) {
		return fork
	}
	return nil
}

// obtain gets the new list by delta where that is possible and cheap, else as a snapshot. Who asks for a snapshot reads
// the entries all the same where they are few and there: what replay calls invalid is refused on both paths.
func (c *candidate) obtain(ctx context.Context, r Reader, h *held, p *pointer, method Method) error {
	canDelta := h.release != nil && h.release.Origin == p.leaf.Origin
	few := canDelta && p.checkpoint.Tree.N-h.rng.Size() <= deltaLimit(h.release.Count)
	if method == Delta && !canDelta {
		return errors.New("a delta needs a held list of the same log")
	}
	if method == Delta || few {
		d := *c
		err := d.delta(ctx, r, h)
		var fork *ForkError
		switch {
		case err == nil && method != Snapshot:
			*c = d
			return nil
		case errors.Is(err, errInvalid):
			return c.dispute(ctx, r, h, err)
		case err != nil && method == Delta || errors.As(err, &fork):
			return err
		}
		// Entries that do not fit or are missing: this mirror may still have the whole list.
	}
	return c.snapshot(ctx, r, h, p)
}

// deltaLimit is how many new entries are cheaper to read than the list: about as many bytes, compressed alike.
func deltaLimit(count int64) int64 { return 512 + count/2 }

// errInvalid marks a log whose newest release leaf is not a valid release. No path around it may accept it.
var errInvalid = errors.New("the newest release leaf is not a valid release")

// delta reads the entries since the held size, checks that they lead from the held tree to the checkpoint's, and
// replays them on a copy.
func (c *candidate) delta(ctx context.Context, r Reader, h *held) error {
	list, err := h.list()
	if err != nil {
		return err
	}
	entries, err := readEntries(ctx, r, h.rng.Size(), c.checkpoint.Tree.N, deltaBytes(h.release.ListSize))
	if err != nil {
		return err
	}
	rng := h.rng.Clone()
	for _, e := range entries {
		rng = rng.Append(tlog.RecordHash(e))
	}
	if rng.Tree() != c.checkpoint.Tree {
		// Wrong entries, or another history? The tiles tell, since the checkpoint vouches for them.
		bad := fmt.Errorf("the entries %d to %d do not lead to the checkpoint's root", h.rng.Size(), c.checkpoint.Tree.N)
		return cmp.Or(c.findFork(ctx, r, h), bad)
	}
	replay := NewReplay(h.chain, &Release{Leaf: h.release, Raw: []byte(h.Leaf), Index: h.Index, List: list})
	for _, e := range entries {
		replay.Add(e)
	}
	c.alarms, c.more = replay.Alarms()
	last := replay.Last()
	if last.Index != c.Index {
		return fmt.Errorf("%w: %w", errInvalid, c.alarms[len(c.alarms)-1].Err)
	}
	c.Release, c.rng, c.method = last, rng, "delta"
	return nil
}

// readTile reads a tile or bundle, the full one where the partial is absent, and returns the width it has.
func readTile(ctx context.Context, r Reader, t tlog.Tile, limit int64) ([]byte, int, error) {
	data, err := r.Get(ctx, transparency.TilePath(t), limit)
	if IsAbsent(err) && t.W < transparency.TileWidth {
		t.W = transparency.TileWidth
		data, err = r.Get(ctx, transparency.TilePath(t), limit)
	}
	return data, t.W, err
}

// snapshot reads the whole list by its digest and, when a tree is held, a consistency proof from tiles.
func (c *candidate) snapshot(ctx context.Context, r Reader, h *held, p *pointer) error {
	c.method = "snapshot"
	if h.release != nil && h.release.Origin == p.leaf.Origin {
		if grown, limit := c.checkpoint.Tree.N-h.rng.Size(), max(maxGrowth, h.rng.Size()); grown > limit {
			return fmt.Errorf("the log grew by %d entries, more than %d: refused without reading them", grown, limit)
		}
		if err := checkConsistent(ctx, r, h, c.checkpoint); err != nil {
			return err
		}
		if err := h.checkUnread(p.leaf, c.checkpoint.Tree); err != nil {
			return c.dispute(ctx, r, h, err)
		}
	}
	var err error
	if c.rng, err = transparency.RangeFromLastLeaf(p.proof, tlog.RecordHash(p.raw)); err != nil {
		return err
	}
	like := policy.List{}
	if h.release != nil {
		// A list that cannot be read is no reason against the one that replaces it.
		like, _ = h.list()
	}
	header, list, err := readSnapshot(ctx, r, p.leaf, like)
	if err != nil {
		return err
	}
	if header != p.leaf.Header() || int64(list.Len()) != p.leaf.Count {
		return fmt.Errorf("the list of release %d says other times, author or count than its leaf", p.leaf.Release)
	}
	c.List = list
	return nil
}

// readPacked reads list/<digest>.zst.
func readPacked(ctx context.Context, r Reader, leaf *ReleaseLeaf) (packed []byte, path string, err error) {
	if leaf.ListSize > MaxListBytes {
		return nil, "", fmt.Errorf("release %d: a list of %d bytes, the most is %d", leaf.Release, leaf.ListSize, int64(MaxListBytes))
	}
	path = BlobPath(leaf.ListDigest)
	packed, err = r.Get(ctx, path, packedLimit(leaf.ListSize))
	return packed, path, err
}

// readSnapshot reads the list of a release beside one that is held. It is decoded as it is decompressed, which the signed
// size bounds, so that its file is never in memory; the digest is known at the end.
func readSnapshot(ctx context.Context, r Reader, leaf *ReleaseLeaf, like policy.List) (policy.Header, policy.List, error) {
	packed, path, err := readPacked(ctx, r, leaf)
	if err != nil {
		return policy.Header{}, policy.List{}, err
	}
	z, err := newUnzstd(packed)
	if err != nil {
		return policy.Header{}, policy.List{}, fmt.Errorf("%s: %w", path, err)
	}
	defer z.Close()
	in := &io.LimitedReader{R: z, N: leaf.ListSize + 1}
	header, list, err := readList(in, leaf.ListDigest, like)
	if in.N <= 0 {
		err = fmt.Errorf("%w of %d bytes", ErrTooLarge, leaf.ListSize)
	}
	if err != nil {
		return header, policy.List{}, fmt.Errorf("%s: %w", path, err)
	}
	return header, list, nil
}

// readBlob reads and decompresses the list of a release.
func readBlob(ctx context.Context, r Reader, leaf *ReleaseLeaf) ([]byte, error) {
	packed, path, err := readPacked(ctx, r, leaf)
	if err != nil {
		return nil, err
	}
	data, err := Unzstd(packed, leaf.ListSize)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	if int64(len(data)) != leaf.ListSize || sum(data) != leaf.ListDigest {
		return nil, fmt.Errorf("%s: %w", path, errOtherDigest)
	}
	return data, nil
}

// checkConsistent shows from tiles, verified against the new root, that the held tree is a prefix of the new one.
// Where it is not, both signed checkpoints together are the evidence.
func checkConsistent(ctx context.Context, r Reader, h *held, c transparency.Cosigned) error {
	return CheckConsistent(ctx, r, h.rng.Tree(), h.Checkpoint, c)
}

// CheckConsistent is nil when old, the tree of the signed note oldNote, is a prefix of c's, whose tiles r has. It is a
// *ForkError when it is none; any other error means that the tiles did not tell.
func CheckConsistent(ctx context.Context, r Reader, old tlog.Tree, oldNote string, c transparency.Cosigned) error {
	if old.N == c.Tree.N && old.Hash != c.Tree.Hash {
		return newFork(c.Origin, oldNote, string(c.Note), nil, nil)
	}
	hashes := tlog.TileHashReader(c.Tree, &TileReader{ctx, r})
	got, err := tlog.TreeHash(old.N, hashes)
	if err != nil {
		return fmt.Errorf("consistency with the held tree of %d: %w", old.N, err)
	}
	if got == old.Hash {
		return nil
	}
	proof, err := tlog.ProveTree(c.Tree.N, old.N, hashes)
	if err != nil {
		return err
	}
	return newFork(c.Origin, oldNote, string(c.Note), proof, &got)
}

// TileReader reads a mirror's hash tiles for tlog.TileHashReader, which verifies them.
type TileReader struct {
	ctx context.Context
	r   Reader
}

// NewTileReader reads tiles of r until ctx ends.
func NewTileReader(ctx context.Context, r Reader) *TileReader { return &TileReader{ctx, r} }

// Height implements tlog.TileReader.
func (t *TileReader) Height() int { return transparency.TileHeight }

// ReadTiles implements tlog.TileReader.
func (t *TileReader) ReadTiles(tiles []tlog.Tile) ([][]byte, error) {
	out := make([][]byte, len(tiles))
	for i, tile := range tiles {
		data, width, err := readTile(t.ctx, t.r, tile, transparency.MaxTileBytes)
		if err != nil {
			return nil, err
		}
		if len(data) != width*tlog.HashSize {
			return nil, fmt.Errorf("%s: %d bytes, %d belong there", transparency.TilePath(tile), len(data), width*tlog.HashSize)
		}
		out[i] = data[:tile.W*tlog.HashSize]
	}
	return out, nil
}

// SaveTiles implements tlog.TileReader; nothing is cached.
func (t *TileReader) SaveTiles([]tlog.Tile, [][]byte) {}
