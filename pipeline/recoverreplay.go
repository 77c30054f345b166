package pipeline

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"golang.org/x/mod/sumdb/tlog"
	"golang.org/x/sync/errgroup"

	"github.com/starttls-everywhere/policylist/mirror"
	"github.com/starttls-everywhere/policylist/transparency"
)

// bundlesAtOnce is how many entry bundles are fetched at a time. One may have 16 MiB.
const bundlesAtOnce = 16

// recovered is a valid release of the log, to be put into the outbox.
type recovered struct {
	meta meta
	leaf *mirror.ReleaseLeaf
	raw  []byte
	end  int64  // entries of the log up to and with its leaf
	list []byte // policy.json; nil but for the newest published one and those behind
}

// player takes entries in their order into the rules and into the staged log.
type player struct {
	*recovery
	rules *mirror.Replay
	tree  transparency.CompactRange
	since [][]byte // entries since the last release
	start int64    // index of the first of them
	tail  bool     // they come behind the signed tree
}

// replay builds the staged log up to the target. Each bundle is taken from the first mirror that has the one which the
// signed root vouches for: no mirror needs to be whole, and none can bring in anything else.
func (r *recovery) replay(ctx context.Context) error {
	log, err := r.o.Open(r.logPath())
	if err != nil {
		return fmt.Errorf("log: %w", err)
	}
	defer log.Close()
	p := &player{recovery: r, rules: mirror.NewReplay(r.Trust, nil).Of(r.target.Origin)}
	total := int((r.target.Tree.N + transparency.TileWidth - 1) / transparency.TileWidth)
	for n := 0; n < total; n += bundlesAtOnce {
		entries, err := r.fetchBundles(ctx, n, min(n+bundlesAtOnce, total))
		if err != nil {
			return err
		}
		if err := p.take(ctx, log, entries); err != nil {
			return err
		}
		if r.o.Progress != nil {
			r.o.Progress("entries", min(n+bundlesAtOnce, total), total)
		}
	}
	if got := p.tree.Tree(); got != r.target.Tree || log.Tree() != got {
		return fmt.Errorf("%w: its root is %v, the signed one %v", ErrIncomplete, got.Hash, r.target.Tree.Hash)
	}
	return p.finish()
}

// take plays entries and appends them to the log.
func (p *player) take(ctx context.Context, log Log, entries [][]byte) error {
	at := p.tree.Size()
	for _, e := range entries {
		p.tree = p.tree.Append(tlog.RecordHash(e))
		p.since = append(p.since, e)
		rel := p.rules.Add(e)
		if rel == nil {
			continue
		}
		if err := p.release(rel); err != nil {
			return err
		}
	}
	if _, err := log.Append(ctx, at, entries); err != nil {
		return fmt.Errorf("log: %w", err)
	}
	return nil
}

// release notes a valid release and its entries, which begin with its changes: what stands before them has no effect.
func (p *player) release(rel *mirror.Release) error {
	end := rel.Index + 1
	if rel.Leaf.From < p.start {
		return fmt.Errorf("%w: release %d claims the entry %d, which belongs to the release before", ErrTail, rel.Leaf.Release, rel.Leaf.From)
	}
	entries := p.since[rel.Leaf.From-p.start:]
	m := &recovered{leaf: rel.Leaf, raw: rel.Raw, end: end}
	m.meta = meta{Release: rel.Leaf.Release, Start: rel.Leaf.From, Count: len(entries), Recovered: true, Files: map[string]string{}}
	var data []byte
	for _, e := range entries {
		var err error
		if data, err = transparency.AppendEntry(data, e); err != nil {
			return err
		}
	}
	if err := p.stage(m, outEntries, data); err != nil {
		return err
	}
	p.made = append(p.made, m)
	p.ends[end] = p.tree.Tree()
	p.last, p.since, p.start = rel, nil, end
	if !p.tail {
		return nil // only the last list is needed
	}
	p.out.Unpublished = append(p.out.Unpublished, rel.Leaf.Release)
	return p.keepList(rel)
}

