package site

import (
	"context"
	"errors"
	"fmt"
	"io"

	"golang.org/x/mod/sumdb/tlog"

	"github.com/starttls-everywhere/policylist/mirror"
	"github.com/starttls-everywhere/policylist/mirror/audit"
	"github.com/starttls-everywhere/policylist/policy"
	"github.com/starttls-everywhere/policylist/transparency"
)

// record is a log up to a published size: its entries, and what the rules of a valid release make of them.
type record struct {
	origin  string
	entries [][]byte
	leaves  []mirror.Leaf // zero for an entry that is no leaf
	hashes  stored
	valid   []int64 // indexes of valid releases; the last one ends the log
	alarms  []Alarm
	more    int
	notes   map[int64]string // checkpoints of releases, by number, as their proofs carry them
	cached  string           // first line of the cache that it is from, "" for none
}

// stored is a log's hashes as tlog lays them out, so that any root and any proof costs a few of them.
type stored []tlog.Hash

// ReadHashes implements tlog.HashReader.
func (s stored) ReadHashes(indexes []int64) ([]tlog.Hash, error) {
	out := make([]tlog.Hash, len(indexes))
	for i, x := range indexes {
		if x < 0 || x >= int64(len(s)) {
			return nil, fmt.Errorf("hash %d of %d", x, len(s))
		}
		out[i] = s[x]
	}
	return out, nil
}

// root is that of the log's first n entries.
func (s stored) root(n int64) (tlog.Hash, error) { return tlog.TreeHash(n, s) }

// parsed is an entry that was read.
type parsed struct {
	leaf mirror.Leaf
	err  error
}

// add appends an entry, which is kept.
func (r *record) add(entry []byte) (parsed, error) {
	hashes, err := tlog.StoredHashes(int64(len(r.entries)), entry, r.hashes)
	if err != nil {
		return parsed{}, err
	}
	leaf, err := mirror.ParseLeaf(entry)
	r.entries, r.leaves, r.hashes = append(r.entries, entry), append(r.leaves, leaf), append(r.hashes, hashes...)
	return parsed{leaf, err}, nil
}

// replayed is a record with the history that it makes.
type replayed struct {
	*record
	history
	list policy.List
	all  []Domain
}

// fold makes the history of what the record holds.
func (r *record) fold() (*replayed, error) {
	p := &replayed{record: r, history: history{events: map[policy.Domain][]Event{}}}
	for _, index := range r.valid {
		if index < 0 || index >= int64(len(r.leaves)) {
			return nil, fmt.Errorf("release at %d of %d entries", index, len(r.leaves))
		}
		if err := p.history.add(r.leaves, index); err != nil {
			return nil, err
		}
	}
	return p, nil
}

// settle makes the list, and compares it with the digest that the newest release signed.
func (p *replayed) settle() (err error) {
	p.all = p.domains()
	if p.list, err = p.history.list(p.all); err != nil {
		return err
	}
	last := p.releases[len(p.releases)-1]
	_, digest, err := p.list.Write(io.Discard, last.Header())
	if err == nil && digest != last.ListDigest {
		err = fmt.Errorf("the list of release %d has the digest %x, it signs %x", last.Release, digest, last.ListDigest)
	}
	return err
}

// replay starts the rules behind what the record holds, which may be nothing.
func (p *replayed) replay(chain *transparency.TrustChain) *mirror.Replay {
	if len(p.releases) == 0 {
		return mirror.NewReplay(chain, nil).Of(p.origin)
	}
	last := p.releases[len(p.releases)-1]
	return mirror.NewReplay(chain, &mirror.Release{Leaf: last.ReleaseLeaf, Raw: p.entries[last.Index], Index: last.Index, List: p.list})
}

// extend reads the entries up to the tree that rel's checkpoint signs, judges them, and compares the root.
func (p *replayed) extend(ctx context.Context, r mirror.Reader, chain *transparency.TrustChain, rel *mirror.Proven) error {
	tree := rel.Checkpoint.Tree
	rules := p.replay(chain)
	for at := int64(len(p.entries)); at < tree.N; {
		end := min((at/transparency.TileWidth+1)*transparency.TileWidth, tree.N)
		entries, err := mirror.ReadEntries(ctx, r, at, end)
		if err != nil {
			return unread(err)
		}
		for _, e := range entries {
			if err := p.take(rules, e); err != nil {
				return err
			}
		}
		at = end
	}
	alarms, more := rules.Alarms()
	for _, a := range alarms {
		p.alarms = append(p.alarms, Alarm{a.Index, a.Err.Error()})
	}
	p.more += more
	root, err := p.hashes.root(tree.N)
	switch last := rules.Last(); {
	case err != nil:
		return err
	case root != tree.Hash:
		return fmt.Errorf("%w: the log's entries do not lead to the signed root", ErrUnverified)
	case last == nil || last.Index != rel.Index:
		return fmt.Errorf("%w: the newest release, entry %d, is not valid: %s", ErrUnverified, rel.Index, p.why(rel.Index))
	}
	if err := p.settle(); err != nil {
		return fmt.Errorf("%w: %w", ErrUnverified, err)
	}
	return nil
}

func (p *replayed) take(rules *mirror.Replay, entry []byte) error {
	got, err := p.record.add(entry)
	if err != nil {
		return err
	}
	rel := rules.AddParsed(entry, got.leaf, got.err)
	if rel == nil {
		return nil
	}
	p.valid = append(p.valid, rel.Index)
	return p.history.add(p.leaves, rel.Index)
}

func (p *replayed) why(index int64) string {
	for _, a := range p.alarms {
		if a.Index == index {
			return a.Why
		}
	}
	return "no release stands there"
}

// unread tells a mirror that lacks or garbles something from one that does not answer.
func unread(err error) error {
	if mirror.IsAbsent(err) || errors.Is(err, mirror.ErrTooLarge) || errors.Is(err, transparency.ErrBundle) || errors.Is(err, transparency.ErrTrust) {
		return fmt.Errorf("%w: %w", ErrUnverified, err)
	}
	return fmt.Errorf("%w: %w", audit.ErrUnreachable, err)
}
