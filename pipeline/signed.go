package pipeline

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/klauspost/compress/zstd"

	"github.com/starttls-everywhere/policylist/mirror"
	"github.com/starttls-everywhere/policylist/pipeline/signing"
	"github.com/starttls-everywhere/policylist/policy"
	"github.com/starttls-everywhere/policylist/transparency"
)

// Signed is the third stage: a release whose every byte is decided, signed and durable in the outbox. From here on a
// crash is answered by going on with these bytes.
type Signed struct {
	meta    meta
	leaf    *mirror.ReleaseLeaf
	raw     []byte       // the leaf
	entries [][]byte     // nil where it was taken back from the outbox: entriesOf has them
	list    *policy.List // likewise: listOf
}

// ErrClock means that the clock cannot be right: time would run backwards in the log.
var ErrClock = errors.New("the clock is wrong")

// sign decides and signs release number last+1, to be logged from index start on.
func (p *Publisher) sign(ctx context.Context, plan Probed, last *Published, start int64) (Signed, error) {
	leaf, err := p.draft(plan, last)
	if err != nil {
		return Signed{}, err
	}
	var entries [][]byte
	for _, c := range p.changes(plan, last) {
		c.Release = leaf.Release
		entries = append(entries, c.Append(nil))
	}
	leaf.From, leaf.To = start, start+int64(len(entries))
	for _, t := range p.newTrust(last) {
		entries = append(entries, mirror.TrustLeaf{Digest: t.Digest(), Version: t.Version}.Append(nil))
	}
	list, err := plan.list.Bytes(leaf.Header())
	if err != nil {
		return Signed{}, err
	}
	leaf.Count, leaf.ListSize, leaf.ListDigest = int64(plan.list.Len()), int64(len(list)), sha256.Sum256(list)
	if plan.evidence != nil {
		leaf.Evidence = &plan.evidence.digest
	}
	raw, err := p.signLeaf(ctx, leaf)
	if err != nil {
		return Signed{}, err
	}
	s := Signed{meta{Release: leaf.Release, Start: start, Count: len(entries) + 1}, leaf, raw, append(entries, raw), &plan.list}
	s.meta.Files, err = p.store(ctx, s, list, plan)
	return s, err
}

// ErrOtherOrigin means that list.json names another list than the newest trust version.
var ErrOtherOrigin = errors.New("source and trust name two origins")

// draft fills in what does not depend on the log.
func (p *Publisher) draft(plan Probed, last *Published) (*mirror.ReleaseLeaf, error) {
	trust := p.Trust.Newest()
	leaf := &mirror.ReleaseLeaf{
		Author: plan.author, Origin: trust.Origin, Override: plan.override, Source: plan.source, Trust: trust.Version,
		Timestamp: p.Now().UTC().Truncate(time.Second), Release: 1,
	}
	leaf.Expires = leaf.Timestamp.Add(plan.lifetime)
	if !plan.timestamp.IsZero() {
		leaf.Timestamp, leaf.Expires = plan.timestamp, plan.expires
	}
	if plan.origin != "" && plan.origin != trust.Origin {
		return nil, fmt.Errorf("%w: the source's is %q, the trust's is %q", ErrOtherOrigin, plan.origin, trust.Origin)
	}
	if leaf.Timestamp.After(trust.Expires) {
		return nil, fmt.Errorf("trust version %d expired at %s: no client would apply a release under it; make the next version first", trust.Version, trust.Expires.Format(policy.TimeFormat))
	}
	if last == nil {
		return leaf, nil
	}
	leaf.Release = last.leaf.Release + 1
	previous := sha256.Sum256(last.raw)
	leaf.Previous = &previous
	if plan.timestamp.IsZero() && !leaf.Timestamp.After(last.leaf.Timestamp) {
		// Two releases within one second, as in scripts: the format has whole seconds. More is a clock set back.
		if last.leaf.Timestamp.Sub(leaf.Timestamp) > 5*time.Second {
			return nil, fmt.Errorf("%w: it says %s, release %d was made at %s", ErrClock, leaf.Timestamp.Format(policy.TimeFormat), last.leaf.Release, last.leaf.Timestamp.Format(policy.TimeFormat))
		}
		leaf.Timestamp = last.leaf.Timestamp.Add(time.Second)
		leaf.Expires = leaf.Timestamp.Add(plan.lifetime)
	}
	return leaf, nil
}

// newTrust lists the versions that are not in the log yet, oldest first. Version 1 never is: clients know it by its
// fingerprint.
func (p *Publisher) newTrust(last *Published) []*transparency.Trust {
	logged := int64(1)
	if last != nil {
		logged = last.leaf.Trust
	}
	var out []*transparency.Trust
	for _, t := range p.Trust.Versions() {
		if t.Version > logged {
			out = append(out, t)
		}
	}
	return out
}

