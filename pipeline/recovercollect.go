package pipeline

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"time"

	"golang.org/x/mod/sumdb/tlog"
	"golang.org/x/sync/errgroup"

	"github.com/starttls-everywhere/policylist/mirror"
	"github.com/starttls-everywhere/policylist/pipeline/signing"
	"github.com/starttls-everywhere/policylist/transparency"
)

// collect fills the staged outbox: for each release its entries, its proof, and what mirrors still keep of it. Files are
// taken as mirrors have them, since other bytes under their names would stop the publisher at a mirror that it brings up
// to date; only what is on none of them is made again.
func (r *recovery) collect(ctx context.Context) error {
	r.young = r.last.Leaf.Timestamp
	var keyring *signing.Keyring
	if r.Keys.OpenPGP != nil {
		public, err := r.Keys.OpenPGP.PublicKey(false)
		if err == nil {
			keyring, err = signing.ReadKeyring(public)
		}
		if err != nil {
			return err
		}
	}
	c := &collection{recovery: r, keyring: keyring}
	g, gctx := errgroup.WithContext(ctx)
	g.SetLimit(uploads)
	for i, m := range r.made {
		g.Go(func() error { return c.release(gctx, m) })
		if r.o.Progress != nil {
			r.o.Progress("releases", i+1, len(r.made))
		}
	}
	if err := g.Wait(); err != nil {
		return err
	}
	r.out.Lost = append(r.out.Lost, c.lost()...)
	return nil
}

// collection counts what is on no mirror any more.
type collection struct {
	*recovery
	keyring *signing.Keyring // nil: no OpenPGP signatures are made

	mu                        sync.Mutex
	lists, signatures, proofs int
	evidence                  []int64
}

// lost is what cannot be recovered, for people.
func (c *collection) lost() []string {
	out := []string{
		"a release that was made and is on no mirror, not even in part: nobody has seen it, and the next one takes its number",
		"what the state said beside the log: its journal, evidence against others in state/evidence, which OpenPGP and cosign signatures older releases had",
		"keyless bundles: a stranger's on a mirror looks like the publisher's; the next release with --keyless has one again",
	}
	add := func(n int, format string) {
		if n > 0 {
			out = append(out, fmt.Sprintf(format, n))
		}
	}
	add(c.lists, "%d lists of the last 30 days that no mirror has: whoever needs one rebuilds it from the log")
	add(c.signatures, "%d OpenPGP signatures over lists of the last 30 days")
	add(c.proofs, "%d release proofs that no mirror has: they were made anew in the newest tree")
	for _, n := range c.evidence {
		out = append(out, fmt.Sprintf("the evidence of release %d, which no mirror has", n))
	}
	return out
}

func (c *collection) count(n *int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	*n++
}

// release completes one release.
func (c *collection) release(ctx context.Context, m *recovered) error {
	published := m.end <= c.target.Tree.N
	if published {
		if err := c.proof(ctx, m); err != nil {
			return err
		}
	}
	m.meta.Done = published && m.meta.Files[outProof] != "" && (m.end < c.target.Tree.N || c.shown())
	if err := c.blob(ctx, m); err != nil {
		return err
	}
	if err := c.observations(ctx, m); err != nil {
		return err
	}
	if m.list != nil {
		if err := c.stage(m, outList, m.list); err != nil {
			return err
		}
	}
	if !m.meta.Done {
		if err := c.bundle(ctx, m); err != nil {
			return err
		}
	}
	data, err := json.Marshal(m.meta)
	if err != nil {
		return err
	}
	return os.WriteFile(c.stagedFile(m, outMeta), append(data, '\n'), 0o644)
}

// shown reports whether some mirror's pointer names the release that ends the signed tree. A crash between checkpoint and
// pointer leaves it unfinished.
func (r *recovery) shown() bool {
	for _, m := range r.group {
		if m.shown && m.Size == r.target.Tree.N {
			return true
		}
	}
	return false
}

func (r *recovery) stagedFile(m *recovered, name string) string {
	return filepath.Join(r.staging, "outbox", fmt.Sprint(m.meta.Release), name)
}

// stage writes one file of a release, and its digest into the release's description.
func (r *recovery) stage(m *recovered, name string, data []byte) error {
	path := r.stagedFile(m, name)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	m.meta.Files[name] = digest(data)
	return os.WriteFile(path, data, 0o644)
}

// each gets an object from one mirror after another until accept takes it. ok is false when none had a good one; the
// error means that one could not be asked.
func (r *recovery) each(ctx context.Context, path string, limit int64, accept func(data []byte) error) (ok bool, err error) {
	var unread error
	for _, m := range r.group {
		data, err := m.reader.Get(ctx, path, limit)
		if ctx.Err() != nil {
			return false, ctx.Err()
		}
		if err == nil && accept(data) == nil {
			return true, nil
		}
		if err != nil && !mirror.IsAbsent(err) && !errors.Is(err, mirror.ErrTooLarge) {
			unread = fmt.Errorf("mirror %s: %w: %w", m.Name, ErrUnjudged, err)
		}
	}
	return false, unread
}