// finish looks at what the signed log ends in.
func (p *player) finish() error {
	alarms, more := p.rules.Alarms()
	for _, a := range alarms {
		p.out.NoEffect = append(p.out.NoEffect, a.String())
	}
	if more > 0 {
		p.out.NoEffect = append(p.out.NoEffect, fmt.Sprintf("%d more log entries without effect", more))
	}
	first := p.Trust.Versions()[0].Version
	switch {
	case p.last == nil && first > 1:
		return fmt.Errorf("%w: no release of the log is valid by versions %d and later; put the earlier ones back, which every mirror has under trust/", ErrTrustOld, first)
	case p.last == nil:
		return fmt.Errorf("%w: it has none at all%s", ErrTail, firstAlarm(alarms))
	case p.last.Index+1 != p.target.Tree.N && !p.out.Earlier:
		// Only a thief of the log key signs such a tree; what he wants next is that somebody goes on with it.
		return fmt.Errorf("%w: the last one, release %d, ends at entry %d of %d%s", ErrTail, p.last.Leaf.Release, p.last.Index+1, p.target.Tree.N, firstAlarm(alarms))
	}
	p.out.Release, p.out.Timestamp, p.out.Expires = p.last.Leaf.Release, p.last.Leaf.Timestamp, p.last.Leaf.Expires
	p.out.Releases, p.out.Count = len(p.made), p.last.Leaf.Count
	return p.keepList(p.last)
}

func firstAlarm(alarms []mirror.Alarm) string {
	if len(alarms) == 0 {
		return ""
	}
	return "; " + alarms[len(alarms)-1].String()
}

// keepList sets the bytes of the list that the newest release publishes.
func (r *recovery) keepList(rel *mirror.Release) error {
	data, err := rel.List.Bytes(rel.Leaf.Header())
	r.made[len(r.made)-1].list = data
	return err
}

// fetchBundles returns the entries of bundles [from, to) of the target's tree.
func (r *recovery) fetchBundles(ctx context.Context, from, to int) ([][]byte, error) {
	found := make([][][]byte, to-from)
	g, gctx := errgroup.WithContext(ctx)
	for n := from; n < to; n++ {
		g.Go(func() (err error) {
			found[n-from], err = r.fetchBundle(gctx, int64(n))
			return err
		})
	}
	if err := g.Wait(); err != nil {
		return nil, err
	}
	return slices.Concat(found...), nil
}

// fetchBundle tries every mirror for the bundle whose hashes are in the signed tree.
func (r *recovery) fetchBundle(ctx context.Context, n int64) ([][]byte, error) {
	first, size := n*transparency.TileWidth, r.target.Tree.N
	tile := tlog.Tile{H: transparency.TileHeight, N: n, W: int(min(size-first, transparency.TileWidth))}
	want, err := r.provenTile(ctx, tile)
	if err != nil {
		return nil, err
	}
	var errs []error
	for _, m := range r.group {
		entries, err := mirror.ReadEntries(ctx, m.reader, first, first+int64(tile.W))
		if err == nil && string(hashesOf(entries)) == string(want) {
			return entries, nil
		}
		if err == nil {
			err = errors.New("its entries are not those that were signed")
		}
		errs = append(errs, fmt.Errorf("mirror %s: %w", m.Name, err))
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
	}
	return nil, fmt.Errorf("%w: entries %d to %d: %w", ErrIncomplete, first, first+int64(tile.W)-1, errors.Join(errs...))
}

// provenTile is the tile over a bundle, which some mirror can show to be in the signed tree.
func (r *recovery) provenTile(ctx context.Context, t tlog.Tile) ([]byte, error) {
	var errs []error
	for _, m := range r.group {
		data, err := tlog.ReadTileData(t, tlog.TileHashReader(r.target.Tree, mirror.NewTileReader(ctx, m.reader)))
		if err == nil {
			return data, nil
		}
		errs = append(errs, fmt.Errorf("mirror %s: %w", m.Name, err))
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
	}
	return nil, fmt.Errorf("%w: %s: %w", ErrIncomplete, transparency.TilePath(t), errors.Join(errs...))
}

func hashesOf(entries [][]byte) []byte {
	var out []byte
	for _, e := range entries {
		out = transparency.AppendHashes(out, tlog.RecordHash(e))
	}
	return out
}
