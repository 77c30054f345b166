package pipeline

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"

	"golang.org/x/mod/sumdb/tlog"
	"golang.org/x/sync/errgroup"

	"github.com/starttls-everywhere/policylist/mirror"
	"github.com/starttls-everywhere/policylist/policy"
	"github.com/starttls-everywhere/policylist/transparency"
)

// uploads bounds the requests under way at one mirror.
const uploads = 16

// Published is the last stage: a release that clients can fetch.
type Published struct {
	Logged
	published policy.List
	witnessed bool
	Mirrors   []MirrorResult
	Held      []Held
	Findings  []policy.Finding // of the source; with errors among them the release only renewed the last list
	Resumed   bool             // the release had been begun by an earlier run
	Unchanged bool             // a resumed release was all there was to do
	waiting   error            // why nobody sees it yet: wraps ErrQuorum; nil once it is published
}

// MirrorResult says how publishing went on one mirror.
type MirrorResult struct {
	Name     string
	Err      error // nil: published and verified
	Verified bool
	Site     *SiteResult // the pages there; nil where none are made, or the mirror did not get so far
}

// Leaf is the release's leaf.
func (p *Published) Leaf() *mirror.ReleaseLeaf { return p.leaf }

// Changes are the release's change leaves.
func (p *Published) Changes() []mirror.ChangeLeaf {
	var out []mirror.ChangeLeaf
	for _, e := range p.Logged.entries {
		if l, err := mirror.ParseLeaf(e); err == nil && l.Change != nil {
			out = append(out, *l.Change)
		}
	}
	return out
}

// Witnessed reports whether the trust asks for witnesses, whose cosignatures the checkpoint then carries.
func (p *Published) Witnessed() bool { return p.witnessed }

// Witnesses tells what each witness of the trust did, in its order; empty where the trust names none.
func (p *Published) Witnesses() []WitnessResult { return p.witnesses }

// Waiting reports whether the release is in the log but on no mirror, for want of a quorum.
func (p *Published) Waiting() bool { return p.waiting != nil }

// Tree is the checkpoint's tree.
func (p *Published) Tree() tlog.Tree { return p.tree }

// List is the whole published list.
func (p *Published) List() policy.List { return p.list() }

func (p *Published) list() policy.List {
	if p == nil {
		return policy.List{}
	}
	return p.published
}

func (p *Published) imported() bool { return p != nil && p.leaf.IsImport() }

// Target is one mirror to publish to.
type Target struct {
	Name  string
	Store mirror.Store
}

// ErrAhead means that a mirror holds a signed log that this state does not know: the state was lost or set back, or
// somebody else publishes. Nothing is written.
var ErrAhead = errors.New("a mirror is ahead of this state")

// ErrFork means that a mirror holds a signed checkpoint that contradicts this state's log.
var ErrFork = errors.New("a mirror's signed log contradicts this one")

// ErrMirrors means that no mirror could be published to.
var ErrMirrors = errors.New("no mirror could be reached")

// ErrForeign means that a mirror's checkpoint is none of this list: another list's, or damaged. Nothing is written
// there.
var ErrForeign = errors.New("the mirror holds no checkpoint of this list's log")

// compare looks at every mirror's checkpoint, and at what size each has published. The log's signature is enough to be
// taken seriously: whoever publishes with these keys may not have asked the witnesses. Mirrors that cannot be reached, or
// hold something else, are away; they catch up later, and do not keep the others from the release.
func (p *Publisher) compare(ctx context.Context) error {
	p.sizes, p.away = map[string]int64{}, map[string]error{}
	ours := p.log.Tree()
	for _, m := range p.Mirrors {
		note, err := m.Store.Get(ctx, mirror.CheckpointPath, transparency.MaxCheckpointBytes)
		if mirror.IsAbsent(err) {
			p.sizes[m.Name] = 0
			continue
		}
		if err != nil {
			p.away[m.Name] = err
			continue
		}
		c, err := p.openLogged(note)
		if err != nil {
			p.away[m.Name] = fmt.Errorf("%w: %s: %w", ErrForeign, mirror.CheckpointPath, err)
			continue
		}
		if c.Origin != p.Trust.Newest().Origin {
			p.away[m.Name] = p.otherLog(c.Origin)
			continue
		}
		if c.Tree.N > ours.N {
			return fmt.Errorf("%w: %s has %d log entries, this state has %d", ErrAhead, m.Name, c.Tree.N, ours.N)
		}
		root, err := tlog.TreeHash(c.Tree.N, p.log)
		if err != nil {
			return err
		}
		if root != c.Tree.Hash {
			return p.forked(m, c)
		}
		p.sizes[m.Name] = c.Tree.N
	}
	return nil
}

