package audit

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
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
			return r.checkDated(gctx, rel.leaf, nil)
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

// checkDated compares what is kept for some time only: how long is counted back from the newest release. The list is
// compared with the one that was rebuilt, byte by byte, or by its digest when that one is gone again and rebuilt nil.
func (r *run) checkDated(ctx context.Context, leaf *mirror.ReleaseLeaf, rebuilt *mirror.Release) error {
	r.expect(mirror.BlobPGPPath(leaf.ListDigest))
	list := packed{mirror.BlobPath(leaf.ListDigest), mirror.KeepLists, leaf.ListSize, leaf.ListDigest, ListMissing, ListMismatch, rebuilt}
	if err := r.checkPacked(ctx, leaf, list); err != nil || leaf.Evidence == nil {
		return err
	}
	return r.checkPacked(ctx, leaf, packed{mirror.EvidencePath(*leaf.Evidence), mirror.KeepEvidence, mirror.MaxObservationsBytes, *leaf.Evidence,
		EvidenceMissing, EvidenceMismatch, nil})
}

// packed is a zstd file that belongs to a release.
type packed struct {
	path              string
	keep              time.Duration
	limit             int64 // bytes of its content
	digest            [32]byte
	missing, mismatch string          // codes
	rebuilt           *mirror.Release // whose list it is; nil when only the digest is known
}

func (r *run) checkPacked(ctx context.Context, leaf *mirror.ReleaseLeaf, p packed) error {
	look, must := r.due(p.path, leaf, p.keep)
	if !look {
		return nil
	}
	if !must {
		p.missing = ""
	}
	data, ok, err := r.read(ctx, p.path, min(mirror.PackedLimit(p.limit), mirror.MaxPackedEvidence), p.missing, p.mismatch)
	if err != nil || !ok {
		return err
	}
	if p.rebuilt == nil {
		err = mirror.CheckPacked(data, p.limit, p.digest)
	} else {
		var chunks []string
		if chunks, err = p.rebuilt.Chunks(); err == nil {
			err = r.unpacker.Compare(data, chunks...)
		}
	}
	if err != nil {
		r.find(p.mismatch, p.path, err.Error())
	}
	return nil
}

// checkPolicy compares policy.json and its cosign bundle with the newest release.
func (r *run) checkPolicy(ctx context.Context) error {
	list, ok, err := r.read(ctx, mirror.ListPath, r.newest.ListSize, PolicyMissing, PolicyMismatch)
	if err != nil {
		return err
	}
	if ok && !r.isNewest(list) {
		r.find(PolicyMismatch, mirror.ListPath, fmt.Sprintf("release %d", r.newest.Release))
		ok = false
	}
	if !ok {
		list = nil
	}
	return errors.Join(r.checkBundle(ctx, list), r.checkKeyless(ctx, list))
}

// checkBundle compares the cosign bundle with the newest list, nil where the mirror does not have it.
func (r *run) checkBundle(ctx context.Context, list []byte) error {
	data, ok, err := r.read(ctx, mirror.ListBundlePath, mirror.MaxBundleFileBytes, "", BundleInvalid)
	if err != nil || !ok || list == nil {
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

// checkKeyless compares the keyless bundle, where there is one.
func (r *run) checkKeyless(ctx context.Context, list []byte) error {
	data, ok, err := r.read(ctx, mirror.ListKeylessPath, mirror.MaxBundleFileBytes, "", KeylessInvalid)
	if err != nil || !ok || list == nil {
		return err
	}
	if err := mirror.VerifyKeyless(data, list); err != nil {
		r.find(KeylessInvalid, mirror.ListKeylessPath, err.Error())
	}
	return nil
}

// isNewest reports whether data is the newest release's list: the rebuilt one, where that is it, saves the digest.
func (r *run) isNewest(data []byte) bool {
	if r.rebuilt == nil || r.rebuilt.Leaf.ListDigest != r.newest.ListDigest {
		return sha256.Sum256(data) == r.newest.ListDigest
	}
	chunks, err := r.rebuilt.Chunks()
	if err != nil {
		return false
	}
	for _, c := range chunks {
		if len(data) < len(c) || string(data[:len(c)]) != c {
			return false
		}
		data = data[len(c):]
	}
	return len(data) == 0
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
