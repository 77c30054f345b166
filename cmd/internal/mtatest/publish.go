package mtatest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	"github.com/starttls-everywhere/policylist/mirror"
	"github.com/starttls-everywhere/policylist/mirror/dir"
	"github.com/starttls-everywhere/policylist/pipeline"
	"github.com/starttls-everywhere/policylist/pipeline/signing"
	"github.com/starttls-everywhere/policylist/policy"
	"github.com/starttls-everywhere/policylist/transparency/tilelog"
)

const settings = `{"author": "The operator of an example list", "origin": "log.example/list"}`

// Publish makes the next release of the list whose operator's folder is at home, at now, from the fragment, and puts it on
// the mirror at public; without a fragment it ends the list. The operator's folder is made when it is absent. It returns
// the fingerprint that a mail server joins by.
func Publish(ctx context.Context, home, public string, now time.Time, fragment []byte) (fingerprint string, err error) {
	_, err = pipeline.Setup(home, pipeline.SetupOptions{Origin: "log.example/list", Plain: true, Now: now})
	if err != nil && !errors.Is(err, pipeline.ErrExists) {
		return "", err
	}
	p, err := Publisher(home, public, now)
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
	for name, data := range map[string][]byte{policy.SettingsName: []byte(settings), "entries.json": fragment} {
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

// Publisher has the keys and folders of the operator at home, and one mirror, a folder.
func Publisher(home, public string, now time.Time) (*pipeline.Publisher, error) {
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
