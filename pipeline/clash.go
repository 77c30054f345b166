package pipeline

import (
	"bytes"
	"context"
	"errors"
	"fmt"

	"github.com/starttls-everywhere/policylist/mirror"
	"github.com/starttls-everywhere/policylist/policy"
	"github.com/starttls-everywhere/policylist/transparency"
)

// ErrStranger means that a mirror has something in the place of a release's proof that is no release of this list.
// Nothing is overwritten there.
var ErrStranger = errors.New("somebody else wrote to the mirror")

// clash says what a mirror has at the name of s's proof, where other bytes stand than ours. The name is a number, not a
// digest, so whoever can write to the mirror can take it, with rubbish or with a release that stolen keys signed and that
// no client takes. The operator has to know which: the object is removed by hand, and the next run goes on.
func (p *Publisher) clash(ctx context.Context, store mirror.Store, s Signed, conflict error) error {
	path := mirror.ReleasePath(s.meta.Release)
	data, err := store.Get(ctx, path, transparency.MaxProofBytes)
	if err != nil && !errors.Is(err, mirror.ErrTooLarge) {
		return fmt.Errorf("%w; reading it: %w", conflict, err)
	}
	stranger := func(why error) error {
		return fmt.Errorf("%w: %w: it is no release of this list (%w)", ErrStranger, conflict, why)
	}
	if err != nil {
		return stranger(err)
	}
	proof, err := transparency.ParseProof(data)
	if err != nil {
		return stranger(err)
	}
	if bytes.Equal(proof.Extra, s.raw) {
		return fmt.Errorf("%w: it proves the same release %d under another checkpoint: another run with this state made it", conflict, s.meta.Release)
	}
	leaf, err := mirror.ParseLeaf(proof.Extra)
	if err == nil && leaf.Release == nil {
		err = errors.New("its leaf is not a release's")
	}
	if err == nil {
		err = p.signedByOurs(leaf.Release)
	}
	if err != nil {
		return stranger(err)
	}
	return fmt.Errorf("%w: it is about another release, number %d of %s, which the release keys of trust version %d signed; when it is known who did that, and new keys are in force if they were stolen, remove it from the mirror, and the next run goes on",
		conflict, leaf.Release.Release, leaf.Release.Timestamp.Format(policy.TimeFormat), leaf.Release.Trust)
}

// signedByOurs is nil for a leaf that release keys of any trust version signed.
func (p *Publisher) signedByOurs(leaf *mirror.ReleaseLeaf) error {
	t, err := p.Trust.Version(leaf.Trust)
	if err != nil {
		return err
	}
	msg, err := leaf.Message()
	if err != nil {
		return err
	}
	return t.VerifyRelease(msg, leaf.Signatures)
}
