package pipeline

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

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
	if err := p.verifyIn(ctx, warm, m, l, mirror.Auto); err != nil {
		return fmt.Errorf("a client that followed: %w", err)
	}
	return nil
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
		return errors.Join(err, fmt.Errorf("%v", got.Problems))
	}
	if got.Release.Release != l.meta.Release || got.Release.ListDigest != l.leaf.ListDigest {
		return fmt.Errorf("it got release %d with digest %x", got.Release.Release, got.Release.ListDigest)
	}
	return nil
}
