package main

import (
	"context"
	"crypto/sha256"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
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
// renew a list that stays as it is. Metrics: leaves a second of both; audit/fsck, the ratio of their times, and
// cpu-audit/fsck, that of the processor's, which other programs on the machine change less. fsck reads no list, and no
// way leads around one pass of SHA-256 over each: audit/fsck+sha256 compares with fsck and that pass together.
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
	var ours, theirs, bare, ourCPU, theirCPU time.Duration
	var replayed int64
	list, err := os.ReadFile(filepath.Join(op.public(), "policy.json"))
	if err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		began, used := time.Now(), processorTime(b)
		report, err := (&audit.Audit{Mirror: reader, Trust: trust}).Run(b.Context())
		ours, ourCPU = ours+time.Since(began), ourCPU+processorTime(b)-used
		if err != nil || len(report.Findings) > 0 || report.Releases != releases {
			b.Fatalf("%v: %+v", err, report)
		}
		replayed += report.Replayed

		began, used = time.Now(), processorTime(b)
		err = fsck.New(trust.Origin, verifier, folder(op.public()), leafHashes, fsck.Opts{N: parallelFsck}).Check(b.Context())
		theirs, theirCPU = theirs+time.Since(began), theirCPU+processorTime(b)-used
		if err != nil {
			b.Fatal(err)
		}

		began = time.Now()
		for range releases {
			sha256.Sum256(list)
		}
		bare += time.Since(began)
	}
	b.ReportMetric(float64(replayed)/ours.Seconds(), "audit-leaves/s")
	b.ReportMetric(float64(replayed)/theirs.Seconds(), "fsck-leaves/s")
	b.ReportMetric(ours.Seconds()/theirs.Seconds(), "audit/fsck")
	b.ReportMetric(ourCPU.Seconds()/theirCPU.Seconds(), "cpu-audit/fsck")
	b.ReportMetric(ours.Seconds()/(theirs+bare).Seconds(), "audit/fsck+sha256")
}

// processorTime is what this process has used so far.
func processorTime(b *testing.B) time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
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
