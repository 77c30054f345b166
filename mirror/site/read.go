package site

import (
	"context"
	"errors"
	"fmt"

	"github.com/starttls-everywhere/policylist/mirror"
	"github.com/starttls-everywhere/policylist/mirror/audit"
	"github.com/starttls-everywhere/policylist/transparency"
)

// Read verifies a mirror and makes the model of its site. The chain is where belief begins; versions that the mirror has
// beyond it are added to it. Errors wrap ErrUnverified, audit.ErrUnreachable, or are about extra or the cache folder.
func Read(ctx context.Context, r mirror.Reader, chain *transparency.TrustChain, extra Extra) (*Model, error) {
	pending, err := parsePending(extra.Pending)
	if err == nil {
		err = extra.Check()
	}
	if err != nil {
		return nil, err
	}
	incidents, err := parseIncidents(extra.Incidents)
	if err != nil {
		return nil, err
	}
	survey, err := parseSurvey(extra.Survey)
	if err != nil {
		return nil, err
	}
	rel, err := openPointer(ctx, r, chain)
	if err != nil {
		return nil, err
	}
	log, err := readLog(ctx, r, chain, rel, extra.Cache)
	if err != nil {
		return nil, err
	}
	m := &Model{
		Origin: rel.Leaf.Origin, Trust: chain.Versions(), Checkpoint: rel.Checkpoint, Releases: log.releases, Domains: log.all, List: log.list,
		Alarms: log.alarms, MoreAlarms: log.more, Pending: pending, Address: extra.Address, extra: extra, incidents: incidents, explain: extra.Explain, survey: survey, record: log.record, maxPages: maxPages, maxTwoDigits: maxTwoDigits,
	}
	if m.Address == "" {
		m.Address = "."
	}
	m.extra.Cache = "" // the same model, wherever its entries were kept
	if m.extra.Codes == nil {
		m.extra.Codes = ownCodes()
	}
	if m.explain == nil {
		m.explain = lookUp(m.extra.Codes)
	}
	for _, w := range chain.Newest().Witnesses.Witnesses() {
		m.Cosignatures = append(m.Cosignatures, Cosignature{w.Name, rel.Checkpoint.Witnesses[w.Name]})
	}
	if err := m.readNotes(ctx, r, chain); err != nil {
		return nil, err
	}
	if m.Evidence, err = readEvidence(ctx, r, m); err != nil {
		return nil, err
	}
	return m, log.save(extra.Cache, chain)
}

// openPointer follows the trust versions and verifies what the mirror says is newest.
func openPointer(ctx context.Context, r mirror.Reader, chain *transparency.TrustChain) (*mirror.Proven, error) {
	data, err := r.Get(ctx, mirror.PointerPath, transparency.MaxProofBytes)
	if err != nil {
		return nil, unread(err)
	}
	ignore := func(*transparency.Trust) error { return nil } // the chain itself is kept
	if err := mirror.FollowTrust(ctx, r, chain, ignore); err != nil {
		return nil, unread(err)
	}
	rel, err := mirror.OpenProof(data, chain)
	if err == nil && rel.Index != rel.Checkpoint.Tree.N-1 {
		err = fmt.Errorf("the release leaf %d is not the last of %d entries", rel.Index, rel.Checkpoint.Tree.N)
	}
	if err != nil {
		return nil, fmt.Errorf("%w: %s: %w", ErrUnverified, mirror.PointerPath, err)
	}
	return rel, nil
}

// readLog reads the log behind what the cache has of it. A cache that does not lead to the signed root, because it is
// damaged or another log's, costs the reading of the whole log and nothing else.
func readLog(ctx context.Context, r mirror.Reader, chain *transparency.TrustChain, rel *mirror.Proven, cache string) (*replayed, error) {
	if log := openCache(cache, chain); log != nil && log.origin == rel.Leaf.Origin && int64(len(log.entries)) <= rel.Checkpoint.Tree.N {
		err := log.extend(ctx, r, chain, rel)
		if err == nil || errors.Is(err, audit.ErrUnreachable) {
			return log, err
		}
	}
	log, err := (&record{origin: rel.Leaf.Origin}).fold()
	if err != nil {
		return nil, err
	}
	return log, log.extend(ctx, r, chain, rel)
}

// readNotes finds a signed checkpoint for the newest change of each domain: that of the release which made it, so that
// the proof of it never changes. Where the mirror has none that fits, as of an attempt that was not published, the newest
// checkpoint serves.
func (m *Model) readNotes(ctx context.Context, r mirror.Reader, chain *transparency.TrustChain) error {
	m.notes = map[int64]transparency.Cosigned{}
	if m.record.notes == nil {
		m.record.notes = map[int64]string{}
	}
	for _, d := range m.Domains {
		last := d.Last()
		if _, ok := m.notes[last.Release]; ok {
			continue
		}
		m.notes[last.Release] = m.Checkpoint
		if c, err := m.openNote(chain, m.record.notes[last.Release], last.Index); err == nil {
			m.notes[last.Release] = c
			continue
		}
		data, err := r.Get(ctx, mirror.ReleasePath(last.Release), transparency.MaxProofBytes)
		if mirror.IsAbsent(err) || errors.Is(err, mirror.ErrTooLarge) {
			continue
		}
		if err != nil {
			return unread(err)
		}
		proof, err := transparency.ParseProof(data)
		if err != nil {
			continue
		}
		if c, err := m.openNote(chain, string(proof.Checkpoint), last.Index); err == nil {
			m.notes[last.Release], m.record.notes[last.Release] = c, string(c.Note)
		}
	}
	return nil
}

// openNote verifies an older checkpoint: signed, of this log, and over the entry at index.
func (m *Model) openNote(chain *transparency.TrustChain, note string, index int64) (transparency.Cosigned, error) {
	c, err := mirror.OpenCheckpoint(chain, []byte(note))
	if err != nil {
		return c, err
	}
	if c.Origin != m.Origin || c.Tree.N <= index || c.Tree.N > m.Checkpoint.Tree.N {
		return c, fmt.Errorf("a checkpoint of %d entries of %s does not cover entry %d", c.Tree.N, c.Origin, index)
	}
	root, err := m.record.hashes.root(c.Tree.N)
	if err == nil && root != c.Tree.Hash {
		err = fmt.Errorf("another root for %d entries", c.Tree.N)
	}
	return c, err
}
