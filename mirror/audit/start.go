package audit

import (
	"bytes"
	"context"
	"fmt"

	"github.com/starttls-everywhere/policylist/mirror"
	"github.com/starttls-everywhere/policylist/transparency"
)

// followTrust compares the mirror's copy of the auditor's trust version and verifies the later ones.
func (r *run) followTrust(ctx context.Context) error {
	var err error
	if r.chain, err = transparency.NewTrustChain(r.Trust); err != nil {
		return err
	}
	for v := int64(1); v < r.Trust.Version; v++ {
		r.expect(mirror.TrustPath(v))
	}
	path := mirror.TrustPath(r.Trust.Version)
	data, ok, err := r.read(ctx, path, transparency.MaxTrustBytes, TrustMissing, TrustInvalid)
	if err != nil {
		return err
	}
	if ok {
		if t, err := transparency.ParseTrust(data); err != nil {
			r.find(TrustInvalid, path, err.Error())
		} else if t.Digest() != r.Trust.Digest() {
			r.find(TrustInvalid, path, fmt.Sprintf("its fingerprint is %x, the auditor's %x", t.Digest(), r.Trust.Digest()))
		} else if err := t.VerifySelf(); err != nil {
			r.find(TrustInvalid, path, err.Error())
		}
	}
	defer func() { r.report.Trust = r.chain.Newest().Version }()
	for {
		path := mirror.TrustPath(r.chain.Newest().Version + 1)
		data, ok, err := r.read(ctx, path, transparency.MaxTrustBytes, "", TrustInvalid)
		if err != nil || !ok {
			return err
		}
		next, err := transparency.ParseTrust(data)
		if err == nil {
			err = r.chain.Extend(next)
		}
		if err != nil {
			r.find(TrustInvalid, path, err.Error())
			return nil
		}
	}
}

// openPointers verifies policy.json.tlog-proof and the checkpoint, which must be the same note. When only the
// checkpoint verifies, the audit goes on from there. Without either there is nothing to audit, and ok is false.
func (r *run) openPointers(ctx context.Context) (ok bool, err error) {
	data, found, err := r.read(ctx, mirror.PointerPath, transparency.MaxProofBytes, PointerMissing, PointerInvalid)
	if err != nil {
		return false, err
	}
	if found {
		if err := r.openPointer(data); err != nil {
			r.find(PointerInvalid, mirror.PointerPath, err.Error())
		}
	}
	data, found, err = r.read(ctx, mirror.CheckpointPath, transparency.MaxCheckpointBytes, CheckpointLost, CheckpointOther)
	if err != nil {
		return false, err
	}
	switch {
	case !found || r.note != nil && bytes.Equal(data, r.note):
	case r.note != nil:
		r.find(CheckpointOther, mirror.CheckpointPath, "")
	default:
		c, err := mirror.OpenCheckpoint(r.chain, data)
		if err != nil {
			r.find(CheckpointOther, mirror.CheckpointPath, err.Error())
			break
		}
		r.setTree(c, data)
	}
	return r.note != nil, nil
}

func (r *run) setTree(c transparency.Cosigned, note []byte) {
	r.tree, r.note = c.Tree, note
	r.report.checkpoint = c
	r.report.Origin, r.report.Size, r.report.Root = c.Origin, c.Tree.N, c.Tree.Hash.String()
}

// openPointer verifies the pointer. A trust version is on the mirror before the first release under it, and then the
// pointer is still one of the version before.
func (r *run) openPointer(data []byte) error {
	rel, err := mirror.OpenProof(data, r.chain)
	if err != nil {
		return err
	}
	if rel.Index != rel.Checkpoint.Tree.N-1 {
		return fmt.Errorf("the release leaf %d is not the last of %d entries", rel.Index, rel.Checkpoint.Tree.N)
	}
	if rel.Superseded {
		r.find(TrustNotLogged, mirror.TrustPath(r.chain.Newest().Version), fmt.Sprintf("release %d was made under version %d", rel.Leaf.Release, rel.Leaf.Trust))
	}
	proof, err := transparency.ParseProof(data)
	if err != nil {
		return err
	}
	r.newest = rel.Leaf
	r.setTree(rel.Checkpoint, proof.Checkpoint)
	return nil
}