// spread puts tiles and entries, to which nobody refers yet, on at least one mirror.
func (p *Publisher) spread(ctx context.Context, s Signed) error {
	var errs []error
	for _, m := range p.Mirrors {
		err := p.away[m.Name]
		if err == nil {
			err = p.putTiles(ctx, m.Store, p.sizes[m.Name], s.meta.Start+int64(s.meta.Count))
		}
		if err == nil {
			return nil
		}
		if errors.Is(err, mirror.ErrConflict) {
			return fmt.Errorf("mirror %s: %w", m.Name, err)
		}
		errs = append(errs, fmt.Errorf("mirror %s: %w", m.Name, err))
	}
	return fmt.Errorf("%w: %w", ErrMirrors, errors.Join(errs...))
}

func (p *Publisher) putTiles(ctx context.Context, store mirror.Store, old, new int64) error {
	var tiles, entries []string
	for _, path := range mirror.TilePaths(old, new) {
		if strings.HasPrefix(path, "tile/entries/") {
			entries = append(entries, path)
		} else {
			tiles = append(tiles, path)
		}
	}
	for _, paths := range [][]string{tiles, entries} {
		g, ctx := errgroup.WithContext(ctx)
		g.SetLimit(uploads)
		for _, path := range paths {
			g.Go(func() error {
				data, err := p.log.ReadFile(path)
				if err != nil {
					return fmt.Errorf("log: %w", err)
				}
				return store.Create(ctx, mirror.NewTile(path, data))
			})
		}
		if err := g.Wait(); err != nil {
			return err
		}
	}
	return nil
}

// publish brings every reachable mirror up to the release, and has a client verify each. One mirror that is down
// does not stop the others; a conflict stops everything.
func (p *Publisher) publish(ctx context.Context, l Logged) (*Published, error) {
	out := &Published{Logged: l, witnessed: !p.Trust.Newest().Witnesses.IsNone()}
	var err error
	if out.published, err = p.listOf(l.Signed); err != nil {
		return nil, err
	}
	good, made := 0, pages{}
	for _, m := range p.Mirrors {
		result := MirrorResult{Name: m.Name}
		result.Site, result.Err = p.publishTo(ctx, m, l, &made)
		if errors.Is(result.Err, mirror.ErrConflict) || errors.Is(result.Err, ErrFenced) {
			return out, fmt.Errorf("mirror %s: %w", m.Name, result.Err)
		}
		if result.Err == nil && !p.SkipVerify {
			result.Err = p.verify(ctx, m, l)
			result.Verified = result.Err == nil
		}
		if result.Err == nil {
			good++
		}
		out.Mirrors = append(out.Mirrors, result)
	}
	if good == 0 {
		return out, fmt.Errorf("%w: release %d is logged and goes out with the next run", ErrMirrors, l.meta.Release)
	}
	p.step(l.meta.Release, "published")
	return out, p.outbox.finish(l.meta, map[string][]byte{outCheckpoint: l.checkpoint, outProof: l.proof})
}

// listOf is the list that a release publishes.
func (p *Publisher) listOf(s Signed) (policy.List, error) {
	if s.list != nil {
		return *s.list, nil
	}
	data, err := p.outbox.read(s.meta, outList)
	if err != nil {
		return policy.List{}, err
	}
	_, list, err := policy.ParseList(data)
	if err == nil && sha256.Sum256(data) != s.leaf.ListDigest {
		err = errors.New("it is not the list that the release leaf names")
	}
	if err != nil {
		return policy.List{}, fmt.Errorf("%w: %s: %w", ErrState, p.outbox.path(s.meta.Release, outList), err)
	}
	return list, nil
}

