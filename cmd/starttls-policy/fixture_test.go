package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/starttls-everywhere/policylist/mirror"
	"github.com/starttls-everywhere/policylist/mirror/dir"
	"github.com/starttls-everywhere/policylist/pipeline"
	"github.com/starttls-everywhere/policylist/pipeline/signing"
	"github.com/starttls-everywhere/policylist/policy"
	"github.com/starttls-everywhere/policylist/transparency"
	"github.com/starttls-everywhere/policylist/transparency/tilelog"
)

const testSettings = `{"author": "The operator of an example list", "origin": "log.example/list"}`

// publish makes the next release of the list whose operator's folder is at home, at the given time, from the fragment,
// and puts it on the mirror at public; without a fragment it ends the list. The operator's folder is made when it is
// absent. It returns the fingerprint.
func publish(ctx context.Context, home, public, at string, fragment []byte) (fingerprint string, err error) {
	now, err := policy.ParseTime(at)
	if err != nil {
		return "", err
	}
	_, err = pipeline.Setup(home, pipeline.SetupOptions{Origin: "log.example/list", Plain: true, Now: now})
	if err != nil && !errors.Is(err, pipeline.ErrExists) {
		return "", err
	}
	p, err := openPublisher(home, public, now)
	if err != nil {
		return "", err
	}
	fingerprint = fmt.Sprintf("%x", p.Trust.Versions()[0].Digest())
	if fragment == nil {
		_, err := p.Final(ctx)
		return fingerprint, err
	}
	if err := errors.Join(os.RemoveAll(p.Source), os.Mkdir(p.Source, 0o755)); err != nil {
		return "", err
	}
	for name, data := range map[string][]byte{policy.SettingsName: []byte(testSettings), "entries.json": fragment} {
		if err := os.WriteFile(filepath.Join(p.Source, name), data, 0o644); err != nil {
			return "", err
		}
	}
	out, err := p.Release(ctx)
	if err == nil && policy.HasErrors(out.Findings) {
		err = fmt.Errorf("the source has errors: %v", out.Findings)
	}
	return fingerprint, err
}

func openPublisher(home, public string, now time.Time) (*pipeline.Publisher, error) {
	chain, err := mirror.ReadTrust(filepath.Join(home, pipeline.TrustDir))
	if err != nil {
		return nil, err
	}
	release, _, err := signing.Load(filepath.Join(home, pipeline.ReleaseKeyFile), signing.Password{})
	if err != nil {
		return nil, err
	}
	log, _, err := signing.Load(filepath.Join(home, pipeline.LogKeyFile), signing.Password{})
	if err != nil {
		return nil, err
	}
	logSigner, err := log.NoteSigner(chain.Newest().Origin)
	if err != nil {
		return nil, err
	}
	store, err := dir.Open(public)
	if err != nil {
		return nil, err
	}
	return &pipeline.Publisher{
		Source: filepath.Join(home, pipeline.SourceDir), Commit: pipeline.NoCommit, State: filepath.Join(home, pipeline.StateDir),
		Trust: chain, Keys: pipeline.Keys{Release: []signing.Signer{release}, Log: logSigner},
		OpenLog: func(dir string) (pipeline.Log, error) { return tilelog.Open(dir) },
		Mirrors: []pipeline.Target{{Name: "public", Store: store}},
		Now:     func() time.Time { return now }, Log: slog.New(slog.NewTextHandler(io.Discard, nil)),
	}, nil
}

// rotate makes, signs and publishes the next trust version, with the keys of the present one, at the given time.
func rotate(home, at string) error {
	now, err := policy.ParseTime(at)
	if err != nil {
		return err
	}
	folder := filepath.Join(home, pipeline.TrustDir)
	chain, err := mirror.ReadTrust(folder)
	if err != nil {
		return err
	}
	t := chain.Newest()
	draft, err := transparency.NewTrust(t.Version+1, now.AddDate(1, 0, 0), t.RootK, t.RootVKeys(), t.ReleaseK, t.ReleaseKeys(), t.LogVKey(), t.Witnesses)
	if err != nil {
		return err
	}
	root, _, err := signing.Load(filepath.Join(home, pipeline.RootKeyFile), signing.Password{})
	if err != nil {
		return err
	}
	name, _, _ := strings.Cut(t.RootVKeys()[0], "+")
	signer, err := root.NoteSigner(name)
	if err != nil {
		return err
	}
	c, err := pipeline.StartCeremony(folder, draft, now)
	if err == nil {
		err = c.Sign(nil, signer)
	}
	if err == nil {
		_, err = c.Publish(now)
	}
	return err
}

// bulk is a fragment of n enforcing domains with one MX each, for the diff guard.
func bulk(n int, mx string) []byte {
	var b strings.Builder
	b.WriteString(`{"policies": {`)
	for i := range n {
		if i > 0 {
			b.WriteString(",")
		}
		fmt.Fprintf(&b, "\n\"d%03d.example\": {\"mode\": \"enforce\", \"mxs\": [\"%s.d%03d.example\"]}", i, mx, i)
	}
	return []byte(b.String() + "\n}}\n")
}
