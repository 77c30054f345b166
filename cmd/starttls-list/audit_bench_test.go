package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/transparency-dev/merkle/rfc6962"
	"github.com/transparency-dev/tessera/api"
	"github.com/transparency-dev/tessera/api/layout"
	"github.com/transparency-dev/tessera/fsck"
	"golang.org/x/mod/sumdb/note"

	"github.com/starttls-everywhere/policylist/mirror/audit"
	"github.com/starttls-everywhere/policylist/mirror/dir"
)

// BenchmarkAuditAgainstFsck audits logs of 100,000 leaves in a folder, and lets Tessera's fsck check the same log in turn.
// fsck hashes entries and compares tiles; the audit also judges every leaf and every signature and rebuilds every list.
// "one release" has all domains in one; "46 releases" has the history of the old list at that size: nearly all releases
// renew a list that stays as it is. Metrics: leaves a second of both, and audit/fsck, the ratio of their times.
func BenchmarkAuditAgainstFsck(b *testing.B) {
	const leaves = 100_000
	for _, c := range []struct {
		name     string
		releases int
		domains  int
	}{{"one release", 1, leaves}, {"46 releases", 46, leaves}, {"46 releases of 1,000 domains", 46, 1000}} {
		b.Run(c.name, func(b *testing.B) { benchmarkAudit(b, c.releases, c.domains) })
	}
}

func benchmarkAudit(b *testing.B, releases, domains int) {
	op := newOperator(b)
	op.release(domains)
	for range releases - 1 {
		op.release(0)
	}
	reader, err := dir.OpenReader(op.public())
	if err != nil {
		b.Fatal(err)
	}
	defer reader.Close()
	trust := op.p.Trust.Newest()
	verifier, err := note.NewVerifier(trust.LogVKey())
	if err != nil {
		b.Fatal(err)
	}
	var ours, theirs time.Duration
	var replayed int64
	for b.Loop() {
		began := time.Now()
		report, err := (&audit.Audit{Mirror: reader, Trust: trust}).Run(b.Context())
		ours += time.Since(began)
		if err != nil || len(report.Findings) > 0 || report.Releases != releases {
			b.Fatalf("%v: %+v", err, report)
		}
		replayed += report.Replayed

		began = time.Now()
		err = fsck.New(trust.Origin, verifier, folder(op.public()), leafHashes, fsck.Opts{N: parallelFsck}).Check(b.Context())
		theirs += time.Since(began)
		if err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(replayed)/ours.Seconds(), "audit-leaves/s")
	b.ReportMetric(float64(replayed)/theirs.Seconds(), "fsck-leaves/s")
	b.ReportMetric(ours.Seconds()/theirs.Seconds(), "audit/fsck")
}

// parallelFsck is as many readers as the audit has.
const parallelFsck = 8

// folder is how fsck reads a mirror's folder.
type folder string

func (f folder) ReadCheckpoint(context.Context) ([]byte, error) {
	return os.ReadFile(filepath.Join(string(f), "checkpoint"))
}

func (f folder) ReadTile(_ context.Context, level, index uint64, width uint8) ([]byte, error) {
	return os.ReadFile(filepath.Join(string(f), layout.TilePath(level, index, width)))
}

func (f folder) ReadEntryBundle(_ context.Context, index uint64, width uint8) ([]byte, error) {
	return os.ReadFile(filepath.Join(string(f), layout.EntriesPath(index, width)))
}

func leafHashes(bundle []byte) ([][]byte, error) {
	var b api.EntryBundle
	if err := b.UnmarshalText(bundle); err != nil {
		return nil, fmt.Errorf("entry bundle: %w", err)
	}
	hashes := make([][]byte, len(b.Entries))
	for i, entry := range b.Entries {
		hashes[i] = rfc6962.DefaultHasher.HashLeaf(entry)
	}
	return hashes, nil
}