// signLeaf adds the signatures and makes sure that a client would accept them.
func (p *Publisher) signLeaf(ctx context.Context, leaf *mirror.ReleaseLeaf) ([]byte, error) {
	msg, err := leaf.Message()
	if err != nil {
		return nil, err
	}
	for _, key := range p.releaseKeys() {
		sig, err := key.Sign(ctx, msg)
		if err != nil {
			return nil, fmt.Errorf("release key: %w", err)
		}
		leaf.Signatures = append(leaf.Signatures, transparency.KeySignature{Key: key.KeyID(), Signature: sig})
	}
	if err := p.Trust.Newest().VerifyRelease(msg, leaf.Signatures); err != nil {
		return nil, fmt.Errorf("%w: the release keys: %w", ErrKeys, err)
	}
	return leaf.Bytes()
}

// releaseKeys are the configured keys that the newest trust counts: around a rotation both the old and the new one may
// be configured.
func (p *Publisher) releaseKeys() []signing.Signer {
	counted := map[[32]byte]bool{}
	for _, k := range p.Trust.Newest().ReleaseKeys() {
		counted[k.ID()] = true
	}
	return slices.DeleteFunc(slices.Clone(p.Keys.Release), func(k signing.Signer) bool { return !counted[k.KeyID()] })
}

// store makes the signed release durable in the outbox and returns the digests of its files.
func (p *Publisher) store(ctx context.Context, s Signed, list []byte, plan Probed) (map[string]string, error) {
	files := map[string][]byte{outList: list, outBlob: pack(list)}
	for _, e := range s.entries {
		var err error
		if files[outEntries], err = transparency.AppendEntry(files[outEntries], e); err != nil {
			return nil, err
		}
	}
	if plan.evidence != nil {
		files[outEvidence] = plan.evidence.packed
	}
	var err error
	if p.Site != nil {
		if files[outPending], err = json.Marshal(map[string]any{"held": HeldJSON(plan.held)}); err != nil {
			return nil, err
		}
	}
	if files[outBundle], err = signing.SignBundle(ctx, p.releaseKeys()[0], list); err != nil {
		return nil, err
	}
	if p.Keys.OpenPGP != nil {
		if files[outPGP], err = p.Keys.OpenPGP.Sign(list, p.Now()); err != nil {
			return nil, err
		}
	}
	if files[outKeyless], err = p.signKeyless(ctx, s.meta.Release, list); err != nil {
		return nil, err
	}
	if files[outKeyless] == nil {
		delete(files, outKeyless)
	}
	s.meta.Files = map[string]string{}
	for name, data := range files {
		s.meta.Files[name] = digest(data)
	}
	if files[outMeta], err = json.Marshal(s.meta); err != nil {
		return nil, err
	}
	return s.meta.Files, p.outbox.create(s.meta.Release, files)
}

// loadSigned takes a release back from the outbox, all but its entries and its list: the first release has an entry for
// every domain, and of one that is done nobody asks for them.
func (p *Publisher) loadSigned(release int64) (Signed, error) {
	m, err := p.outbox.meta(release)
	if err != nil {
		return Signed{}, err
	}
	entries, err := p.outbox.entries(m)
	if err != nil {
		return Signed{}, err
	}
	raw := bytes.Clone(entries[len(entries)-1]) // it would keep all of them
	leaf, err := mirror.ParseLeaf(raw)
	if err != nil || leaf.Release == nil || leaf.Release.Release != release || leaf.Release.From != m.Start || !p.isOurs(leaf.Release.Origin) {
		return Signed{}, fmt.Errorf("%w: %s does not end in the leaf of a release %d of this list whose entries begin at %d",
			ErrState, p.outbox.path(release, outEntries), release, m.Start)
	}
	return Signed{m, leaf.Release, raw, nil, nil}, nil
}

// entriesOf are the log entries of a release.
func (p *Publisher) entriesOf(s Signed) ([][]byte, error) {
	if s.entries != nil {
		return s.entries, nil
	}
	return p.outbox.entries(s.meta)
}

// isOurs reports whether a trust version names the origin.
func (p *Publisher) isOurs(origin string) bool {
	return slices.ContainsFunc(p.Trust.Versions(), func(t *transparency.Trust) bool { return t.Origin == origin })
}

// pack compresses with zstd; the bytes may differ between versions of the library, which is why they go to the outbox.
func pack(data []byte) []byte {
	var b bytes.Buffer
	z, err := zstd.NewWriter(&b, zstd.WithEncoderLevel(zstd.SpeedBetterCompression), zstd.WithEncoderConcurrency(1))
	if err != nil {
		panic(err) // the options are constants
	}
	z.Write(data) // into memory
	z.Close()
	return b.Bytes()
}
