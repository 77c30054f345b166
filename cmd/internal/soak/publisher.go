package soak

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"slices"
	"time"

	"github.com/aws/aws-sdk-go-v2/credentials"

	"golang.org/x/mod/sumdb/tlog"

	"github.com/starttls-everywhere/policylist/mirror"
	"github.com/starttls-everywhere/policylist/mirror/dir"
	"github.com/starttls-everywhere/policylist/mirror/s3"
	"github.com/starttls-everywhere/policylist/pipeline"
	"github.com/starttls-everywhere/policylist/pipeline/signing"
	"github.com/starttls-everywhere/policylist/transparency/tilelog"
	"github.com/starttls-everywhere/policylist/transparency/witness"
)

// agent is the User-Agent of everything here.
const agent = "starttls-list-soak"

// newPublisher opens an operator's folder as "release" does. Nothing is probed: the domains do not exist.
func newPublisher(home string, now func() time.Time, targets []pipeline.Target, f *fuse) (*pipeline.Publisher, error) {
	path := func(name string) string { return filepath.Join(home, filepath.FromSlash(name)) }
	chain, err := mirror.ReadTrust(path(pipeline.TrustDir))
	if err != nil {
		return nil, err
	}
	keys, err := loadKeys(path, chain.Newest().Origin)
	if err != nil {
		return nil, err
	}
	return &pipeline.Publisher{
		Source: path(pipeline.SourceDir), Commit: pipeline.NoCommit, State: path(pipeline.StateDir), Trust: chain, Keys: keys,
		OpenLog: func(dir string) (pipeline.Log, error) {
			l, err := tilelog.Open(dir)
			return fusedLog{l, f}, err
		},
		Mirrors: targets, Witnesses: witness.New(agent), Now: now, Log: slog.New(slog.DiscardHandler),
	}, nil
}

func loadKeys(path func(string) string, origin string) (k pipeline.Keys, err error) {
	release, _, err := signing.Load(path(pipeline.ReleaseKeyFile), signing.Password{})
	if err != nil {
		return k, err
	}
	log, _, err := signing.Load(path(pipeline.LogKeyFile), signing.Password{})
	if err != nil {
		return k, err
	}
	k.Release = []signing.Signer{release}
	if k.Log, err = log.NoteSigner(origin); err != nil {
		return k, err
	}
	k.OpenPGP, _, err = signing.LoadOpenPGP(path(pipeline.OpenPGPKeyFile), signing.Password{})
	return k, err
}

// openStore opens a mirror to be written.
func (a address) openStore(ctx context.Context) (mirror.Store, func() error, error) {
	if a.Endpoint == "" {
		s, err := dir.Open(a.Folder)
		if err != nil {
			return nil, nil, err
		}
		return s, s.Close, nil
	}
	s, err := s3.Open(ctx, s3.Options{
		Bucket: bucket, Endpoint: a.Endpoint, Region: "us-east-1", PathStyle: true, Patience: 2 * time.Second, Pause: 50 * time.Millisecond,
		Credentials: credentials.NewStaticCredentialsProvider(a.Access, a.Secret, ""),
	})
	return s, func() error { return nil }, err
}

// openTargets opens the mirrors for a publisher, which reaches all but those that are down.
func openTargets(ctx context.Context, places []address, down []string, f *fuse) (out []pipeline.Target, done func(), err error) {
	var closers []func() error
	done = func() {
		for _, c := range closers {
			c()
		}
	}
	for _, a := range places {
		if slices.Contains(down, a.Name) {
			out = append(out, pipeline.Target{Name: a.Name, Store: deadStore{}})
			continue
		}
		store, closer, err := a.openStore(ctx)
		if err != nil {
			done()
			return nil, nil, fmt.Errorf("mirror %s: %w", a.Name, err)
		}
		closers = append(closers, closer)
		out = append(out, pipeline.Target{Name: a.Name, Store: fusedStore{store, f}})
	}
	return out, done, nil
}

// deadStore answers nothing.
type deadStore struct{ mirror.Store }

var errDown = errors.New("connection refused")

func (deadStore) Get(context.Context, string, int64) ([]byte, error) { return nil, errDown }
func (deadStore) Put(context.Context, mirror.Object) error           { return errDown }
func (deadStore) Create(context.Context, mirror.Object) error        { return errDown }
func (deadStore) Delete(context.Context, string) error               { return errDown }

// fusedStore is a mirror at whose operations the publisher may die.
type fusedStore struct {
	mirror.Store
	f *fuse
}

// Get implements mirror.Reader.
func (s fusedStore) Get(ctx context.Context, path string, limit int64) (data []byte, err error) {
	s.f.step()
	return s.Store.Get(ctx, path, limit)
}

// Put implements mirror.Store.
func (s fusedStore) Put(ctx context.Context, o mirror.Object) error {
	return s.f.around(func() error { return s.Store.Put(ctx, o) })
}

// Create implements mirror.Store.
func (s fusedStore) Create(ctx context.Context, o mirror.Object) error {
	return s.f.around(func() error { return s.Store.Create(ctx, o) })
}

// fusedLog is a log at whose operations the publisher may die.
type fusedLog struct {
	pipeline.Log
	f *fuse
}

// Append implements pipeline.Log.
func (l fusedLog) Append(ctx context.Context, start int64, leaves [][]byte) (tree tlog.Tree, err error) {
	err = l.f.around(func() error {
		tree, err = l.Log.Append(ctx, start, leaves)
		return err
	})
	return tree, err
}

// bucket is the one that there is.
const bucket = "mirror"
