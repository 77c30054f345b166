package pipeline_test

import (
	"bytes"
	"context"
	"slices"
	"testing"

	"golang.org/x/mod/sumdb/tlog"

	"github.com/starttls-everywhere/policylist/mirror"
	"github.com/starttls-everywhere/policylist/mirror/audit"
	"github.com/starttls-everywhere/policylist/policy"
	"github.com/starttls-everywhere/policylist/transparency"
)

// altered is a mirror that shows other entries than its log has, under the tiles as they are, or under tiles that were made
// anew to match: then only the root that the log signed can tell.
type altered struct {
	mirror.Store
	entries [][]byte
	hashes  hashList // of the entries; nil: the tiles as they are
}

// alterEntry changes one byte of entry i, and with coverUp every tile over it.
func alterEntry(t *testing.T, store mirror.Store, entries [][]byte, i int, coverUp bool) *altered {
	t.Helper()
	a := &altered{Store: store, entries: slices.Clone(entries)}
	a.entries[i] = bytes.Clone(entries[i])
	a.entries[i][len(entries[i])/2] ^= 1
	for n := range a.entries {
		if !coverUp {
			break
		}
		stored, err := tlog.StoredHashes(int64(n), a.entries[n], a.hashes)
		if err != nil {
			t.Fatal(err)
		}
		a.hashes = append(a.hashes, stored...)
	}
	return a
}

// Get implements mirror.Reader.
func (a *altered) Get(ctx context.Context, path string, limit int64) ([]byte, error) {
	data, err := a.Store.Get(ctx, path, limit)
	tile, notTile := transparency.ParseTilePath(path)
	switch {
	case err != nil || notTile != nil:
		return data, err
	case tile.L >= 0 && a.hashes == nil:
		return data, nil
	case tile.L >= 0:
		return tlog.ReadTileData(tile, a.hashes)
	}
	data = nil
	for _, e := range a.entries[tile.N*transparency.TileWidth:][:tile.W] {
		if data, err = transparency.AppendEntry(data, e); err != nil {
			return nil, err
		}
	}
	return data, nil
}

// alter lets a mirror show the first leaf of its log with one byte altered.
func (y *year) alter(name string) {
	y.t.Helper()
	l := y.readLog()
	o := y.outages[slices.IndexFunc(y.outages, func(o *outage) bool { return o.name == name })]
	o.Store = alterEntry(y.test, o.Store, l.entries, 0, true)
}

// altered audits the first mirror with one leaf altered, the first, one in the middle, and the last, each with tiles as they
// are and with tiles that match; and returns how many there were and what went unnoticed.
func (l *yearLog) altered() (leaves int, unnoticed []string) {
	l.t.Helper()
	for _, i := range []int{0, len(l.entries) / 2, len(l.entries) - 1} {
		for _, want := range []struct {
			code    string
			coverUp bool
		}{{audit.EntriesMismatch, false}, {audit.RootMismatch, true}} {
			leaves++
			a := audit.Audit{Mirror: alterEntry(l.test, l.outages[0].Store, l.entries, i, want.coverUp), Trust: l.Trust.Versions()[0]}
			report, err := a.Run(l.t.Context())
			l.must(err)
			if !slices.ContainsFunc(report.Findings, func(f policy.Finding) bool { return f.Code == want.code }) {
				unnoticed = append(unnoticed, want.code)
				l.t.Errorf("leaf %d altered: no %s among %v", i, want.code, report.Findings)
			}
		}
	}
	return leaves, unnoticed
}
