package soak

import (
	"bytes"
	"context"
	"log/slog"
	"path/filepath"
	"time"

	"github.com/starttls-everywhere/policylist/mirror"
	"github.com/starttls-everywhere/policylist/mirror/durable"
	"github.com/starttls-everywhere/policylist/policy"
	"github.com/starttls-everywhere/policylist/policy/mta"
)

// tableFile is the Postfix table in a client's folder.
const tableFile = "postfix.map"

// newClient follows the mirrors at urls, and writes a table as "update" does.
func newClient(folder string, urls []string, now func() time.Time, f *fuse) (*mirror.Client, error) {
	c := &mirror.Client{Dir: folder, Now: now, Log: slog.New(slog.DiscardHandler)}
	for _, u := range urls {
		r, err := mirror.NewHTTP(u, agent)
		if err != nil {
			return nil, err
		}
		c.Sources = append(c.Sources, mirror.Source{Name: u, Reader: fusedReader{r, f}})
	}
	c.Sinks = []mirror.Sink{func(v mirror.View) error {
		return f.around(func() error {
			data, err := table(v.List, v.Release)
			if err != nil {
				return err
			}
			return durable.WriteFile(filepath.Join(folder, tableFile), data, 0o644)
		})
	}}
	return c, nil
}

// table is what a mail server reads of a release.
func table(list policy.List, leaf *mirror.ReleaseLeaf) ([]byte, error) {
	var text bytes.Buffer
	_, err := mta.Postfix(&text, list.All(), mta.Options{Dialect: mta.SNI, Header: mta.Header{
		Origin: leaf.Origin, Release: uint64(leaf.Release), Expires: leaf.Expires, Digest: leaf.ListDigest,
	}})
	return text.Bytes(), err
}

// fusedReader is a mirror at whose answers the client may die.
type fusedReader struct {
	mirror.Reader
	f *fuse
}

// Get implements mirror.Reader.
func (r fusedReader) Get(ctx context.Context, path string, limit int64) (data []byte, err error) {
	err = r.f.around(func() error {
		data, err = r.Reader.Get(ctx, path, limit)
		return err
	})
	return data, err
}
