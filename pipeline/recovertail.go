package pipeline

import (
	"bytes"
	"context"
	"fmt"
	"slices"

	"golang.org/x/mod/sumdb/tlog"

	"github.com/starttls-everywhere/policylist/mirror"
	"github.com/starttls-everywhere/policylist/transparency"
)

// maxTail bounds what a mirror can make Recover read behind the signed tree: the first release of a list with a million
// domains, twice.
const maxTail = 2_000_000

// takeTails takes along what the publisher had spread to a mirror before the log signed it, or signed it for witnesses
// only: a witness may have cosigned exactly these entries, and others in their place would be another history. They
// count as far as they end in a release that our keys have signed and that follows the last one.
func (r *recovery) takeTails(ctx context.Context) error {
	if r.out.Earlier {
		return r.openEngine(ctx) // an ended log gets nothing more
	}
	var longest *MirrorSeen
	for _, m := range r.group {
		if err := r.readTail(ctx, m); err != nil {
			return err
		}
		if longest == nil || len(m.tail) > len(longest.tail) {
			longest = m
		}
	}
	for _, m := range r.group {
		for i, e := range m.tail {
			if !bytes.Equal(e, longest.tail[i]) {
				return fmt.Errorf("%w: %s and %s, from log entry %d on", ErrTwoTails, longest.Name, m.Name, r.target.Tree.N+int64(i))
			}
		}
	}
	if err := r.appendTail(ctx, longest.tail); err != nil {
		return err
	}
	return r.openEngine(ctx)
}

// readTail reads the entries behind the target on one mirror, up to the last release.
func (r *recovery) readTail(ctx context.Context, m *MirrorSeen) error {
	lister, ok := m.reader.(mirror.Lister)
	if !ok {
		return nil // a web server tells of nothing that it is not asked for
	}
	bundles := map[int64]int{} // width of the widest of each number
	for path, err := range lister.List(ctx, "tile/entries/") {
		if err != nil {
			return fmt.Errorf("mirror %s: %w: %w", m.Name, ErrUnjudged, err)
		}
		if t, err := transparency.ParseTilePath(path); err == nil && t.L == -1 && t.N >= r.target.Tree.N/transparency.TileWidth {
			bundles[t.N] = max(bundles[t.N], t.W)
		}
		if len(bundles) > maxTail/transparency.TileWidth {
			break // a listing without end
		}
	}
	at := r.target.Tree.N
	var entries [][]byte
	for len(entries) < maxTail {
		n := at / transparency.TileWidth
		end := n*transparency.TileWidth + int64(bundles[n])
		if end <= at {
			break
		}
		more, err := mirror.ReadEntries(ctx, m.reader, at, end)
		if err != nil {
			break // what cannot be read has no release at its end
		}
		entries, at = append(entries, more...), end
	}
	m.tail = r.signedPart(entries)
	m.Tail = int64(len(m.tail))
	return nil
}

// signedPart cuts entries that follow the log behind the last valid release among them.
func (r *recovery) signedPart(entries [][]byte) [][]byte {
	rules, end := mirror.NewReplay(r.Trust, r.last).Of(r.target.Origin), 0
	for i, e := range entries {
		if rules.Add(e) != nil {
			end = i + 1
		}
	}
	return entries[:end]
}

// appendTail puts entries behind the staged log.
func (r *recovery) appendTail(ctx context.Context, entries [][]byte) error {
	if len(entries) == 0 {
		return nil
	}
	log, err := r.o.Open(r.logPath())
	if err != nil {
		return fmt.Errorf("log: %w", err)
	}
	defer log.Close()
	return r.play(ctx, log, entries, log.Tree().N)
}

// play plays entries that follow the staged log from index at on; those that the log has already stay as they are.
func (r *recovery) play(ctx context.Context, log Log, entries [][]byte, at int64) error {
	tree, err := rangeOf(log, at)
	if err != nil {
		return err
	}
	p := &player{recovery: r, rules: mirror.NewReplay(r.Trust, r.last).Of(r.target.Origin), tree: tree, start: at, tail: true}
	return p.take(ctx, log, entries)
}

// rangeOf is the compact range of a log's first n entries.
func rangeOf(log Log, n int64) (transparency.CompactRange, error) {
	var indexes []int64
	for at, level := int64(0), 62; level >= 0; level-- {
		if width := int64(1) << level; n&width != 0 {
			indexes = append(indexes, tlog.StoredHashIndex(level, at>>level))
			at += width
		}
	}
	if n == 0 {
		return transparency.CompactRange{}, nil
	}
	hashes, err := log.ReadHashes(indexes)
	if err != nil {
		return transparency.CompactRange{}, fmt.Errorf("log: %w", err)
	}
	return transparency.NewCompactRange(n, hashes)
}

// openEngine lets an engine elsewhere bring what it knows of the log beyond the mirrors: a release may have been logged
// there and nowhere else.
func (r *recovery) openEngine(ctx context.Context) error {
	if r.o.Engine == nil || r.out.Earlier {
		return nil
	}
	log, err := r.o.Open(r.logPath())
	if err != nil {
		return fmt.Errorf("log: %w", err)
	}
	known := log.Tree()
	if err := log.Close(); err != nil {
		return err
	}
	note, err := r.o.Engine(ctx, r.logPath(), known)
	if err != nil {
		return err
	}
	if note != "" {
		r.out.Warnings = append(r.out.Warnings, note)
	}
	if log, err = r.o.Open(r.logPath()); err != nil {
		return fmt.Errorf("log: %w", err)
	}
	defer log.Close()
	entries, err := mirror.ReadEntries(ctx, logReader{log}, known.N, log.Tree().N)
	if err != nil {
		return fmt.Errorf("log: %w", err)
	}
	part := r.signedPart(entries)
	if rest := len(entries) - len(part); rest > 0 {
		r.out.Warnings = append(r.out.Warnings, fmt.Sprintf("the log server has %d entries more, of an attempt that was given up; they stay without effect", rest))
	}
	return r.play(ctx, log, slices.Clip(part), known.N)
}
