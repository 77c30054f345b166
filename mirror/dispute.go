package mirror

import (
	"context"
	"errors"
	"fmt"
	"math"

	"golang.org/x/mod/sumdb/tlog"

	"github.com/starttls-everywhere/policylist/transparency"
)

// errTooMuch stops the reading of entries that have more bytes than anybody needs to know what they do to the list.
var errTooMuch = errors.New("the log's entries are too large to read")

// deltaBytes bounds the entries of a delta, which wait in memory for their root: a thief of the log key could fill
// each of them up to 65,535 bytes. A larger delta costs more than the list.
func deltaBytes(listSize int64) int64 { return 16<<20 + max(0, min(listSize, MaxListBytes)) }

// disputeBytes bounds the log that is read to settle a dispute: some years of a list's life, and room for rubbish.
func disputeBytes(listSize int64) int64 {
	return 4*deltaBytes(0) + 16*max(0, min(listSize, MaxListBytes))
}

// dispute decides between the held release and the candidate, which contradicts it by its number, its time, or what
// it continues, although its log continues the held tree. A client that took a list as a snapshot, or extended one,
// did not see whether its release was valid: the next valid one may have the same number. So the log is read from its
// first entry, which is the definition of a valid release. If it says that the held release never was one and the
// candidate is, the candidate is taken, and the number and times of the held one count no more: the candidate stands
// behind it in the same log, so nobody goes back. In every other case the error is why.
func (c *candidate) dispute(ctx context.Context, r Reader, h *held, why error) error {
	if h.release.Origin != c.Leaf.Origin || errors.Is(why, errLagging) || string(c.Raw) == h.Leaf {
		return why
	}
	if err := checkConsistent(ctx, r, h, c.checkpoint); err != nil {
		var fork *ForkError
		if errors.As(err, &fork) {
			return fork
		}
		return why
	}
	replay := NewReplay(h.chain, nil).Of(c.Leaf.Origin)
	rng, heldValid := transparency.CompactRange{}, false
	err := eachBundle(ctx, r, 0, c.checkpoint.Tree.N, disputeBytes(c.Leaf.ListSize), func(entries [][]byte) {
		for _, e := range entries {
			rng = rng.Append(tlog.RecordHash(e))
			if valid := replay.Add(e); valid != nil && valid.Index == h.Index {
				heldValid = true
			}
		}
	})
	switch {
	case err != nil:
		return fmt.Errorf("%w; the log could not be read to find out whether the held release is valid: %w", why, err)
	case rng.Tree() != c.checkpoint.Tree:
		return fmt.Errorf("%w; the log's entries do not lead to the checkpoint's root", why)
	case heldValid || replay.Last() == nil || replay.Last().Index != c.Index:
		return why
	}
	c.Release, c.rng, c.method, c.healed = replay.Last(), rng, "delta", true
	alarms, more := replay.Alarms()
	c.alarms, c.more = nil, more
	for _, a := range alarms {
		if a.Index >= h.Index { // the held release itself, and what came after it
			c.alarms = append(c.alarms, a)
		}
	}
	return nil
}

// ReadEntries reads the log entries [from, to) from their bundles. Where a partial bundle is gone, the full one
// that replaced it serves. The result is unverified: compare the root that the entries give with a checkpoint's. Errors are the
// Reader's, or wrap transparency.ErrBundle.
func ReadEntries(ctx context.Context, r Reader, from, to int64) ([][]byte, error) {
	return readEntries(ctx, r, from, to, math.MaxInt64)
}

func readEntries(ctx context.Context, r Reader, from, to, budget int64) ([][]byte, error) {
	var all [][]byte // grows with what is read: the log key alone could sign any size
	err := eachBundle(ctx, r, from, to, budget, func(entries [][]byte) { all = append(all, entries...) })
	if err != nil {
		return nil, err
	}
	return all, nil
}

// eachBundle reads the entries [from, to) and passes them on, a bundle's at a time. It stops with errTooMuch where
// they have more than budget bytes together.
func eachBundle(ctx context.Context, r Reader, from, to, budget int64, take func([][]byte)) error {
	for n := from / transparency.TileWidth; n*transparency.TileWidth < to; n++ {
		first := n * transparency.TileWidth
		width := int(min(to-first, transparency.TileWidth))
		data, width, err := readTile(ctx, r, tlog.Tile{H: transparency.TileHeight, L: -1, N: n, W: width}, transparency.MaxBundleBytes)
		if err != nil {
			return err
		}
		if budget -= int64(len(data)); budget < 0 {
			return errTooMuch
		}
		bundle, err := transparency.ParseBundle(data, width)
		if err != nil {
			return fmt.Errorf("entry bundle %d: %w", n, err)
		}
		take(bundle[max(from-first, 0):min(to-first, int64(width))])
	}
	return nil
}
