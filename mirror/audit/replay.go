package audit

import (
	"bytes"
	"context"
	"errors"
	"fmt"

	"golang.org/x/mod/sumdb/tlog"
	"golang.org/x/sync/errgroup"

	"github.com/starttls-everywhere/policylist/mirror"
	"github.com/starttls-everywhere/policylist/transparency"
)

// bundle is up to 256 entries, with the tile over them as the mirror serves it.
type bundle struct {
	tile    tlog.Tile // of level 0
	data    []byte    // the entries' file, cut to the tile's width; nil when it is unusable, which is a finding already
	entries [][]byte
	leaves  []parsed    // the entries, read
	hashes  []tlog.Hash // of the entries
	served  []byte      // the tile, cut to its width; nil when it is unusable, which is a finding already
}

// parsed is what mirror.ParseLeaf says of an entry.
type parsed struct {
	leaf mirror.Leaf
	err  error
}

// replay reads the log from entry 0. Bundles are fetched ahead, parallel of them, and used in order.
func (r *run) replay(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	type result struct {
		b   *bundle
		err error
	}
	queue := make(chan chan result, parallel)
	go func() {
		defer close(queue)
		for n := int64(0); n*transparency.TileWidth < r.tree.N; n++ {
			slot := make(chan result, 1)
			select {
			case queue <- slot:
			case <-ctx.Done():
				return
			}
			go func() {
				b, err := r.fetchBundle(ctx, n)
				slot <- result{b, err}
			}()
		}
	}()
	p := newPlayer(ctx, r)
	total := int((r.tree.N + transparency.TileWidth - 1) / transparency.TileWidth)
	for slot := range queue {
		got := <-slot
		if got.err != nil {
			return got.err
		}
		if err := p.play(got.b); err != nil {
			return err
		}
		if p.lost {
			break
		}
		if r.Progress != nil {
			r.Progress("entries", int(got.b.tile.N)+1, total)
		}
	}
	return p.finish()
}

// fetchBundle reads entries and tile n. A partial one that is gone has been replaced by the full one.
func (r *run) fetchBundle(ctx context.Context, n int64) (*bundle, error) {
	b := &bundle{tile: tlog.Tile{H: transparency.TileHeight, N: n, W: int(min(r.tree.N-n*transparency.TileWidth, transparency.TileWidth))}}
	t := b.tile
	t.L = -1
	data, width, err := r.readWide(ctx, t, transparency.MaxBundleBytes, EntriesMissing, EntriesMismatch)
	if err != nil {
		return nil, err
	}
	if data != nil {
		entries, err := transparency.ParseBundle(data, width)
		if err != nil {
			r.find(EntriesMismatch, transparency.TilePath(t), err.Error())
		} else {
			b.parse(entries[:b.tile.W])
			b.data = data[:b.size()]
		}
	}
	data, width, err = r.readWide(ctx, b.tile, transparency.MaxTileBytes, TileMissing, TileMismatch)
	if err != nil {
		return nil, err
	}
	switch {
	case data == nil:
	case len(data) != width*tlog.HashSize:
		r.find(TileMismatch, transparency.TilePath(b.tile), fmt.Sprintf("%d bytes, %d belong there", len(data), width*tlog.HashSize))
	default:
		b.served = data[:b.tile.W*tlog.HashSize]
	}
	return b, nil
}

// parse hashes and reads the entries: here, since several bundles are fetched at once and only one is played.
func (b *bundle) parse(entries [][]byte) {
	b.entries = entries
	b.hashes, b.leaves = make([]tlog.Hash, len(entries)), make([]parsed, len(entries))
	for i, e := range entries {
		b.hashes[i] = recordHash(e)
		leaf, err := mirror.ParseLeaf(e)
		b.leaves[i] = parsed{leaf, err}
	}
}

// size is the length of the entries' file.
func (b *bundle) size() int {
	n := 0
	for _, e := range b.entries {
		n += 2 + len(e)
	}
	return n
}

