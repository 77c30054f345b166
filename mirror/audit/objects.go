package audit

import (
	"bytes"
	"context"
	"crypto/sha256"
	"fmt"
	"slices"
	"strings"
	"time"

	"golang.org/x/mod/sumdb/tlog"

	"github.com/starttls-everywhere/policylist/mirror"
	"github.com/starttls-everywhere/policylist/transparency"
)

// checkObjects compares what stands beside the log with the releases in it.
func (r *run) checkObjects(ctx context.Context) error {
	g, gctx := bounded(ctx)
	for i, rel := range r.releases {
		g.Go(func() error {
			if err := r.checkProof(gctx, rel); err != nil || !r.undated {
				return err
			}
			return r.checkDated(gctx, rel.leaf)
		})
		if r.Progress != nil {
			r.Progress("releases", i+1, len(r.releases))
		}
	}
	if err := g.Wait(); err != nil || r.newest == nil {
		return err
	}
	return r.checkPolicy(ctx)
}

// checkProof compares release/<n>.tlog-proof with the release in the log.
func (r *run) checkProof(ctx context.Context, rel released) error {
	path := mirror.ReleasePath(rel.leaf.Release)
	data, ok, err := r.read(ctx, path, transparency.MaxProofBytes, ReleaseMissing, ReleaseInvalid)
	if err != nil || !ok {
		return err
	}
	if why := r.judgeProof(data, rel); why != nil {
		r.find(ReleaseInvalid, path, why.Error())
	}
	return nil
}

func (r *run) judgeProof(data []byte, rel released) error {
	proof, err := transparency.ParseProof(data)
	if err != nil {
		return err
	}
	c, err := mirror.OpenCheckpoint(r.chain, proof.Checkpoint)
	if err != nil {
		return err
	}
	same := slices.ContainsFunc(r.releases, func(x released) bool { return x.tree == c.Tree })
	switch {
	case !bytes.Equal(proof.Extra, rel.raw):
		return fmt.Errorf("its leaf is not the log's entry %d", rel.tree.N-1)
	case proof.Index != rel.tree.N-1:
		return fmt.Errorf("it is about entry %d, release %d is entry %d", proof.Index, rel.leaf.Release, rel.tree.N-1)
	case !same:
		return fmt.Errorf("its checkpoint of %d entries is not this log's after a release", c.Tree.N)
	}
	return proof.Check(tlog.RecordHash(rel.raw), c.Tree)
}

// due reports whether to look at an object that mirrors do not keep for ever, and whether it must be there.
func (r *run) due(path string, leaf *mirror.ReleaseLeaf, keep time.Duration) (look, must bool) {
	r.expect(path)
	must = r.newest.Timestamp.Sub(leaf.Timestamp) <= keep
	return must || r.listed[path], must
}

// checkDated compares what is kept for some time only: how long is counted back from the newest release.
func (r *run) checkDated(ctx context.Context, leaf *mirror.ReleaseLeaf) error {
	if err := r.checkList(ctx, leaf); err != nil {
		return err
	}
	return r.checkEvidence(ctx, leaf)
}

func (r *run) checkList(ctx context.Context, leaf *mirror.ReleaseLeaf) error {
	r.expect(mirror.BlobPGPPath(leaf.ListDigest))
	return r.checkPacked(ctx, mirror.BlobPath(leaf.ListDigest), leaf, mirror.KeepLists, leaf.ListSize, leaf.ListDigest, ListMissing, ListMismatch)
}

func (r *run) checkEvidence(ctx context.Context, leaf *mirror.ReleaseLeaf) error {
	if leaf.Evidence == nil {
		return nil
	}
	return r.checkPacked(ctx, mirror.EvidencePath(*leaf.Evidence), leaf, mirror.KeepEvidence, mirror.MaxObservationsBytes, *leaf.Evidence,
		EvidenceMissing, EvidenceMismatch)
}

func (r *run) checkPacked(ctx context.Context, path string, leaf *mirror.ReleaseLeaf, keep time.Duration, limit int64, digest [32]byte, missing, mismatch string) error {
	look, must := r.due(path, leaf, keep)
	if !look {
		return nil
	}
	if !must {
		missing = ""
	}
	data, ok, err := r.read(ctx, path, mirror.PackedLimit(limit), missing, mismatch)
	if err != nil || !ok {
		return err
	}
	if err := mirror.CheckPacked(data, limit, digest); err != nil {
		r.find(mismatch, path, err.Error())
	}
	return nil
}

// checkPolicy compares policy.json and its cosign bundle with the newest release.
func (r *run) checkPolicy(ctx context.Context) error {
	list, ok, err := r.read(ctx, mirror.ListPath, r.newest.ListSize, PolicyMissing, PolicyMismatch)
	if err != nil {
		return err
	}
	if ok && sha256.Sum256(list) != r.newest.ListDigest {
		r.find(PolicyMismatch, mirror.ListPath, fmt.Sprintf("release %d", r.newest.Release))
		ok = false
	}
	data, bundled, err := r.read(ctx, mirror.ListBundlePath, mirror.MaxBundleFileBytes, "", BundleInvalid)
	if err != nil || !bundled || !ok {
		return err
	}
	trust, err := r.chain.Version(r.newest.Trust)
	if err == nil {
		err = mirror.VerifyBundle(data, trust, list)
	}
	if err != nil {
		r.find(BundleInvalid, mirror.ListBundlePath, err.Error())
	}
	return nil
}

// findUnexpected lists what no release put there. Tiles beyond the checkpoint are a release that is on its way.
func (r *run) findUnexpected() {
	if r.broken {
		return
	}
	for path := range r.listed {
		if r.expected[path] || path == mirror.ListPGPPath || path == "index.html" || strings.HasPrefix(path, "site/") {
			continue
		}
		if t, err := transparency.ParseTilePath(path); err == nil {
			if end := t.N<<transparency.TileHeight + int64(t.W); end > r.tree.N>>(max(t.L, 0)*transparency.TileHeight) {
				continue
			}
		}
		r.find(Unexpected, path, "")
	}
}
