package pipeline

import (
	"context"
	"errors"
	"io/fs"

	"github.com/starttls-everywhere/policylist/mirror"
)

// Keyless makes a bundle over a list that names who made it rather than a key (pipeline/signing/keyless).
type Keyless interface {
	Bundle(ctx context.Context, list []byte) ([]byte, error)
}

// signKeyless makes the keyless bundle of a release, nil where none is asked for or none could be made: it is an extra for
// other people's tools, and a certificate authority that is down must not let a list expire. The only error is that ctx has
// ended. Signatures of this kind never come out twice, so the bundle goes to the outbox with the release.
func (p *Publisher) signKeyless(ctx context.Context, release int64, list []byte) ([]byte, error) {
	if p.Keyless == nil {
		return nil, nil
	}
	bundle, err := p.Keyless.Bundle(ctx, list)
	if err == nil {
		err = mirror.VerifyKeyless(bundle, list)
	}
	if err == nil {
		return bundle, nil
	}
	if ctx.Err() != nil {
		return nil, ctx.Err()
	}
	p.Log.Warn("the release has no keyless bundle", "release", release, "err", err)
	return nil, nil
}

// dropKeyless removes the keyless bundle of an earlier release from a mirror that shows one without: beside another list it
// would look like a forgery. before is the last release that the mirror may have shown. A mirror that does not let go of it
// keeps nobody from the list.
func (p *Publisher) dropKeyless(ctx context.Context, m Target, l Logged, before int64) {
	if l.meta.Files[outKeyless] != "" || !p.mayShowKeyless(before, l.meta.Release) {
		return
	}
	if err := m.Store.Delete(ctx, mirror.ListKeylessPath); err != nil {
		p.Log.Warn("the keyless bundle of an earlier release stays", "mirror", m.Name, "path", mirror.ListKeylessPath, "err", err)
	}
}

// mayShowKeyless reports whether one of the releases [from, to) had a keyless bundle, or may have had one: what was rebuilt
// from mirrors does not tell.
func (p *Publisher) mayShowKeyless(from, to int64) bool {
	for n := max(from, 1); n < to; n++ {
		m, err := p.outbox.meta(n)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil || m.Recovered || m.Files[outKeyless] != "" {
			return true
		}
	}
	return false
}