// publishTo writes one mirror in the fixed order: what is referred to before what refers, the pointer last. A client
// that reads at any moment finds everything that it is told of.
func (p *Publisher) publishTo(ctx context.Context, m Target, l Logged, made *pages) (*SiteResult, error) {
	if err := p.away[m.Name]; errors.Is(err, ErrOtherLog) {
		return nil, errors.Join(err, p.putTrust(ctx, m.Store)) // so that clients there learn that this log has ended
	} else if err != nil {
		return nil, err
	}
	size := p.sizes[m.Name]
	missing, err := p.since(size, l)
	if err != nil {
		return nil, err
	}
	if err := p.putTrust(ctx, m.Store); err != nil {
		return nil, err
	}
	for _, s := range missing {
		end := s.meta.Start + int64(s.meta.Count)
		if err := p.putTiles(ctx, m.Store, size, end); err != nil {
			return nil, err
		}
		size = end
	}
	for _, s := range missing {
		if err := p.putBlobs(ctx, m.Store, s); err != nil {
			return nil, err
		}
	}
	shown, err := p.putSite(ctx, m, l, made)
	if err != nil {
		return shown, err
	}
	if err := p.fence(ctx); err != nil {
		return shown, err
	}
	if err := p.putMutable(ctx, m.Store, l); err != nil {
		return shown, err
	}
	p.dropKeyless(ctx, m, l, missing[0].meta.Release-1)
	p.sizes[m.Name] = l.tree.N
	return shown, nil
}

// since returns the releases that a mirror of the given log size lacks, oldest first, the present one always.
// Their files are all looked at before the first is written.
func (p *Publisher) since(size int64, l Logged) ([]Signed, error) {
	out := []Signed{l.Signed}
	for n := l.meta.Release - 1; n > 0 && out[0].meta.Start > size; n-- {
		s, err := p.loadSigned(n)
		if err != nil {
			if _, gone := os.Lstat(p.outbox.path(n, "")); errors.Is(gone, fs.ErrNotExist) {
				break // older than what the outbox keeps
			}
			return nil, err
		}
		if p.inEarlierLog(s) {
			break
		}
		if err := p.outbox.check(s.meta); err != nil {
			return nil, err
		}
		out = append([]Signed{s}, out...)
	}
	return out, nil
}

// putBlobs writes what a release has under names of its own. A release that was superseded before its checkpoint was
// signed has no proof.
func (p *Publisher) putBlobs(ctx context.Context, store mirror.Store, s Signed) error {
	files := []struct{ name, path string }{
		{outBlob, mirror.BlobPath(s.leaf.ListDigest)},
		{outPGP, mirror.BlobPGPPath(s.leaf.ListDigest)},
	}
	if s.leaf.Evidence != nil {
		files = append(files, struct{ name, path string }{outEvidence, mirror.EvidencePath(*s.leaf.Evidence)})
	}
	files = append(files, struct{ name, path string }{outProof, mirror.ReleasePath(s.meta.Release)})
	for _, f := range files {
		data, err := p.outbox.read(s.meta, f.name)
		if err != nil {
			return err
		}
		if data == nil {
			continue
		}
		err = store.Create(ctx, mirror.NewObject(f.path, data))
		if f.name == outProof && errors.Is(err, mirror.ErrConflict) {
			err = p.clash(ctx, store, s, err)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func (p *Publisher) putMutable(ctx context.Context, store mirror.Store, l Logged) error {
	for _, f := range []struct{ name, path string }{
		{outList, mirror.ListPath},
		{outPGP, mirror.ListPGPPath},
		{outBundle, mirror.ListBundlePath},
		{outKeyless, mirror.ListKeylessPath},
		{outCheckpoint, mirror.CheckpointPath},
		{outProof, mirror.PointerPath},
	} {
		data, err := p.outbox.read(l.meta, f.name)
		if err != nil {
			return err
		}
		if data == nil {
			continue
		}
		if err := store.Put(ctx, mirror.NewObject(f.path, data)); err != nil {
			return err
		}
	}
	return nil
}