// readWide reads a tile or bundle, the full one where the partial is absent, and returns the width it has.
func (r *run) readWide(ctx context.Context, t tlog.Tile, limit int64, missing, mismatch string) ([]byte, int, error) {
	path := transparency.TilePath(t)
	if t.W < transparency.TileWidth {
		data, ok, err := r.read(ctx, path, limit, "", mismatch)
		if err != nil || ok {
			return data, t.W, err
		}
		t.W = transparency.TileWidth
		full := transparency.TilePath(t)
		data, err = r.get(ctx, full, limit)
		switch {
		case err == nil:
			return data, t.W, nil
		case mirror.IsAbsent(err):
			r.find(missing, path, "")
			return nil, 0, nil
		case errors.Is(err, mirror.ErrTooLarge):
			r.find(mismatch, full, fmt.Sprintf("longer than %d bytes", limit))
			return nil, 0, nil
		}
		return nil, 0, fmt.Errorf("%w: %w", ErrUnreachable, err)
	}
	data, _, err := r.read(ctx, path, limit, missing, mismatch)
	return data, t.W, err
}

// player applies bundles in order.
type player struct {
	*run
	ctx     context.Context
	g       *errgroup.Group // compares tiles meanwhile
	rules   *mirror.Replay
	build   *rebuild
	proved  tlog.HashReader
	last    *bundle
	checked int64 // size whose partial tiles were compared
	lost    bool  // neither entries nor tile: the rest cannot be hashed
}

func newPlayer(ctx context.Context, r *run) *player {
	p := &player{run: r, rules: mirror.NewReplay(r.chain, nil).Of(r.report.Origin)}
	p.g, p.ctx = bounded(ctx)
	p.proved = tlog.TileHashReader(r.tree, mirror.NewTileReader(ctx, r.Mirror))
	p.build = &rebuild{full: func(t tlog.Tile, hashes []tlog.Hash) {
		if t.L > 0 { // those of level 0 come with their entries
			p.compare(t, transparency.AppendHashes(nil, hashes...), transparency.MaxTileBytes, TileMissing, TileMismatch)
		}
	}}
	return p
}

func (p *player) play(b *bundle) error {
	hashes := p.choose(b)
	if hashes == nil {
		p.broken, p.lost = true, true
		return nil
	}
	p.last = b
	offset := 0
	for i, h := range hashes {
		p.build.add(h)
		if p.broken {
			continue
		}
		entry := b.entries[i]
		offset += 2 + len(entry)
		if err := p.checkStart(b.leaves[i]); err != nil {
			return err
		}
		rel := p.rules.AddParsed(entry, b.leaves[i].leaf, b.leaves[i].err)
		if rel == nil {
			continue
		}
		if err := p.found(rel); err != nil {
			return err
		}
		p.comparePartial(b.data[:offset])
	}
	return nil
}

// found takes in a valid release. Its list and evidence are compared meanwhile if it is known already which are young.
func (p *player) found(rel *mirror.Release) error {
	p.releases, p.rebuilt = append(p.releases, released{rel.Leaf, rel.Raw, p.build.tree()}), rel
	if p.newest != nil {
		p.g.Go(func() error { return p.checkDated(p.ctx, rel.Leaf, rel) })
	}
	if p.Lists == nil {
		return nil
	}
	return p.Lists(rel)
}

// choose decides which leaf hashes to go on with. When entries and tile differ, the tile wins if it is in the signed
// tree; then the entries are wrong and nothing after them can be judged.
func (p *player) choose(b *bundle) []tlog.Hash {
	switch {
	case b.data == nil && b.served == nil:
		return nil
	case b.data == nil:
		return p.trustTile(b)
	case b.served == nil || bytes.Equal(b.served, transparency.AppendHashes(nil, b.hashes...)):
		return b.hashes
	}
	if data, err := tlog.ReadTileData(b.tile, p.proved); err != nil || !bytes.Equal(data, b.served) {
		p.find(TileMismatch, transparency.TilePath(b.tile), "")
		return b.hashes
	}
	t := b.tile
	t.L = -1
	p.find(EntriesMismatch, transparency.TilePath(t), "")
	return p.trustTile(b)
}

