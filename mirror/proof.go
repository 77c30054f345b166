package mirror

import (
	"context"
	"errors"
	"fmt"
	"time"

	"golang.org/x/mod/sumdb/tlog"

	"github.com/starttls-everywhere/policylist/transparency"
)

// pointer is a verified tlog-proof of a release: policy.json.tlog-proof, or one of an older release.
type pointer struct {
	proof      transparency.Proof
	leaf       *ReleaseLeaf
	raw        []byte
	checkpoint transparency.Cosigned
	quorum     time.Time
}

// OpenPointer verifies a proof file as far as one file can be: the log and the witnesses signed the checkpoint, the
// release leaf in it is the tree's last entry, and the release keys signed that leaf. The steps are in schema/README.md,
// Verification. Errors wrap ErrLagging where the chain has a later trust version than the release names,
// transparency.ErrProof, ErrCheckpoint or ErrTrust, ErrLeaf or ErrTrustExpired, or say which rule the release breaks.
func OpenPointer(data []byte, chain *transparency.TrustChain) (*Release, transparency.Cosigned, error) {
	p, err := openPointer(data, chain)
	if err != nil {
		return nil, transparency.Cosigned{}, err
	}
	return &Release{Leaf: p.leaf, Raw: p.raw, Index: p.proof.Index}, p.checkpoint, nil
}

func openPointer(data []byte, chain *transparency.TrustChain) (*pointer, error) {
	p, err := parsePointer(data)
	if err != nil {
		return nil, err
	}
	newest := chain.Newest()
	if p.leaf.Trust < newest.Version {
		return nil, fmt.Errorf("%w: release %d was made under trust version %d, the newest is %d", errLagging, p.leaf.Release, p.leaf.Trust, newest.Version)
	}
	if err := p.verify(chain, newest); err != nil {
		return nil, err
	}
	if p.proof.Index != p.checkpoint.Tree.N-1 {
		return nil, fmt.Errorf("the release leaf %d is not the last of %d entries", p.proof.Index, p.checkpoint.Tree.N)
	}
	return p, nil
}

func parsePointer(data []byte) (*pointer, error) {
	proof, err := transparency.ParseProof(data)
	if err != nil {
		return nil, err
	}
	leaf, err := ParseLeaf(proof.Extra)
	if err != nil {
		return nil, fmt.Errorf("the proof's extra data: %w", err)
	}
	if leaf.Release == nil {
		return nil, errors.New("the proof's extra data is not the leaf of a release")
	}
	return &pointer{proof: proof, raw: proof.Extra, leaf: leaf.Release}, nil
}

// verify checks everything that the file itself can show, the checkpoint by the keys of one trust version.
func (p *pointer) verify(chain *transparency.TrustChain, by *transparency.Trust) (err error) {
	if p.checkpoint, err = by.OpenCheckpoint(p.proof.Checkpoint); err != nil {
		return err
	}
	if err := p.proof.Check(tlog.RecordHash(p.raw), p.checkpoint.Tree); err != nil {
		return err
	}
	if err := p.leaf.checkAlone(chain); err != nil {
		return fmt.Errorf("release %d: %w", p.leaf.Release, err)
	}
	if p.leaf.From > p.leaf.To || p.leaf.To > p.proof.Index || p.proof.Index-p.leaf.To > maxTrustRun {
		return fmt.Errorf("release %d: its changes [%d, %d) do not stand before its leaf at %d", p.leaf.Release, p.leaf.From, p.leaf.To, p.proof.Index)
	}
	if p.quorum = p.checkpoint.QuorumTime; by.Witnesses.IsNone() {
		p.quorum = p.leaf.Timestamp
	}
	if p.leaf.Timestamp.After(p.quorum.Add(maxFuture)) {
		return fmt.Errorf("release %d is dated %s, after the witnesses saw it at %s", p.leaf.Release, p.leaf.Timestamp.Format(time.RFC3339), p.quorum.Format(time.RFC3339))
	}
	return nil
}

// Proven is a release that a proof file shows in a log.
type Proven struct {
	Release
	Checkpoint transparency.Cosigned
	// Superseded means that the chain has a later trust version than the release names. Then the file alone shows
	// only that the keys of that version signed, at any time: whoever has stolen them since can make such a file
	// today. Confirm shows more.
	Superseded bool
}

