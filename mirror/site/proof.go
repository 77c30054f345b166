package site

import (
	"errors"
	"fmt"
	"path"
	"slices"
	"strings"

	"golang.org/x/mod/sumdb/tlog"

	"github.com/starttls-everywhere/policylist/mirror"
	"github.com/starttls-everywhere/policylist/policy"
	"github.com/starttls-everywhere/policylist/transparency"
)

// maxProofName is how long the name of a proof's file may be: that of a file is no longer on any common system, while a domain
// may have 253 bytes.
const maxProofName = 255

// ProofPath names the proof of a domain's newest change. A domain whose name leaves no room for the suffix is cut.
func ProofPath(domain string) string {
	const suffix = ".tlog-proof"
	return "site/domain/" + domain + "/" + domain[:min(len(domain), maxProofName-len(suffix))] + suffix
}

// Proof is the name of the page's proof, in its folder.
func (p domainPage) Proof() string { return path.Base(ProofPath(p.Name)) }

// proof is the C2SP tlog-proof of a change leaf, which is its extra data, in the tree of the release that made it.
func (m *Model) proof(e Event) ([]byte, error) {
	note := m.notes[e.Release]
	path, err := tlog.ProveRecord(note.Tree.N, e.Index, m.record.hashes)
	if err != nil {
		return nil, err
	}
	return transparency.Proof{Extra: m.record.entries[e.Index], Index: e.Index, Path: path, Checkpoint: note.Note}.Format(), nil
}

// ErrNeverListed is returned for a domain that the log does not speak of.
var ErrNeverListed = errors.New("the list never had it")

// Proof is the C2SP tlog-proof of a domain's newest change.
func (m *Model) Proof(domain policy.Domain) ([]byte, error) {
	at, ok := slices.BinarySearchFunc(m.Domains, domain.String(), func(d Domain, name string) int { return strings.Compare(d.Name.String(), name) })
	if !ok {
		return nil, fmt.Errorf("%s: %w", domain, ErrNeverListed)
	}
	return m.proof(m.Domains[at].Last())
}

// ErrProof is what OpenProof wraps.
var ErrProof = errors.New("the proof does not hold")

// Proven is a change that a proof shows in the log.
type Proven struct {
	Change     *mirror.ChangeLeaf
	Index      int64
	Checkpoint transparency.Cosigned
}

// OpenProof verifies the proof of a change as far as one file can be: the log and the witnesses signed a tree that has
// the leaf at its place. That a valid release claims the leaf, and that no later one changed the domain again, is in the
// log and not in the file: see Claims. Errors wrap ErrProof.
func OpenProof(data []byte, chain *transparency.TrustChain) (Proven, error) {
	fail := func(err error) (Proven, error) { return Proven{}, fmt.Errorf("%w: %w", ErrProof, err) }
	proof, err := transparency.ParseProof(data)
	if err != nil {
		return fail(err)
	}
	leaf, err := mirror.ParseLeaf(proof.Extra)
	if err != nil {
		return fail(err)
	}
	if leaf.Change == nil {
		return fail(errors.New("it is not about a change of a domain's policy"))
	}
	c, err := mirror.OpenCheckpoint(chain, proof.Checkpoint)
	if err != nil {
		return fail(err)
	}
	if err := proof.Check(tlog.RecordHash(proof.Extra), c.Tree); err != nil {
		return fail(err)
	}
	return Proven{leaf.Change, proof.Index, c}, nil
}

// Claims reports whether a release, whose own proof was verified, made the change. Errors wrap ErrProof.
func (p Proven) Claims(rel *mirror.Release) error {
	leaf := rel.Leaf
	if leaf.Origin != p.Checkpoint.Origin || leaf.Release != p.Change.Release || p.Index < leaf.From || p.Index >= leaf.To {
		return fmt.Errorf("%w: release %d of %s has the changes [%d, %d), not entry %d", ErrProof, leaf.Release, leaf.Origin, leaf.From, leaf.To, p.Index)
	}
	return nil
}