// trustTile goes on with the tile's hashes; what the entries say is unknown from here on.
func (p *player) trustTile(b *bundle) []tlog.Hash {
	p.broken = true
	hashes, _ := transparency.ParseHashes(b.served) // its length was checked
	return hashes
}

// checkStart makes sure that the auditor's trust reaches back to the first release.
func (p *player) checkStart(entry parsed) error {
	if p.Trust.Version == 1 || len(p.releases) > 0 {
		return nil
	}
	if leaf := entry.leaf.Release; entry.err == nil && leaf != nil && leaf.Trust < p.Trust.Version {
		return fmt.Errorf("%w: version %d, the auditor's is %d", ErrTrustTooNew, leaf.Trust, p.Trust.Version)
	}
	return nil
}

// comparePartial compares the partial tiles of a published size, and the partial bundle, whose bytes are given. They
// must be there until the full ones are; after that they may be.
func (p *player) comparePartial(entries []byte) {
	p.checked = p.build.size
	p.build.partial(func(t tlog.Tile, hashes []tlog.Hash) {
		gone := (t.N+1)<<transparency.TileHeight <= p.tree.N>>(t.L*transparency.TileHeight)
		if !gone || p.listed[transparency.TilePath(t)] {
			p.compare(t, transparency.AppendHashes(nil, hashes...), transparency.MaxTileBytes, TileMissing, TileMismatch)
		}
		if t.L > 0 || entries == nil {
			return
		}
		if t.L = -1; !gone || p.listed[transparency.TilePath(t)] {
			p.compare(t, entries, transparency.MaxBundleBytes, EntriesMissing, EntriesMismatch)
		}
	})
}

// compare compares an object of the mirror with what it must be, in the background.
func (p *player) compare(t tlog.Tile, want []byte, limit int64, missing, mismatch string) {
	p.g.Go(func() error {
		data, width, err := p.readWide(p.ctx, t, limit, missing, mismatch)
		if err != nil || data == nil {
			return err
		}
		if width > t.W && len(data) > len(want) {
			data = data[:len(want)]
		}
		if !bytes.Equal(data, want) {
			p.find(mismatch, transparency.TilePath(t), "")
		}
		return nil
	})
}

// finish compares the root, and says what the replay found.
func (p *player) finish() error {
	if !p.lost && p.build.size == p.tree.N && p.checked != p.tree.N && p.last != nil {
		p.comparePartial(p.last.data)
	}
	if err := p.g.Wait(); err != nil {
		return err
	}
	if tree := p.build.tree(); !p.lost && tree != p.tree {
		p.find(RootMismatch, mirror.CheckpointPath, fmt.Sprintf("they give %s", tree.Hash))
	}
	alarms, more := p.rules.Alarms()
	p.report.More, p.report.Replayed, p.report.Releases = more, p.rules.Next(), len(p.releases)
	for _, a := range alarms {
		p.find(LeafNoEffect, p.bundlePath(a.Index), fmt.Sprintf("entry %d: %v", a.Index, a.Err))
	}
	if len(p.releases) > 0 {
		last := p.releases[len(p.releases)-1]
		p.report.Release = last.leaf.Release
		if !p.broken && last.tree.N != p.tree.N {
			p.find(TailInvalid, mirror.CheckpointPath, fmt.Sprintf("the last valid release ends at entry %d of %d", last.tree.N, p.tree.N))
		}
		if p.newest == nil {
			p.newest, p.undated = last.leaf, true
		}
	} else if !p.broken {
		p.find(TailInvalid, mirror.CheckpointPath, "the log has no valid release")
	}
	return nil
}

// bundlePath names the file that holds an entry.
func (r *run) bundlePath(index int64) string {
	n := index / transparency.TileWidth
	width := int(min(r.tree.N-n*transparency.TileWidth, transparency.TileWidth))
	return transparency.TilePath(tlog.Tile{H: transparency.TileHeight, L: -1, N: n, W: width})
}
