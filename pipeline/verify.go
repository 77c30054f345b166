package pipeline

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/starttls-everywhere/policylist/mirror"
	"github.com/starttls-everywhere/policylist/mirror/durable"
)

// verify fetches the release through a mirror as two clients do: one that has nothing, and one that followed this
// mirror so far. Both must end with the release's bytes.
func (p *Publisher) verify(ctx context.Context, m Target, l Logged) error {
	cold, err := os.MkdirTemp(p.State, ".tmp-verify-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(cold)
	if err := p.verifyIn(ctx, cold, m, l, mirror.Snapshot); err != nil {
		return fmt.Errorf("a new client: %w", err)
	}
	warm := filepath.Join(p.State, "verify", m.folder())
	err = p.verifyIn(ctx, warm, m, l, mirror.Auto)
	if err == nil || ctx.Err() != nil || errors.Is(err, mirror.ErrNoMirror) || errors.Is(err, mirror.ErrSecurity) || errors.Is(err, errOtherRelease) {
		return followed(warm, err)
	}
	// Neither the mirror nor the log is to blame, but this folder, and the list must not wait for somebody to repair it.
	p.Log.Warn("starting the folder of a verifying client anew", "path", warm, "err", err)
	if err := os.RemoveAll(warm); err != nil {
		return followed(warm, err)
	}
	return followed(warm, p.verifyIn(ctx, warm, m, l, mirror.Auto))
}

// errOtherRelease means that a client ended with another release than the one that was published.
var errOtherRelease = errors.New("it did not get this release")

func followed(folder string, err error) error {
	if err != nil {
		err = fmt.Errorf("a client that followed, in %s: %w", folder, err)
	}
	return err
}

// folder names the mirror's client folder.
func (m Target) folder() string {
	return fmt.Sprintf("%x", []byte(m.Name))
}

func (p *Publisher) verifyIn(ctx context.Context, dir string, m Target, l Logged, method mirror.Method) error {
	if err := os.MkdirAll(filepath.Join(dir, "trust"), 0o755); err != nil {
		return err
	}
	first := p.Trust.Versions()[0]
	if err := durable.WriteFile(filepath.Join(dir, mirror.TrustPath(first.Version)), first.Note(), 0o644); err != nil {
		return err
	}
	client := mirror.Client{
		Dir: dir, Sources: []mirror.Source{{Name: m.Name, Reader: m.Store}}, Now: p.Now, Log: p.Log, Method: method,
		Accept: l.meta.Release, KeepStale: true,
	}
	got, err := client.Update(ctx)
	if err != nil {
		if len(got.Problems) > 0 {
			err = fmt.Errorf("%w: %s", err, strings.Join(got.Problems, "; "))
		}
		return err
	}
	if got.Release.Release != l.meta.Release || got.Release.ListDigest != l.leaf.ListDigest {
		return fmt.Errorf("%w: it got release %d with digest %x", errOtherRelease, got.Release.Release, got.Release.ListDigest)
	}
	return nil
}