// OpenProof verifies the proof of any release, the newest or an old one, by the trust version that the release names.
// The checkpoint may be that version's or a later one's: a release that was logged but not published is proved in the
// tree of a later one. Unlike OpenPointer it takes a leaf that is not the tree's last.
func OpenProof(data []byte, chain *transparency.TrustChain) (*Proven, error) {
	p, err := parsePointer(data)
	if err != nil {
		return nil, err
	}
	t, err := chain.Version(p.leaf.Trust)
	if err != nil {
		return nil, err
	}
	err = p.verify(chain, t)
	for v := t.Version + 1; errors.Is(err, transparency.ErrCheckpoint) && v <= chain.Newest().Version; v++ {
		if t, _ = chain.Version(v); t.Origin != p.leaf.Origin {
			break
		}
		if later := p.verify(chain, t); !errors.Is(later, transparency.ErrCheckpoint) {
			err = later
		}
	}
	if err != nil {
		return nil, err
	}
	return &Proven{
		Release:    Release{Leaf: p.leaf, Raw: p.raw, Index: p.proof.Index},
		Checkpoint: p.checkpoint, Superseded: p.leaf.Trust < chain.Newest().Version,
	}, nil
}

// maxSteps bounds how far Confirm goes back: four releases a day for seven years.
const maxSteps = 10_000

// Confirm shows that a release was made while the trust version that it names was the newest: the newest release of
// mirror r, which the newest version's keys signed, leads back to it through "previous", leaf by leaf. An old key
// cannot make that so afterwards. It holds across logs: where r, a mirror of the newest log, lacks a release's proof, as
// it does those of an earlier log, the others are asked. Nothing that they say is believed but for its digest.
func (p *Proven) Confirm(ctx context.Context, r Reader, chain *transparency.TrustChain, others ...Reader) error {
	data, err := r.Get(ctx, PointerPath, transparency.MaxProofBytes)
	if err != nil {
		return err
	}
	newest, err := openPointer(data, chain)
	if err != nil {
		return fmt.Errorf("%s: %w", PointerPath, err)
	}
	leaf, raw := newest.leaf, newest.raw
	if steps := leaf.Release - p.Leaf.Release; steps > maxSteps {
		return fmt.Errorf("the newest release is %d: %d steps back to release %d, the most is %d", leaf.Release, steps, p.Leaf.Release, maxSteps)
	}
	way := wayBack{readers: append([]Reader{r}, others...)}
	for leaf.Release > p.Leaf.Release {
		if leaf, raw, err = way.before(ctx, leaf); err != nil {
			if p.Leaf.Origin != newest.leaf.Origin {
				err = fmt.Errorf("%w (release %d is in the earlier log %s: ask a mirror of that one, too)", err, p.Leaf.Release, p.Leaf.Origin)
			}
			return err
		}
	}
	if string(raw) != string(p.Raw) {
		return fmt.Errorf("release %d, which leads back to another release %d, contradicts it", newest.leaf.Release, p.Leaf.Release)
	}
	return nil
}

// wayBack asks several mirrors for the releases that lead back.
type wayBack struct {
	readers []Reader
	last    int // the one that had the last release: releases are on the same mirrors as their neighbours
}

func (w *wayBack) before(ctx context.Context, leaf *ReleaseLeaf) (*ReleaseLeaf, []byte, error) {
	var errs []error
	for i := range w.readers {
		n := (w.last + i) % len(w.readers)
		previous, raw, err := before(ctx, w.readers[n], leaf)
		if err == nil {
			w.last = n
			return previous, raw, nil
		}
		errs = append(errs, err)
	}
	return nil, nil, errors.Join(errs...)
}

// before reads the release that leaf names as its previous. Only the digest vouches for it, and that is enough.
func before(ctx context.Context, r Reader, leaf *ReleaseLeaf) (*ReleaseLeaf, []byte, error) {
	if leaf.Previous == nil {
		return nil, nil, fmt.Errorf("release %d names none before it", leaf.Release)
	}
	path := ReleasePath(leaf.Release - 1)
	data, err := r.Get(ctx, path, transparency.MaxProofBytes)
	if err != nil {
		return nil, nil, err
	}
	p, err := parsePointer(data)
	if err != nil {
		return nil, nil, fmt.Errorf("%s: %w", path, err)
	}
	if sum(p.raw) != *leaf.Previous {
		return nil, nil, fmt.Errorf("%s: it is not the release that release %d names as the one before", path, leaf.Release)
	}
	return p.leaf, p.raw, nil
}
