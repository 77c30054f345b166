package audit

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"

	"github.com/starttls-everywhere/policylist/mirror"
	"github.com/starttls-everywhere/policylist/mirror/durable"
	"github.com/starttls-everywhere/policylist/policy"
	"github.com/starttls-everywhere/policylist/transparency"
)

// read lets a new client update from one mirror, in a folder that is removed again.
func (f *Freshness) read(ctx context.Context, src mirror.Source) (*MirrorFreshness, error) {
	m := &MirrorFreshness{Mirror: src.Name, Cosigned: []Cosignature{}, Findings: []policy.Finding{}, reader: src.Reader}
	dir, err := os.MkdirTemp("", "policylist-freshness-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	path := filepath.Join(dir, mirror.TrustPath(f.Trust.Version))
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return nil, err
	}
	if err := durable.WriteFile(path, f.Trust.Note(), 0o600); err != nil {
		return nil, err
	}
	bounded, cancel := context.WithTimeout(ctx, f.Deadline)
	defer cancel()
	asked := &askedReader{Reader: src.Reader}
	client := mirror.Client{Dir: dir, Sources: []mirror.Source{{Name: src.Name, Reader: asked}}, Now: f.Now,
		Log: slog.New(slog.DiscardHandler), Method: mirror.Snapshot, KeepStale: true}
	out, err := client.Update(bounded)
	switch {
	case ctx.Err() != nil:
		return nil, ctx.Err()
	case err != nil && !errors.Is(err, mirror.ErrNoMirror) && !errors.Is(err, mirror.ErrSecurity):
		return nil, fmt.Errorf("%s: %w", src.Name, err) // of this machine: no space, no rights
	}
	m.Read = !asked.failed.Load() && bounded.Err() == nil
	chain, cerr := client.Chain()
	if cerr != nil {
		return nil, fmt.Errorf("%s: %w", src.Name, cerr)
	}
	m.Trust, m.TrustExpires = out.TrustVersion, chain.Newest().Expires
	if err != nil {
		return m, f.refused(bounded, m, chain, out, err)
	}
	data, err := os.ReadFile(filepath.Join(dir, mirror.PointerPath))
	if err != nil {
		return nil, err
	}
	rel, checkpoint, err := mirror.OpenPointer(data, chain)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", src.Name, err)
	}
	m.Verified, m.Domains, m.QuorumTime = true, out.List.Len(), out.QuorumTime
	m.fill(rel.Leaf, checkpoint, chain.Newest())
	return m, nil
}

// fill takes over what a proof shows.
func (m *MirrorFreshness) fill(leaf *mirror.ReleaseLeaf, c transparency.Cosigned, by *transparency.Trust) {
	m.leaf, m.checkpoint = leaf, c
	m.Origin, m.Release, m.Size = leaf.Origin, leaf.Release, c.Tree.N
	m.Timestamp, m.Expires, m.Ended = leaf.Timestamp, leaf.Expires, leaf.IsFinal()
	for _, w := range by.Witnesses.Witnesses() {
		m.Cosigned = append(m.Cosigned, Cosignature{w.Name, c.Witnesses[w.Name]})
	}
}

// refused says why a new client takes nothing from the mirror: it does not answer, it was left behind by a change of keys,
// or what it serves is no good.
func (f *Freshness) refused(ctx context.Context, m *MirrorFreshness, chain *transparency.TrustChain, out mirror.Outcome, err error) error {
	why := strings.TrimPrefix(strings.Join(out.Problems, "; "), m.Mirror+": ")
	switch {
	case errors.Is(err, mirror.ErrTrustExpired):
		m.find(FreshTrustEnd, "version %d ended at %s: %s", m.Trust, stamp(m.TrustExpires), why)
		return nil
	case !m.Read:
		m.find(FreshUnreachable, "%s", why)
		return nil
	}
	data, gerr := m.reader.Get(ctx, mirror.PointerPath, transparency.MaxProofBytes)
	if mirror.IsAbsent(gerr) {
		m.find(FreshContent, "%v", errNothing)
		return nil
	}
	if gerr == nil {
		if rel, perr := mirror.OpenProof(data, chain); perr == nil && rel.Superseded {
			m.find(FreshLags, "its release %d was made under trust version %d, and it has version %d", rel.Leaf.Release, rel.Leaf.Trust, m.Trust)
			return nil
		}
	}
	m.find(FreshContent, "%s", why)
	return nil
}

// askedReader remembers whether a mirror failed to answer, which says nothing of what it has.
type askedReader struct {
	mirror.Reader
	failed atomic.Bool
}

// Get implements mirror.Reader.
func (r *askedReader) Get(ctx context.Context, path string, limit int64) ([]byte, error) {
	data, err := r.Reader.Get(ctx, path, limit)
	if err != nil && !mirror.IsAbsent(err) && !errors.Is(err, mirror.ErrTooLarge) {
		r.failed.Store(true)
	}
	return data, err
}