// proof finds a release's proof and the checkpoint in it.
func (c *collection) proof(ctx context.Context, m *recovered) error {
	var proof transparency.Proof
	var note transparency.Cosigned
	var fork error
	found, err := c.each(ctx, mirror.ReleasePath(m.meta.Release), transparency.MaxProofBytes, func(data []byte) (err error) {
		if proof, err = transparency.ParseProof(data); err != nil {
			return err
		}
		if note, err = c.openLogged(proof.Checkpoint); err != nil {
			return err
		}
		if note.Tree.N > 0 && note.Tree.N <= c.target.Tree.N && note.Origin == c.target.Origin {
			// Signed by the log, whatever else the file says.
			if fork = c.contradiction(signedNote{note, mirror.ReleasePath(m.meta.Release)}, c.log); fork != nil {
				return nil
			}
		}
		return c.judgeProof(proof, note, m)
	})
	if err = errors.Join(err, fork); err != nil {
		return err
	}
	if !found && !c.quorum {
		return nil // nothing shows the newest tree as published: the next run has it cosigned again
	}
	if !found {
		c.count(&c.proofs)
		path, err := tlog.ProveRecord(c.target.Tree.N, m.end-1, c.log)
		if err != nil {
			return fmt.Errorf("log: %w", err)
		}
		proof, note = transparency.Proof{Extra: m.raw, Index: m.end - 1, Path: path}, c.target.Cosigned
	}
	proof.Checkpoint = note.Note // without lines of strangers
	if note.Tree.N == m.end {
		if err := c.stage(m, outCheckpoint, note.Note); err != nil {
			return err
		}
	}
	return c.stage(m, outProof, proof.Format())
}

func (c *collection) judgeProof(proof transparency.Proof, note transparency.Cosigned, m *recovered) error {
	_, end := c.ends[note.Tree.N]
	switch {
	case string(proof.Extra) != string(m.raw) || proof.Index != m.end-1:
		return errors.New("it is about another entry")
	case !end || note.Origin != c.target.Origin:
		return errors.New("its tree is none that a release ends")
	}
	if _, err := mirror.OpenCheckpoint(c.Trust, note.Note); err != nil {
		return err // no quorum
	}
	return proof.Check(tlog.RecordHash(m.raw), note.Tree)
}

// blob finds the list as it was compressed and signed. What mirrors may have dropped is not asked for.
func (c *collection) blob(ctx context.Context, m *recovered) error {
	if m.list == nil && c.young.Sub(m.leaf.Timestamp) > mirror.KeepLists || m.leaf.ListSize > mirror.MaxListBytes {
		return nil
	}
	list := m.list
	found, err := c.each(ctx, mirror.BlobPath(m.leaf.ListDigest), mirror.PackedLimit(m.leaf.ListSize), func(data []byte) error {
		got, err := mirror.Unzstd(data, m.leaf.ListSize)
		if err == nil && sha256.Sum256(got) != m.leaf.ListDigest {
			err = errors.New("its content has another digest")
		}
		if err != nil {
			return err
		}
		list = got
		return c.stage(m, outBlob, data)
	})
	if err != nil {
		return err
	}
	switch {
	case found:
	case m.list != nil:
		err = c.stage(m, outBlob, pack(m.list))
	default:
		c.count(&c.lists)
		return nil
	}
	if err != nil || c.keyring == nil {
		return err
	}
	return c.signature(ctx, m, list)
}

// signature finds the OpenPGP signature of a list. One that our key did not make is not ours to spread.
func (c *collection) signature(ctx context.Context, m *recovered, list []byte) error {
	found, err := c.each(ctx, mirror.BlobPGPPath(m.leaf.ListDigest), mirror.MaxPGPBytes, func(data []byte) error {
		if _, _, err := signing.VerifyDetached(c.keyring, list, data, time.Time{}); err != nil {
			return err
		}
		return c.stage(m, outPGP, data)
	})
	if err != nil || found {
		return err
	}
	if m.meta.Done {
		c.count(&c.signatures)
		return nil
	}
	data, err := c.Keys.OpenPGP.Sign(list, c.Now())
	if err != nil {
		return err
	}
	return c.stage(m, outPGP, data)
}

// observations finds the evidence that the release names.
func (c *collection) observations(ctx context.Context, m *recovered) error {
	if m.leaf.Evidence == nil || c.young.Sub(m.leaf.Timestamp) > mirror.KeepEvidence {
		return nil
	}
	found, err := c.each(ctx, mirror.EvidencePath(*m.leaf.Evidence), mirror.MaxPackedEvidence, func(data []byte) error {
		if err := mirror.CheckPacked(data, mirror.MaxObservationsBytes, *m.leaf.Evidence); err != nil {
			return err
		}
		return c.stage(m, outEvidence, data)
	})
	if err == nil && !found {
		c.mu.Lock()
		defer c.mu.Unlock()
		c.evidence = append(c.evidence, m.meta.Release)
	}
	return err
}

// bundle finds or makes the cosign bundle of a release that is still to be published. It is mutable: who has the key may
// sign the same list again.
func (c *collection) bundle(ctx context.Context, m *recovered) error {
	trust, err := c.Trust.Version(m.leaf.Trust)
	if err != nil {
		return err
	}
	found, err := c.each(ctx, mirror.ListBundlePath, mirror.MaxBundleFileBytes, func(data []byte) error {
		if err := mirror.VerifyBundle(data, trust, m.list); err != nil {
			return err
		}
		return c.stage(m, outBundle, data)
	})
	if err != nil || found {
		return err
	}
	keys := c.releaseKeys()
	if len(keys) == 0 {
		return fmt.Errorf("%w: none of the release keys", ErrKeys)
	}
	data, err := signing.SignBundle(ctx, keys[0], m.list)
	if err != nil {
		return err
	}
	return c.stage(m, outBundle, data)
}
